// Many seeds over several processes: one that ends itself takes no other with it, and is told like a violation.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "tests/scenario/schedule.h"
#include "tests/sim/tally.h"

namespace hapair::sim {

struct Crew {
  std::uint64_t first = 1;
  std::uint64_t runs = 1;
  unsigned jobs = 1;
  std::function<world::Plan(std::uint64_t seed)> plan = world::draw_plan;
};
struct CrewResult {
  Tally tally;
  // The lowest seed that shows a violation, or whose run ended itself. Every seed below it was run.
  std::optional<std::uint64_t> failing;
};

CrewResult run_crew(const Crew& crew);
// In a process of its own; true where it shows a violation or ends itself.
bool fails(const world::Plan& plan);
// What `tell` prints is printed, also where it ends the process it runs in; how that ended is told too.
void tell_apart(const std::function<void()>& tell);

}  // namespace hapair::sim
