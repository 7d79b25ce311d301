// Of a third of the schedules: beats and notices over mailbox disks, and operators who move pools while every link is
// cut. Drawn from a seed of its own, so that what the others draw stays as it is.
#pragma once

#include <cstdint>

#include "tests/scenario/schedule.h"

namespace hapair::world {

void add_notices(Plan& plan, std::uint64_t seed);

}  // namespace hapair::world
