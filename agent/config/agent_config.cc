#include "agent/config/agent_config.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "agent/config/alert_config.h"
#include "agent/config/container_promise.h"
#include "agent/config/reservation_config.h"
#include "agent/config/resource_config.h"

namespace hapair::agent {
namespace {

using ccm::ConfigObject;

constexpr double kHourMs = 3'600'000;
constexpr std::size_t kMaxResourceId = 255;
constexpr std::size_t kMaxSocketPath = 107;  // sockaddr_un.sun_path with its final zero is 108 bytes

std::string ms_text(Duration d) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", ms_of(d));
  return text.data();
}

// Zero is allowed: that phase has no bound.
void read_phase_bounds(ConfigObject& heartbeat, HeartbeatConfig& out) {
  using ccm::BootPhase;
  struct Bound {
    BootPhase phase;
    double fallback_ms;
  };
  static constexpr std::array<Bound, 5> kBounds{{{BootPhase::early, 60'000},
                                                 {BootPhase::root, 300'000},
                                                 {BootPhase::storage_starting, 300'000},
                                                 {BootPhase::storage_stopping, 300'000},
                                                 {BootPhase::shutting_down, 300'000}}};
  ConfigObject object = heartbeat.object("phase_bounds_ms", false);
  for (const Bound& bound : kBounds) {
    out.phase_bounds.at(static_cast<std::size_t>(bound.phase)) =
        object.milliseconds(ccm::text_of(bound.phase), bound.fallback_ms, 0, 24 * kHourMs);
  }
  object.finish();
}

HeartbeatConfig read_heartbeat(ConfigObject& root) {
  ConfigObject object = root.object("heartbeat", false);
  HeartbeatConfig heartbeat;
  heartbeat.floor = object.milliseconds("floor_ms", 30, 1, 60'000);
  heartbeat.ceiling = object.milliseconds("ceiling_ms", 500, 1, 60'000);
  heartbeat.agent_floor = object.milliseconds("agent_floor_ms", 60, 1, 60'000);
  read_phase_bounds(object, heartbeat);
  object.finish();
  return heartbeat;
}

TakeoverConfig read_takeover(ConfigObject& root) {
  ConfigObject object = root.object("takeover", false);
  TakeoverConfig takeover;
  takeover.automatic = object.boolean("automatic", true);
  takeover.hold = object.milliseconds("hold_ms", 25, 0, kHourMs);
  takeover.agent_silent = object.milliseconds("agent_silent_ms", 30'000, 0, kHourMs);
  takeover.ccm_silent = object.milliseconds("ccm_silent_ms", 30'000, 0, kHourMs);
  if (object.has("storage_stalled_ms")) {
    takeover.storage_stalled = object.milliseconds("storage_stalled_ms", 30'000, 0, kHourMs);
  }
  takeover.reboot_silent = object.milliseconds("reboot_silent_ms", 180'000, 0, kHourMs);
  object.finish();
  return takeover;
}

GivebackConfig read_giveback(ConfigObject& root) {
  ConfigObject object = root.object("giveback", false);
  GivebackConfig giveback;
  giveback.automatic = object.boolean("automatic", true);
  giveback.stable = object.milliseconds("stable_ms", 10'000, 0, kHourMs);
  giveback.bound = object.milliseconds("bound_ms", 10'000, 1000, kHourMs);
  giveback.limit = static_cast<int>(object.integer("limit", 3, 0, 1000));
  giveback.limit_within = object.milliseconds("limit_within_ms", kHourMs, 60'000, 24 * kHourMs);
  object.finish();
  return giveback;
}

LeaseConfig read_lease(ConfigObject& root, ArbiterKind arbiter) {
  constexpr double kLongestMs = 600'000;
  // One of Corosync's is to outlast a ring that is formed anew, and what its quorum device takes to miss a node.
  const double usual = arbiter == ArbiterKind::corosync ? 20'000 : 5'000;
  ConfigObject object = root.object("lease", false);
  LeaseConfig lease;
  lease.duration = object.milliseconds("duration_ms", usual, 1'000, kLongestMs);
  lease.stop = object.milliseconds("stop_ms", 10'000, 0, kLongestMs);
  object.finish();
  return lease;
}

// One relation between two times: `shorter` must not be below `limit`.
struct TimeRelation {
  std::string key;       // of `shorter`, in full
  Duration value{};      // of `shorter`
  std::string limit_is;  // the arithmetic: "2 x ccm.pace_ms (2 x 10 = 20)"
  Duration limit{};
  std::string why;  // what would happen
};

void check_heartbeat(const AgentConfig& config, std::vector<TimeRelation>& out) {
  const HeartbeatConfig& beat = config.heartbeat;
  const Duration two_paces = 2 * config.pair.pace;
  const std::string two_paces_text =
      "2 x ccm.pace_ms (2 x " + ms_text(config.pair.pace) + " = " + ms_text(two_paces) + ")";
  out.push_back({"heartbeat.floor_ms", beat.floor, two_paces_text, two_paces,
                 "one beat that merely comes late would be called silence"});
  out.push_back({"heartbeat.agent_floor_ms", beat.agent_floor, two_paces_text, two_paces,
                 "the agent's beat is seen through the CCM, at its pace"});
  out.push_back({"heartbeat.ceiling_ms", beat.ceiling, "heartbeat.floor_ms (" + ms_text(beat.floor) + ")", beat.floor,
                 "the limit has no room between its floor and its ceiling"});
  out.push_back({"heartbeat.ceiling_ms", beat.ceiling, "heartbeat.agent_floor_ms (" + ms_text(beat.agent_floor) + ")",
                 beat.agent_floor, "the limit for the agent's beat has no room below its ceiling"});
  out.push_back({"heartbeat.agent_floor_ms", beat.agent_floor, "heartbeat.floor_ms (" + ms_text(beat.floor) + ")",
                 beat.floor, "a partner that stopped as a whole would first be called one whose agent hangs"});
  const Duration give_up = config.pair.operation_deadline + config.pair.pace;
  out.push_back({"heartbeat.ceiling_ms", beat.ceiling,
                 "ccm.operation_deadline_ms + ccm.pace_ms (" + ms_text(config.pair.operation_deadline) + " + " +
                     ms_text(config.pair.pace) + " = " + ms_text(give_up) + ")",
                 give_up, "the partner would be called silent before the CCM has given up its first unanswered read"});
}

void check_policy(const AgentConfig& config, std::vector<TimeRelation>& out) {
  const HeartbeatConfig& beat = config.heartbeat;
  out.push_back({"takeover.agent_silent_ms", config.takeover.agent_silent,
                 "heartbeat.agent_floor_ms (" + ms_text(beat.agent_floor) + ")", beat.agent_floor,
                 "the partner's agent cannot be known to be silent for less time than it takes to notice"});
  out.push_back({"takeover.ccm_silent_ms", config.takeover.ccm_silent,
                 "heartbeat.floor_ms (" + ms_text(beat.floor) + ")", beat.floor,
                 "the partner's CCM cannot be known to be silent for less time than it takes to notice"});
  if (config.giveback.automatic) {
    out.push_back({"giveback.stable_ms", config.giveback.stable, "heartbeat.ceiling_ms (" + ms_text(beat.ceiling) + ")",
                   beat.ceiling, "a partner that has died again could still be given its pool"});
  }
}

// The partner's bound is this node's, where the two are configured alike.
void check_poison(const AgentConfig& config, std::vector<TimeRelation>& out) {
  for (std::size_t i = 0; i < config.fencing.devices.size(); ++i) {
    const FenceDeviceConfig& device = config.fencing.devices[i];
    if (device.kind != FenceKind::poison) continue;
    out.push_back({"fencing.devices[" + std::to_string(i) + "].timeout_ms", device.timeout,
                   "ccm.poison.bound_ms (" + ms_text(config.pair.poison.bound) + ")", config.pair.poison.bound,
                   "the answer of a partner that stops its pools in time would not be waited for"});
  }
}

void check_times(const AgentConfig& config, ccm::ConfigProblems& problems) {
  std::vector<TimeRelation> relations;
  check_poison(config, relations);
  check_heartbeat(config, relations);
  check_policy(config, relations);
  for (const TimeRelation& relation : relations) {
    if (relation.value >= relation.limit) continue;
    const std::string last_key = relation.key.substr(relation.key.rfind('.') + 1);
    problems.add_sentence(relation.key, last_key + " (" + ms_text(relation.value) + ") is shorter than " +
                                            relation.limit_is + ": " + relation.why);
  }
}

void check_folders(ConfigObject& root, const AgentConfig& config) {
  const auto& [state, run] = std::pair(config.state_dir, config.pair.run_dir);
  if (!state.empty() && state.front() != '/') {
    root.problems().add(root.path("state_dir"), "\"" + state + "\"", "an absolute path");
  }
  if (!run.empty() && (state == run || state.starts_with(run + "/"))) {
    root.problems().add_sentence(root.path("state_dir"), "state_dir (" + state + ") is inside run_dir (" + run +
                                                             "), which is gone after a reboot; what a node knows about "
                                                             "its pools must outlive one");
  }
  // Of the two in run_dir the one with the longer path.
  const std::string socket = std::max(config.control_socket(), config.alert_socket(),
                                      [](const auto& a, const auto& b) { return a.size() < b.size(); });
  if (socket.size() > kMaxSocketPath) {
    root.problems().add_sentence(root.path("run_dir"),
                                 "the control socket's path " + socket + " has " + std::to_string(socket.size()) +
                                     " bytes; allowed: " + std::to_string(kMaxSocketPath) + "; use a shorter run_dir");
  }
}

// A lease rests on what both look at and on a watchdog that ends whoever cannot stop any more.
void check_watchdog(ConfigObject& root, const AgentConfig& config) {
  if (config.pair.watchdog) return;
  root.problems().add_sentence(
      root.path("arbiter"),
      "arbiter is \"" + std::string(text_of(config.arbiter)) +
          "\" and ccm.watchdog is not given: a node that hangs could not stop its pools when its lease is over, so its "
          "partner may not wait for that; give the watchdog's device");
}

void check_mailbox(ConfigObject& root, const AgentConfig& config) {
  if (deciding_disks(config.pair).empty()) {
    root.problems().add_sentence(root.path("arbiter"),
                                 "arbiter is \"mailbox\" and no mailbox disk is given: name one or three shared disks "
                                 "in ccm.mailbox_disks");
  }
  check_watchdog(root, config);
}

PacemakerConfig read_pacemaker(ConfigObject& root) {
  PacemakerConfig config;
  ConfigObject pacemaker = root.object("pacemaker", false);
  config.look_at_once = pacemaker.boolean("look_at_once", true);
  config.consensus = std::chrono::milliseconds(pacemaker.integer("consensus_ms", 300, 100, 10'000));
  config.request_fence = pacemaker.boolean("request_fence", false);
  config.node = pacemaker.text("node", "");
  config.partner_node = pacemaker.text("partner_node", "");
  config.resources = pacemaker.text_map("resources");
  config.stonith_admin = pacemaker.text("stonith_admin", "/usr/sbin/stonith_admin");
  config.cmapctl = pacemaker.text("corosync_cmapctl", "/usr/sbin/corosync-cmapctl");
  config.timeout = std::chrono::milliseconds(pacemaker.integer("timeout_ms", 60'000, 1000, 600'000));
  pacemaker.finish();
  return config;
}

CorosyncConfig read_corosync(ConfigObject& root) {
  CorosyncConfig config;
  ConfigObject corosync = root.object("corosync", false);
  config.fleet = corosync.boolean("fleet", false);
  config.group = corosync.text("group", "hapair");
  if (!PairName::parse(config.group)) {
    root.problems().add(corosync.path("group"), "\"" + config.group + "\"",
                        "a name of at most 31 letters, digits, '-', '_' and '.', beginning with a letter or digit");
  }
  corosync.finish();
  return config;
}

void check_pacemaker_resources(ConfigObject& root, const AgentConfig& config) {
  for (const auto& [pool, resource] : config.pacemaker.resources) {
    const std::string where = root.path("pacemaker.resources." + pool);
    const auto same = [&](const PoolConfig& other) { return other.name.view() == pool; };
    if (std::ranges::none_of(config.pools, same)) {
      std::string known;
      for (const PoolConfig& each : config.pools) known += (known.empty() ? "" : ", ") + each.name.text();
      root.problems().add(where, "a pool \"" + pool + "\" that is not in pools", known);
    }
    if (resource.empty() || resource.size() > kMaxResourceId ||
        resource.find_first_of(" :\t\r\n") != std::string::npos) {
      root.problems().add(
          where, "\"" + resource + "\"",
          "the id of a resource of the cluster, such as crm_resource --list shows it: without blanks and "
          "without the \":0\" of a clone's instance");
    }
  }
}

// With no arbiter and nothing to fence with, a takeover after a failure can never be permitted.
void check_permits(ConfigObject& root, const AgentConfig& config) {
  if (config.arbiter == ArbiterKind::mailbox) return check_mailbox(root, config);
  if (config.arbiter == ArbiterKind::corosync) return check_watchdog(root, config);
  if (config.arbiter == ArbiterKind::pacemaker) return;  // it fences, or has this node asked to
  if (!config.takeover.automatic || !config.fencing.devices.empty()) return;
  root.problems().add_sentence(
      root.path("fencing.devices"),
      "arbiter is \"none\" and no fencing device is given, but takeover.automatic is true: then nothing can prove that "
      "a silent partner has stopped, and no takeover would ever be permitted; give a fencing device against the "
      "partner, "
      "or set takeover.automatic to false and take pools over by hand (hapair confirm-down)");
}

// FNV-1a over fields that each carry their length, so that no two lists of fields read the same.
class FieldHash {
 public:
  void add(std::string_view field) {
    add_number(field.size());
    for (const char c : field) add_byte(static_cast<std::uint8_t>(c));
  }
  void add_number(std::uint64_t number) {
    for (unsigned shift = 0; shift < 64; shift += 8) add_byte(static_cast<std::uint8_t>(number >> shift));
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  void add_byte(std::uint8_t byte) { value_ = (value_ ^ byte) * 0x100000001b3ULL; }
  std::uint64_t value_ = 0xcbf29ce484222325ULL;
};

}  // namespace

std::string_view text_of(ArbiterKind arbiter) {
  switch (arbiter) {
    case ArbiterKind::none:
      return "none";
    case ArbiterKind::mailbox:
      return "mailbox";
    case ArbiterKind::pacemaker:
      return "pacemaker";
    case ArbiterKind::corosync:
      return "corosync";
  }
  return "unknown";
}

std::string_view text_of(FenceAction action) {
  switch (action) {
    case FenceAction::off:
      return "off";
    case FenceAction::reboot:
      return "reboot";
  }
  return "unknown";
}

AgentPlaces AgentPlaces::from_environment() {
  AgentPlaces places;
  if (const char* root = std::getenv("OCF_ROOT"); root != nullptr && *root != '\0') places.ocf_root = root;
  std::error_code ignored;
  const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const auto& folder : {here, here.parent_path() / "sbin", here.parent_path() / "reservation",
                             std::filesystem::path("/usr/sbin"), std::filesystem::path("/usr/local/sbin")}) {
    const std::string program = folder / "hapair-reserve";
    if (::access(program.c_str(), X_OK) != 0) continue;
    places.reserve_program = program;
    break;
  }
  return places;
}

std::expected<AgentConfig, ccm::ConfigProblems> load_agent_config(const std::string& file, const AgentPlaces& places) {
  const auto document = ccm::load_document(file);
  if (!document) return std::unexpected(document.error());
  ccm::ConfigProblems problems(file);
  ConfigObject root(&*document, "", problems);
  AgentConfig config;
  config.places = places;
  config.pair = ccm::read_pair_config(root);
  config.state_dir = root.text("state_dir", "/var/lib/hapair");
  config.heartbeat = read_heartbeat(root);
  static constexpr std::array<std::string_view, 4> kArbiters{"none", "mailbox", "pacemaker", "corosync"};
  config.arbiter = static_cast<ArbiterKind>(root.choice("arbiter", 0, kArbiters));
  config.lease = read_lease(root, config.arbiter);
  config.pacemaker = read_pacemaker(root);
  config.corosync = read_corosync(root);
  config.alerts = read_alerts(root);
  config.fencing = read_fencing(root, config.pair, places);
  config.takeover = read_takeover(root);
  config.giveback = read_giveback(root);
  ConfigObject shutdown = root.object("shutdown", false);
  config.hand_over_at_shutdown = shutdown.boolean("hand_over", true);
  shutdown.finish();
  ConfigObject records = root.object("records", false);
  config.record_file_bytes =
      static_cast<std::uint64_t>(records.integer("file_bytes", 4'194'304, 65'536, 256LL * 1024 * 1024));
  records.finish();
  config.pools = read_pools(root, config.pair, places);
  complete_scsi_fencing(root, config);
  root.finish();
  check_times(config, problems);
  check_folders(root, config);
  check_permits(root, config);
  check_pacemaker_resources(root, config);
  check_container_promise(root, config);
  if (!problems.empty()) return std::unexpected(problems);
  return config;
}

std::vector<std::string> deciding_disks(const ccm::PairConfig& pair) {
  std::vector<std::string> disks;
  for (const ccm::NetworkConfig& network : pair.networks) {
    if (!network.device.empty()) disks.push_back(network.device);
  }
  if (!disks.empty()) disks.resize(disks.size() >= 3 ? 3 : 1);
  return disks;
}

std::uint64_t shared_config_hash(const AgentConfig& config) {
  FieldHash hash;
  hash.add(config.pair.pair.view());
  const auto [low, high] = std::minmax({config.pair.node.view(), config.pair.partner.view()});
  hash.add(low);
  hash.add(high);
  hash.add(text_of(config.arbiter));
  hash.add_number(config.pools.size());
  for (const PoolConfig& pool : config.pools) {
    hash.add(pool.name.view());
    hash.add(pool.home.view());
    hash.add_number(pool.resources.size());
    for (const ResourceConfig& resource : pool.resources) {
      hash.add(resource.name);
      hash.add(resource.type);
      hash.add_number(resource.parameters.size());
      for (const auto& [name, value] : resource.parameters) {
        hash.add(name);
        hash.add(value);
      }
      if (resource.kind == ResourceKind::reservation) {
        hash.add_number(resource.devices.size());
        for (const std::string& device : resource.devices) hash.add(device);
      }
      // In the order of places: the order in which `after` was written means nothing.
      std::vector<std::size_t> after = resource.after;
      std::ranges::sort(after);
      hash.add_number(after.size());
      for (const std::size_t place : after) hash.add_number(place);
    }
  }
  return hash.value();
}

}  // namespace hapair::agent
