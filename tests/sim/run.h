// One schedule, run and counted, or run and told as it happens.
#pragma once

#include <string>
#include <vector>

#include "tests/scenario/schedule.h"
#include "tests/sim/tally.h"

namespace hapair::sim {

using Violations = std::vector<std::string>;

Violations run_counted(const world::Plan& plan, Tally& tally);
// Prints the story and the records of both nodes, in the order of time, then the violations.
Violations run_told(const world::Plan& plan);
// What of it is beside the point gone: names of pools and figures. "POOL is serving: ... after N ms"
std::string reason_of(const std::string& text);

}  // namespace hapair::sim
