// Reads the pools and the fence devices of the configuration. Problems go to the object they were found in.
#pragma once

#include <vector>

#include "agent/config/agent_config.h"
#include "ccm/config/document.h"

namespace hapair::agent {

std::vector<PoolConfig> read_pools(ccm::ConfigObject& root, const ccm::PairConfig& pair, const AgentPlaces& places);
FencingConfig read_fencing(ccm::ConfigObject& root, const ccm::PairConfig& pair, const AgentPlaces& places);

// Why `program` cannot be run; empty where it can.
std::string why_not_runnable(const std::string& program);

// Which resource waits for itself through `after`, with the way round ("a after b after a"); empty where none does.
std::string circle_in(const std::vector<ResourceConfig>& resources);

}  // namespace hapair::agent
