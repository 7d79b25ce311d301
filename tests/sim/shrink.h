// The shortest list of a plan's acts that still shows a violation, as far as trying finds it.
#pragma once

#include "tests/scenario/schedule.h"

namespace hapair::sim {

// `plan` shows one. First the shortest beginning of it is found, then each act of that which can be left out goes.
world::Plan shrink(const world::Plan& plan);

}  // namespace hapair::sim
