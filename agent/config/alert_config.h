// "alerts": programs of the form of Pacemaker's alert agents that this node calls (agent/shell/alert_agents.h).
#pragma once

#include <string>
#include <vector>

#include "agent/config/pool_config.h"
#include "ccm/config/document.h"

namespace hapair::agent {

inline constexpr std::size_t kMaxAlertAgents = 8;

// Problems go to the object they were found in.
std::vector<AlertAgentConfig> read_alerts(ccm::ConfigObject& root);

}  // namespace hapair::agent
