#include "ccm/daemon/boot_plan.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

namespace hapair::ccm {
namespace {

// What each library of rdma-core's libibverbs.d is for, by the kernel module of its devices.
constexpr std::array<std::pair<std::string_view, std::string_view>, 16> kProviders{{{"bnxt_re", "bnxt_re"},
                                                                                    {"efa", "efa"},
                                                                                    {"erdma", "erdma"},
                                                                                    {"hfi1", "hfi1verbs"},
                                                                                    {"hns_roce_hw_v2", "hns"},
                                                                                    {"ib_mthca", "mthca"},
                                                                                    {"ib_qib", "ipathverbs"},
                                                                                    {"irdma", "irdma"},
                                                                                    {"iw_cxgb4", "cxgb4"},
                                                                                    {"mana_ib", "mana"},
                                                                                    {"mlx4_ib", "mlx4"},
                                                                                    {"mlx5_ib", "mlx5"},
                                                                                    {"ocrdma", "ocrdma"},
                                                                                    {"qedr", "qedr"},
                                                                                    {"vmw_pvrdma", "vmw_pvrdma"},
                                                                                    {"siw", "siw"}}};

void add_new(std::vector<std::string>& names, std::string_view name) {
  if (std::ranges::find(names, name) == names.end()) names.emplace_back(name);
}

std::vector<std::string> modules_of(const PairConfig& config) {
  std::vector<std::string> modules;
  for (const RailConfig& rail : config.rails) {
    if (!rail.early_boot) continue;
    for (const std::string& name : rail.early_boot->modules) add_new(modules, name);
    if (rail.fabric != FabricKind::verbs) continue;
    for (const char* name : {"ib_uverbs", "rdma_ucm"}) add_new(modules, name);
    if (!rail.early_boot->soft_rdma.empty()) {
      add_new(modules, rail.early_boot->soft_rdma == "siw" ? "siw" : "rdma_rxe");
    }
  }
  return modules;
}

// Of the verbs rails' devices; all of them where a rail does not say what its device is.
std::vector<std::string> providers_of(const PairConfig& config) {
  std::vector<std::string> providers;
  for (const RailConfig& rail : config.rails) {
    if (rail.fabric != FabricKind::verbs) continue;
    if (!rail.early_boot) return {"*"};
    const EarlyBootConfig& early = *rail.early_boot;
    if (!early.soft_rdma.empty()) {
      add_new(providers, early.soft_rdma);
      continue;
    }
    bool known = false;
    for (const std::string& module : early.modules) {
      const auto* provider =
          std::ranges::find(kProviders, module, &std::pair<std::string_view, std::string_view>::first);
      if (provider == kProviders.end()) continue;
      known = true;
      add_new(providers, provider->second);
    }
    if (!known) return {"*"};
  }
  return providers;
}

}  // namespace

std::string boot_plan(const std::string& config_file, const PairConfig& config) {
  std::string plan = "config " + std::filesystem::absolute(config_file).string() + "\nkey " + config.key_file + "\n";
  for (const std::string& name : modules_of(config)) plan += "module " + name + "\n";
  for (const std::string& name : providers_of(config)) plan += "provider " + name + "\n";
  for (const RailConfig& rail : config.rails) {
    if (rail.early_boot) plan += "rail " + rail.name.text() + "\n";
  }
  return plan;
}

}  // namespace hapair::ccm
