// What Pacemaker tells of its own decisions, as the agent keeps it: records for `hapair events` and `hapair why`.
#include <fmt/core.h>

#include "agent/daemon/agent.h"

namespace hapair::agent {

// No step(): an alert is anybody's who may write to the socket, and comes late, twice or not at all. Whether the
// partner is down the engine learns from evidence, and what it may start from permits.
CommandReply Agent::cluster_alert(const ClusterAlert& alert) {
  if (config_.arbiter != ArbiterKind::pacemaker) {
    return {.accepted = false,
            .text = fmt::format("the arbiter of this node's hapair is \"{}\": what Pacemaker decides concerns it with "
                                "\"arbiter\": \"pacemaker\" only; take alert_hapair out of the cluster's alerts",
                                text_of(config_.arbiter))};
  }
  AlertBook::Answer answer = alert_book_.take(clock_->now(), clock_->wall_us(), alert);
  for (Record& record : answer.records) log(std::move(record));
  return {.accepted = true, .text = std::move(answer.said)};
}

}  // namespace hapair::agent
