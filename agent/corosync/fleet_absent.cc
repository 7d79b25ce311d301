// Where libcpg or libcmap was not there when this was built.
#include "agent/corosync/fleet.h"

namespace hapair::agent {

struct Fleet::Shared {};

bool Fleet::is_built() { return false; }
Fleet::Fleet(const std::string& /*group*/) {}
Fleet::~Fleet() = default;
void Fleet::publish(FleetReport /*report*/, Instant /*now*/) {}
FleetView Fleet::view(Instant /*now*/) const { return {}; }

}  // namespace hapair::agent
