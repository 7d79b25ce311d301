// Which of this node's records are told to alert agents, as Pacemaker would tell the like of its own. Pure.
//
//   node      the partner is lost (unreachable, hung, panicked, rebooted) or, after that, a member again
//   fencing   a fence of the partner was confirmed or failed; task is the device's action
//   resource  a pool (CRM_alert_rsc its name) was started or stopped here, or could not be stopped; a resource of one
//             ("pool-a/fs") failed, or did not run and was restarted
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/pool_config.h"
#include "agent/core/model.h"
#include "agent/shell/cluster_alert.h"

namespace hapair::agent {

class PairAlerts {
 public:
  PairAlerts(NodeName self, NodeName partner, const std::vector<FenceDeviceConfig>& devices);
  // Nothing: it is told to nobody. The alert's time is not set.
  std::optional<ClusterAlert> take(const Record& record);

 private:
  std::optional<ClusterAlert> take_verdict(const Record& record);
  [[nodiscard]] ClusterAlert take_fence(const Record& record) const;
  [[nodiscard]] std::optional<ClusterAlert> take_pool(const Record& record) const;
  [[nodiscard]] ClusterAlert take_resource(const Record& record) const;
  [[nodiscard]] ClusterAlert resource_alert(std::string resource, std::string task, std::int64_t rc) const;

  NodeName self_;
  NodeName partner_;
  std::map<std::string, std::string> actions_;  // of each fence device
  bool lost_ = false;
};

// The environment of one call: CRM_alert_* as Pacemaker gives them, the agent's options, PATH and LC_ALL. `sequence`
// counts the alerts of this life of hapaird; `version` is what tells it.
std::vector<std::string> alert_environment(const ClusterAlert& alert, const AlertAgentConfig& agent,
                                           std::uint64_t sequence, const std::string& version);

}  // namespace hapair::agent
