#include "agent/config/container_promise.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace hapair::agent {
namespace {

// Agents of resource-agents, drbd-utils and ceph, whatever their provider.
constexpr std::array<std::string_view, 20> kAgents{
    "clvm",         "crypt",    "controld", "drbd",      "exportfs",        "iscsi",      "LVM",
    "LVM-activate", "lvmlockd", "mdraid",   "nfsserver", "nvmet-namespace", "nvmet-port", "nvmet-subsystem",
    "o2cb",         "Raid1",    "rbd",      "rbd.in",    "vdo-vol",         "ZFS"};
// Without ".service" and what an instance adds.
constexpr std::array<std::string_view, 9> kUnits{
    "drbd",   "iscsid",   "mdadm", "nfs-kernel-server", "nfs-server", "nvmet", "rtslib-fb-targetctl",
    "target", "targetcli"};

bool is_among(std::string_view name, const auto& all) { return std::ranges::find(all, name) != all.end(); }

// tgt alone is a process; left out, the agent takes what it finds.
bool is_process(const ResourceConfig& target) {
  return std::ranges::any_of(target.parameters, [](const auto& parameter) {
    return parameter.first == "implementation" && parameter.second == "tgt";
  });
}

bool lives_in_the_kernel(const ResourceConfig& resource) {
  switch (resource.kind) {
    case ResourceKind::reservation:
      return false;
    case ResourceKind::systemd:
      return is_among(std::string_view(resource.unit).substr(0, resource.unit.find_first_of(".@")), kUnits);
    case ResourceKind::ocf:
      if (resource.agent == "iSCSITarget" || resource.agent == "iSCSILogicalUnit") return !is_process(resource);
      return is_among(resource.agent, kAgents);
  }
  return true;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

std::vector<std::string> resources_in_the_kernel(const PoolConfig& pool) {
  std::vector<std::string> found;
  for (const ResourceConfig& resource : pool.resources) {
    if (lives_in_the_kernel(resource)) found.push_back(resource.name + " (" + resource.type + ")");
  }
  return found;
}

void check_container_promise(ccm::ConfigObject& root, const AgentConfig& config) {
  if (!config.pair.watchdog || !config.pair.watchdog->container_covers_pools) return;
  for (const PoolConfig& pool : config.pools) {
    if (std::ranges::any_of(pool.resources, [](const auto& r) { return r.kind == ResourceKind::reservation; }))
      continue;
    const std::vector<std::string> found = resources_in_the_kernel(pool);
    if (found.empty()) continue;
    root.problems().add_sentence(root.path("ccm.watchdog.container_covers_pools"),
                                 "it promises that every resource ends with the container's processes, and these of " +
                                     pool.name.text() + " live in the host's kernel: " + listed(found) +
                                     "; leave the promise out, or give " + pool.name.text() +
                                     " a resource of type \"scsi:reservation\", which keeps them from writing");
  }
}

}  // namespace hapair::agent
