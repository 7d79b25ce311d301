// Random schedules (schedule.h) under all checkers, without the hours of quiet, which the simulator's own runs have.
//
// HAPAIR_SEED=N runs the schedule of one seed and tells what happened, as build/dev/tests/sim/sim --no-quiet N does;
// HAPAIR_SCHEDULES=N is how many are run.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/scenario/schedule.h"

namespace hapair::world {
namespace {

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(RandomSchedules, never_break_a_promise_and_end_well) {
  const std::uint64_t only = number_from("HAPAIR_SEED", 0);
  const std::uint64_t first = only != 0 ? only : 1;
  const std::uint64_t count = only != 0 ? 1 : number_from("HAPAIR_SCHEDULES", 800);
  fmt::print("seeds {} to {}\n", first, first + count - 1);
  int failures = 0;
  for (std::uint64_t seed = first; seed < first + count && failures < 5; ++seed) {
    Schedule schedule(without_quiet(draw_plan(seed)));
    schedule.run();
    if (only != 0) {
      for (const Told& told : schedule.world().told()) {
        fmt::print("{:>10.1f} {}: {}: {}\n", ms_of(told.record.when - Instant(seconds(1000))),
                   schedule.world().name(told.node), told.record.kind, told.record.text);
      }
    }
    if (schedule.world().violations().empty()) continue;
    ++failures;
    ADD_FAILURE() << "HAPAIR_SEED=" << seed << "\n" << schedule.story() << schedule.world().violations().front();
  }
}

}  // namespace
}  // namespace hapair::world
