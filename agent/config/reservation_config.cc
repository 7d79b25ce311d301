#include "agent/config/reservation_config.h"

#include <unistd.h>

#include <algorithm>
#include <map>

namespace hapair::agent {
namespace {

using ccm::ConfigObject;

constexpr std::size_t kMaxDisks = 64;  // of one resource
// How many commands may each take their whole time-out, one after the other, before the action is given up.
constexpr int kCommandsOfMonitor = 2;
constexpr int kCommandsOfAction = 4;

std::string whole_ms(Duration d) { return std::to_string(d / std::chrono::milliseconds(1)); }

bool is_reservation(const ResourceConfig& resource) { return resource.kind == ResourceKind::reservation; }

void check_time(ConfigObject& object, const ResourceConfig& resource, const char* key, Duration given, int commands) {
  if (given >= commands * resource.command_timeout) return;
  object.problems().add_sentence(
      object.path(key), std::string(key) + " (" + whole_ms(given) + ") is shorter than " + std::to_string(commands) +
                            " x command_timeout_ms (" + std::to_string(commands) + " x " +
                            whole_ms(resource.command_timeout) +
                            "): it would be ended before a disk that does not answer is given up");
}

}  // namespace

void read_reservation(ConfigObject& object, const AgentPlaces& places, ResourceConfig& into) {
  into.devices = object.texts("devices");
  into.command_timeout = object.milliseconds("command_timeout_ms", 3000, 100, 60'000);
  if (into.devices.empty() || into.devices.size() > kMaxDisks) {
    object.problems().add(object.path("devices"), std::to_string(into.devices.size()) + " disks",
                          "1 to " + std::to_string(kMaxDisks) + " disks that both nodes reach, under the same names");
  }
  for (auto it = into.devices.begin(); it != into.devices.end(); ++it) {
    if (!it->starts_with("/dev/") || it->contains('\n') || it->contains('\0')) {
      object.problems().add(object.path("devices"), "\"" + *it + "\"",
                            "the path of a disk, such as /dev/disk/by-id/wwn-...");
    }
    if (std::find(into.devices.begin(), it, *it) != it) {
      object.problems().add(object.path("devices"), "\"" + *it + "\" for a second time", "each disk once");
    }
  }
  if (places.reserve_program.empty()) {
    object.problems().add_sentence(object.path("type"),
                                   "the program hapair-reserve is neither beside this program nor in /usr/sbin or "
                                   "/usr/local/sbin; install all of hapair");
  }
  check_time(object, into, "monitor_timeout_ms", into.monitor_timeout, kCommandsOfMonitor);
  check_time(object, into, "start_timeout_ms", into.start_timeout, kCommandsOfAction);
  check_time(object, into, "stop_timeout_ms", into.stop_timeout, kCommandsOfAction);
  if (into.monitor_interval == Duration::zero()) {
    object.problems().add_sentence(
        object.path("monitor_interval_ms"),
        "monitor_interval_ms is 0 (never): this node would not notice that it was preempted");
  }
  if (into.on_failure != OnFailure::give_away) {
    object.problems().add_sentence(
        object.path("on_failure"),
        "a lost reservation means that the partner preempted this node, which must not take it "
        "back by itself; leave on_failure out, or write \"give-away\"");
  }
}

void check_reservation_order(ConfigObject& pool, const std::vector<ResourceConfig>& resources) {
  if (std::ranges::none_of(resources, is_reservation)) return;
  const auto comes_after = [&resources](std::size_t resource, std::size_t reservation) {
    std::vector<std::size_t> ways{resource};
    for (std::size_t at = 0; at < ways.size(); ++at) {
      for (const std::size_t before : resources[ways[at]].after) {
        if (before == reservation) return true;
        if (std::ranges::find(ways, before) == ways.end()) ways.push_back(before);
      }
    }
    return false;
  };
  for (std::size_t reservation = 0; reservation < resources.size(); ++reservation) {
    if (!is_reservation(resources[reservation])) continue;
    for (std::size_t other = 0; other < resources.size(); ++other) {
      if (is_reservation(resources[other]) || comes_after(other, reservation)) continue;
      pool.problems().add_sentence(pool.path("resources"),
                                   resources[other].name + " does not come after " + resources[reservation].name +
                                       ": it could write to the disks before they are this node's; put " +
                                       resources[reservation].name + " first, and name it in \"after\"");
    }
  }
}

std::vector<std::string> reserve_identity(const ccm::PairConfig& pair) {
  return {"--pair",     pair.pair.text(), "--node",         pair.node.text(),  "--partner", pair.partner.text(),
          "--key-file", pair.key_file,    "--boot-id-file", pair.boot_id_file, "--run-dir", pair.run_dir};
}

void complete_scsi_fencing(ConfigObject& root, AgentConfig& config) {
  const auto is_scsi = [](const FenceDeviceConfig& device) { return device.kind == FenceKind::scsi; };
  if (std::ranges::none_of(config.fencing.devices, is_scsi)) return;
  for (const PoolConfig& pool : config.pools) {
    if (std::ranges::any_of(pool.resources, is_reservation)) continue;
    root.problems().add_sentence(root.path("fencing.devices"),
                                 "a device of type \"scsi\" stops the partner's writes to reserved disks, and " +
                                     pool.name.text() +
                                     " has none: it would confirm a fence that stops nothing there; give " +
                                     pool.name.text() + " a resource of type \"scsi:reservation\"");
  }
  Duration longest{};
  for (const PoolConfig& pool : config.pools) {
    for (const ResourceConfig& resource : pool.resources) longest = std::max(longest, resource.command_timeout);
  }
  for (FenceDeviceConfig& device : config.fencing.devices) {
    if (!is_scsi(device)) continue;
    const auto add = [&device](const std::vector<std::string>& words) {
      device.arguments.insert(device.arguments.end(), words.begin(), words.end());
    };
    device.program = config.places.reserve_program;
    add({"fence"});
    add(reserve_identity(config.pair));
    add({"--command-timeout-ms", whole_ms(longest), "--"});
    add(reserved_disks(config));
  }
}

std::vector<std::string> reserved_disks(const AgentConfig& config) {
  std::vector<std::string> disks;
  for (const PoolConfig& pool : config.pools) {
    for (const ResourceConfig& resource : pool.resources) {
      disks.insert(disks.end(), resource.devices.begin(), resource.devices.end());
    }
  }
  return disks;
}

}  // namespace hapair::agent
