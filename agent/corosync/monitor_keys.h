// The keys of Corosync's map (cmap) by which monitoring reads how this node stands:
//   hapair.pair, hapair.node, hapair.partner, hapair.node_state, hapair.partner_seen   texts
//   hapair.pool.NAME.state, hapair.pool.NAME.owner                                     texts
//   hapair.pool.NAME.epoch                                                             a number (u64)
// The map is Corosync's memory: a key stays until it is removed or Corosync ends.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>

#include "agent/corosync/fleet_message.h"

namespace hapair::agent {

inline constexpr const char* kMonitorPrefix = "hapair.";

using MonitorValue = std::variant<std::string, std::uint64_t>;
using MonitorKeys = std::map<std::string, MonitorValue>;

// An owner that is not known is "unknown".
MonitorKeys monitor_keys(const FleetReport& report);

}  // namespace hapair::agent
