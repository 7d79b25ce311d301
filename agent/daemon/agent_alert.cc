// Alerts both ways: what Pacemaker tells of its own decisions, as records for `hapair events` and `hapair why`; and
// what this node decides, for alert agents of Pacemaker's form.
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

// `logged` is gone with the next record, which this may lead to.
void Agent::alert_agents_of(const LoggedRecord& logged) {
  if (config_.alerts.empty()) return;
  std::optional<ClusterAlert> alert = pair_alerts_.take(logged.record);
  if (!alert) return;
  alert->wall_us = logged.wall_us;
  alert_agents_.send(*alert);
}

}  // namespace hapair::agent
