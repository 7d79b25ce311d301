// Reports as the tests of the fleet send them.
#pragma once

#include <string>
#include <vector>

#include "agent/corosync/fleet_message.h"

namespace hapair::agent::test {

inline FleetPool fleet_pool(const std::string& name, const std::string& owner, const std::string& state,
                            std::uint64_t epoch) {
  return {*PoolName::parse(name), NodeName::parse(owner).value_or(NodeName{}), state, Epoch(epoch)};
}

inline FleetReport fleet_report(const std::string& pair, const std::string& node, const std::string& partner,
                                std::vector<FleetPool> pools) {
  return {.pair = *PairName::parse(pair),
          .node = *NodeName::parse(node),
          .partner = *NodeName::parse(partner),
          .state = "serving",
          .partner_seen = "alive",
          .pools = std::move(pools)};
}

}  // namespace hapair::agent::test
