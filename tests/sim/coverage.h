// Which rows of the transition table the runs took, and which they did not.
#pragma once

#include "tests/sim/tally.h"

namespace hapair::sim {

void print_coverage(const Tally& tally);

}  // namespace hapair::sim
