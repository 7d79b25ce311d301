// What `hapair check` says of the Corosync that runs on this node, where leases are to rest on its quorum.
#pragma once

#include <string>

#include "agent/cli/json.h"
#include "agent/cli/text.h"
#include "agent/config/agent_config.h"

namespace hapair::cli {

// Both empty where the arbiter is another one. They wait for a Corosync that hangs, some seconds.
std::string quorum_text(const agent::AgentConfig& config, const Style& style);
Json quorum_json(const agent::AgentConfig& config);

}  // namespace hapair::cli
