#include "tests/sim/coverage.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

#include "agent/core/transitions.h"

namespace hapair::sim {

namespace {

// Rows that this world cannot take, or hardly: why, and what else tries them.
struct Untaken {
  agent::PoolState from;
  agent::PoolEvent event;
  std::string_view why;
};
constexpr Untaken kUntaken[] = {
    {agent::PoolState::acquiring, agent::PoolEvent::poisoned,
     "a write takes 2 ms here and is over before the next round of the CCM, which brings the poison; "
     "tests/unit/agent/core/engine_poison_test.cc takes it"},
};

std::string why_not(const agent::Transition& row) {
  const auto known = std::ranges::find_if(
      kUntaken, [&row](const Untaken& untaken) { return untaken.from == row.from && untaken.event == row.event; });
  return known == std::end(kUntaken) ? " (too seldom for so few runs)" : fmt::format(" ({})", known->why);
}

}  // namespace

void print_coverage(const Tally& tally) {
  const auto rows = agent::transitions();
  std::size_t taken = 0;
  std::string all;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const agent::Transition& row = rows[i];
    const std::uint64_t count = tally.of(fmt::format("row/{}", i));
    if (count > 0) ++taken;
    all += fmt::format("  {:>12} {} + {} [{}] -> {}{}\n", count > 0 ? std::to_string(count) : "not taken",
                       text_of(row.from), text_of(row.event), text_of(row.guard), text_of(row.to),
                       count > 0 ? "" : why_not(row));
  }
  fmt::print("transition table: {} of {} rows taken\n{}", taken, rows.size(), all);
}

}  // namespace hapair::sim
