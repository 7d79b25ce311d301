// What `hapair check` says of a configuration that is right: what each failure will lead to, and a takeover's times.
#pragma once

#include <string>

#include "agent/cli/json.h"
#include "agent/cli/text.h"
#include "agent/config/agent_config.h"

namespace hapair::cli {

std::string forecast_text(const agent::AgentConfig& config, const Style& style);
Json forecast_json(const agent::AgentConfig& config);

}  // namespace hapair::cli
