// What Pacemaker's resource agent (resource-agents/storage-pair) asks of the agent of its node. Answers are for a
// script: one sentence on standard error where something is wrong, and an exit status.
#pragma once

#include <cstdint>
#include <string>

#include "agent/cli/commands.h"

namespace hapair::cli {

struct ClusterOptions {
  std::string pool;
  std::uint32_t timeout_s = 0;
  std::uint64_t above = 0;  // of promote: an epoch
};

// promote prints the epoch at which it is served then. Both wait until it is so, or cannot be, or the timeout has
// passed; an order that was not fulfilled is withdrawn.
Exit promote(const Common& common, const ClusterOptions& options);
Exit demote(const Common& common, const ClusterOptions& options);

// The exit status is that of an OCF agent's monitor (OCF Resource Agent API 1.1, section "Exit status codes"): 8
// promoted (191 where something is degraded), 0 not promoted (190), 9 promoted and failed, 7 nothing runs and no agent
// that could start it, 1 no agent and it may run, 5 this node's agent is not for a cluster, 6 no such pool.
Exit cluster_monitor(const Common& common, const ClusterOptions& options);

}  // namespace hapair::cli
