// Courses of events that end in rows of the transition table which chance alone does not bring in 100,000 schedules:
// of one schedule in fifty, in place of its beginning. Drawn from a seed of its own.
#pragma once

#include <cstdint>

#include "tests/scenario/schedule.h"

namespace hapair::world {

void add_rare(Plan& plan, std::uint64_t seed);

}  // namespace hapair::world
