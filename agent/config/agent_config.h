// The whole of /etc/hapair/hapair.json, checked: every mistake is named at once with file, key, what was found and what
// is allowed, and times that contradict each other with the arithmetic.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "agent/config/pool_config.h"
#include "ccm/config/pair_config.h"

namespace hapair::agent {

// Where agents of others are looked up. Both come from the packages' own conventions.
struct AgentPlaces {
  std::string ocf_root = "/usr/lib/ocf";
  std::vector<std::string> fence_path{"/usr/sbin", "/sbin"};  // for fence agents given by a bare name
  std::string reserve_program;                                // hapair-reserve; empty: it was not found

  // Honours $OCF_ROOT. hapair-reserve is looked for beside the running program first.
  static AgentPlaces from_environment();
  [[nodiscard]] std::string ocf_program(const std::string& provider, const std::string& agent) const {
    return ocf_root + "/resource.d/" + provider + "/" + agent;
  }
};

struct AgentConfig {
  ccm::PairConfig pair;
  std::string state_dir;
  HeartbeatConfig heartbeat;
  ArbiterKind arbiter = ArbiterKind::none;
  PacemakerConfig pacemaker;
  CorosyncConfig corosync;
  std::vector<AlertAgentConfig> alerts;
  LeaseConfig lease;
  FencingConfig fencing;
  TakeoverConfig takeover;
  GivebackConfig giveback;
  bool hand_over_at_shutdown = true;
  std::uint64_t record_file_bytes = 0;  // of each of the two record files
  std::vector<PoolConfig> pools;
  AgentPlaces places;

  [[nodiscard]] std::string control_socket() const { return pair.run_dir + "/hapair.sock"; }
  // Where Pacemaker's alert agent, which runs as hacluster, tells what it was told.
  [[nodiscard]] std::string alert_socket() const { return pair.run_dir + "/alerts.sock"; }
};

std::expected<AgentConfig, ccm::ConfigProblems> load_agent_config(
    const std::string& file, const AgentPlaces& places = AgentPlaces::from_environment());

// Of the mailbox disks those that decide the ownership, one or three, in the order of the configuration. Of two it is
// the first, of four the first three: an even number would bear no more failures.
std::vector<std::string> deciding_disks(const ccm::PairConfig& pair);

// A hash over what both nodes must agree on: the pair, the set of its two nodes, and each pool's name, home and
// resources with names, types, parameters and order. Not the times and paths of one node. It tells different
// configurations apart; it proves nothing against someone who wants two to look alike.
std::uint64_t shared_config_hash(const AgentConfig& config);

}  // namespace hapair::agent
