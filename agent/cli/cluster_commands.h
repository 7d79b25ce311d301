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

// What the agent says of its node.
std::expected<control::v1::StatusReply, Failure> status_of(const Common& common);

// promote prints the epoch at which it is served then. Both wait until it is so, or cannot be, or the timeout has
// passed; an order that was not fulfilled is withdrawn.
Exit promote(const Common& common, const ClusterOptions& options);
Exit demote(const Common& common, const ClusterOptions& options);

// Prints the epoch that the cluster is to keep before it promotes the pool here: none at which this node then claims it
// is higher, so a promotion that is not seen to its end is known to the next one, wherever that is.
Exit epoch_to_keep(const Common& common, const ClusterOptions& options);

// The exit status is that of an OCF agent's monitor (OCF Resource Agent API 1.1, section "Exit status codes"): 8
// promoted (191 where something is degraded), 0 not promoted (190), 9 promoted and failed, 7 nothing runs and no agent
// that could start it, 1 no agent and it may run, 5 this node's agent is not for a cluster, 6 no such pool.
Exit cluster_monitor(const Common& common, const ClusterOptions& options);

// For the alert agent (resource-agents/alert_hapair): tells hapaird what Pacemaker says in CRM_alert_*. 2 where that is
// no alert, 3 where hapaird does not run; never waits for long.
Exit tell_alert(const Common& common);

// For the fence agent (resource-agents/fence_hapair). Has the partner's node reset, and waits until it is seen in
// another life of its kernel, which alone is success, or the timeout has passed.
Exit fence_partner(const Common& common, const std::string& node, std::uint32_t timeout_s);
// FenceAgentAPI, action "status": 0 the partner runs; 1 that cannot be told. Never 2: who resets itself is on again.
Exit partner_power(const Common& common, const std::string& node);
// FenceAgentAPI, action "list": the one node that can be fenced from here.
Exit list_partner(const Common& common);
// FenceAgentAPI, action "monitor": whether an order could be given now.
Exit fence_monitor(const Common& common);

}  // namespace hapair::cli
