// ccm.watchdog.container_covers_pools: the promise that every resource of every pool ends with the processes of the
// container that is the node. What plainly lives in the kernel under the container refutes it.
#pragma once

#include <string>
#include <vector>

#include "agent/config/agent_config.h"

namespace hapair::agent {

// Names of those of the pool's resources that do not end with the container's processes. Knows the common ones only:
// an empty answer proves nothing.
std::vector<std::string> resources_in_the_kernel(const PoolConfig& pool);

// Refuses the promise for a pool with such resources, unless its disks are reserved: then the partner's preempt keeps
// what stays from writing.
void check_container_promise(ccm::ConfigObject& root, const AgentConfig& config);

}  // namespace hapair::agent
