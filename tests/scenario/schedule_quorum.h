// Of a quarter of the schedules without mailbox disks: a Corosync on each node, leases on its quorum, and rings that
// are cut, votes that move and Corosyncs that end while pools do. Drawn from a seed of its own, so that what the others
// draw stays as it is.
#pragma once

#include <cstdint>

#include "tests/scenario/schedule.h"

namespace hapair::world {

void add_quorum(Plan& plan, std::uint64_t seed);

}  // namespace hapair::world
