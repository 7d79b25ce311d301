#include "ccm/daemon/boot_plan.h"

#include <algorithm>
#include <filesystem>
#include <vector>

namespace hapair::ccm {
namespace {

void add_new(std::vector<std::string>& modules, const std::string& name) {
  if (std::ranges::find(modules, name) == modules.end()) modules.push_back(name);
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

}  // namespace

std::string boot_plan(const std::string& config_file, const PairConfig& config) {
  std::string plan = "config " + std::filesystem::absolute(config_file).string() + "\nkey " + config.key_file + "\n";
  for (const std::string& name : modules_of(config)) plan += "module " + name + "\n";
  if (std::ranges::any_of(config.rails, [](const RailConfig& r) { return r.fabric == FabricKind::verbs; })) {
    plan += "provider *\n";
  }
  for (const RailConfig& rail : config.rails) {
    if (!rail.early_boot) continue;
    const EarlyBootConfig& early = *rail.early_boot;
    plan += "rail " + rail.name.text() + (rail.fabric == FabricKind::verbs ? " verbs " : " iwarp ") + rail.address +
            "/" + std::to_string(early.prefix_length) + " " + early.interface + " " +
            (early.soft_rdma.empty() ? "-" : early.soft_rdma) + "\n";
  }
  return plan;
}

}  // namespace hapair::ccm
