// Whether the disks of a configuration's reservations can be taken by this node, as hapair-reserve finds them.
#pragma once

#include <string>
#include <vector>

#include "agent/config/agent_config.h"

namespace hapair::cli {

struct ReservationLook {
  bool asked = false;                 // false: nothing is reserved, or only root may ask
  std::size_t disks = 0;              // how many there are
  std::vector<std::string> problems;  // sentences; each names its disk
};
// Changes nothing on any disk. A disk that does not answer is waited for as long as the configuration says, no longer.
ReservationLook look_at_reservations(const agent::AgentConfig& config);

}  // namespace hapair::cli
