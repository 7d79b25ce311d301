// hapair-reserve: takes, watches and gives up the disks of a pool by SCSI-3 persistent reservations. hapaird runs it as
// it runs the agents of others, so that a disk which hangs in the kernel hangs this program alone.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <expected>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "agent/reservation/held_record.h"
#include "agent/reservation/orders.h"
#include "agent/reservation/scsi_disk.h"
#include "ccm/config/pair_config.h"

namespace hapair::agent {
namespace {

struct Arguments {
  std::string pair;
  std::string node;
  std::string partner;
  std::string key_file;
  std::string boot_id_file;
  std::string run_dir = "/run/hapair";
  std::string title;
  int command_timeout_ms = 3000;
  std::vector<std::string> devices;
};

using Order = std::function<ReserveAnswer(const Arguments&, const Keyring&)>;

std::expected<Keyring, std::string> keyring_of(const Arguments& given) {
  const auto pair = PairName::parse(given.pair);
  const auto node = NodeName::parse(given.node);
  const auto partner = NodeName::parse(given.partner);
  if (!pair || !node || !partner || *node == *partner) {
    return std::unexpected("--pair, --node and --partner: names as in the configuration, of two nodes");
  }
  const auto key = ccm::load_key(given.key_file);
  if (!key) return std::unexpected(key.error());
  const auto boot_id = ccm::load_boot_id(given.boot_id_file);
  if (!boot_id) return std::unexpected(boot_id.error());
  return Keyring(*key, {*pair, *node, *partner}, *boot_id);
}

Disks disks_of(const Arguments& given, const std::function<bool(const std::string&)>& wanted) {
  Disks disks;
  for (const std::string& device : given.devices) {
    if (wanted(device)) {
      disks.push_back(std::make_unique<ScsiDisk>(device, std::chrono::milliseconds(given.command_timeout_ms)));
    }
  }
  return disks;
}

Disks all_disks_of(const Arguments& given) {
  return disks_of(given, [](const std::string&) { return true; });
}

ReserveAnswer start(const Arguments& given, const Keyring& keys) {
  // Before the first disk is touched: a start that is killed half-way counts as one.
  if (const auto written = HeldRecord(given.run_dir).write(given.title, given.devices); !written) {
    return {kReserveFailed, written.error()};
  }
  Disks disks = all_disks_of(given);
  return start_reservation(disks, keys);
}

ReserveAnswer stop(const Arguments& given, const Keyring& keys) {
  Disks disks = all_disks_of(given);
  StopAnswer stopped = stop_reservation(disks, keys);
  if (stopped.all_were_held) HeldRecord(given.run_dir).remove(given.title);
  return stopped.answer;
}

ReserveAnswer monitor(const Arguments& given, const Keyring& keys) {
  Disks disks = all_disks_of(given);
  return monitor_reservation(disks, keys);
}

ReserveAnswer check(const Arguments& given, const Keyring& keys) {
  Disks disks;
  std::string read_only;
  for (const std::string& device : given.devices) {
    auto disk = std::make_unique<ScsiDisk>(device, std::chrono::milliseconds(given.command_timeout_ms));
    if (disk->read_only()) {
      if (!read_only.empty()) read_only += "; ";
      read_only.append(device).append(": is read-only on this node (blockdev --setrw ").append(device);
      read_only += ", or the target's rights)";
    }
    disks.push_back(std::move(disk));
  }
  ReserveAnswer answer = check_reservation(disks, keys);
  if (read_only.empty()) return answer;
  return {kReserveFailed, answer.words.empty() ? read_only : answer.words + "; " + read_only};
}

// As a fence agent is asked: "action=off" or "action=status" on standard input.
ReserveAnswer fence(const Arguments& given, const Keyring& keys) {
  std::string action;
  for (std::string line; std::getline(std::cin, line);) {
    constexpr std::string_view kAction = "action=";
    if (line.starts_with(kAction)) action = line.substr(kAction.size());
  }
  const auto taken = HeldRecord(given.run_dir).devices();
  if (!taken) return {kReserveFailed, taken.error()};
  const auto is_held = [&taken](const std::string& device) {
    return std::ranges::find(*taken, device) != taken->end();
  };
  Disks held = disks_of(given, is_held);
  Disks others = disks_of(given, [&](const std::string& device) { return !is_held(device); });
  if (action == "off") return fence_by_reservation(held, others, keys);
  if (action == "status") return status_of_fence(held, others, keys);
  return {kReserveUsage, "action \"" + action + "\" is not known; off and status are"};
}

int answer(const Arguments& given, const Order& order) {
  if (!ccm::start_crypto()) {
    std::fputs("this machine gives no randomness; nothing was done\n", stderr);
    return kReserveFailed;
  }
  const auto keys = keyring_of(given);
  if (!keys) {
    std::fprintf(stderr, "%s\n", keys.error().c_str());
    return kReserveFailed;
  }
  const ReserveAnswer answered = order(given, *keys);
  if (!answered.words.empty()) std::fprintf(stderr, "%s\n", answered.words.c_str());
  return answered.code;
}

void add_options(CLI::App& app, Arguments& given) {
  app.add_option("--pair", given.pair, "the pair's name")->required();
  app.add_option("--node", given.node, "this node's")->required();
  app.add_option("--partner", given.partner, "its partner's")->required();
  app.add_option("--key-file", given.key_file, "the pair's key, from which the keys at the disks are made")->required();
  app.add_option("--boot-id-file", given.boot_id_file, "of this node's kernel")->required();
  app.add_option("--run-dir", given.run_dir, "where it is written down which disks this node has taken")
      ->capture_default_str();
  app.add_option("--title", given.title, "of start and stop: for whom");
  app.add_option("--command-timeout-ms", given.command_timeout_ms, "of each SCSI command")
      ->capture_default_str()
      ->check(CLI::Range(100, 3'600'000));
  app.add_option("devices", given.devices, "the disks, each as a whole")->required();
}

}  // namespace
}  // namespace hapair::agent

int main(int argc, char** argv) {
  using namespace hapair::agent;
  CLI::App app{
      "hapair-reserve: the disks of a pool by SCSI-3 persistent reservations; hapaird runs it\n"
      "exit status: 0 done, 1 failed, 3 of a fence: unclear, 7 of monitor: not held, 190 of monitor: held, and "
      "something\n"
      "is amiss; of fence with action=status on standard input 2: the partner's writes are refused; 64 usage",
      "hapair-reserve"};
  app.set_version_flag("--version", "hapair-reserve " HAPAIR_VERSION);
  app.require_subcommand(1);
  Arguments given;
  Order chosen;
  const std::vector<std::tuple<const char*, const char*, Order>> orders{
      {"start", "register, reserve, preempt the partner where it is registered, and verify", start},
      {"stop", "release and unregister", stop},
      {"monitor", "whether the disks are still this node's", monitor},
      {"check", "whether they can be taken; changes nothing", check},
      {"fence", "take the partner's disks, so that its writes are refused (action=off on standard input)", fence}};
  for (const auto& [name, what, order] : orders) {
    CLI::App* command = app.add_subcommand(name, what);
    add_options(*command, given);
    command->callback([&chosen, order] { chosen = order; });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kReserveUsage;
  }
  return answer(given, chosen);
}
