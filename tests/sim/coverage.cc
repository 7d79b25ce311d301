#include "tests/sim/coverage.h"

#include <fmt/core.h>

#include "agent/core/transitions.h"

namespace hapair::sim {

void print_coverage(const Tally& tally) {
  const auto rows = agent::transitions();
  std::size_t taken = 0;
  std::string all;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const agent::Transition& row = rows[i];
    const std::uint64_t count = tally.of(fmt::format("row/{}", i));
    if (count > 0) ++taken;
    all += fmt::format("  {:>12} {} + {} [{}] -> {}\n", count > 0 ? std::to_string(count) : "not taken",
                       text_of(row.from), text_of(row.event), text_of(row.guard), text_of(row.to));
  }
  fmt::print("transition table: {} of {} rows taken\n{}", taken, rows.size(), all);
}

}  // namespace hapair::sim
