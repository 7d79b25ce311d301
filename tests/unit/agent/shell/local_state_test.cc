#include "agent/shell/local_state.h"

#include <gtest/gtest.h>

namespace hapair::agent {
namespace {

TEST(ParseFullPressure, TakesTheTotalOfItsOwnLine) {
  const std::string_view text =
      "some avg10=1.00 avg60=0.00 avg300=0.00 total=12345\nfull avg10=0.12 avg60=0.00 avg300=0.00 total=678\n";
  EXPECT_EQ(parse_full_pressure(text), std::chrono::microseconds(678));
  EXPECT_EQ(parse_full_pressure("full avg10=0.00 total=9\nsome total=1\n"), std::chrono::microseconds(9));
}

TEST(ParseFullPressure, NothingWhereItIsNotThere) {
  for (const char* text : {"", "some avg10=1.00 total=5\n", "full avg10=0.00\nsome total=7\n", "full total=\n",
                           "full total=x\n", "full", "not full total=3"}) {
    EXPECT_EQ(parse_full_pressure(text), std::nullopt) << text;
  }
}

TEST(ParseProcessorTicks, AddsUpAllButGuests) {
  const auto ticks = parse_processor_ticks("cpu  10 20 30 40 50 60 70 80 900 900\ncpu0 1 1 1 1 1 1 1 1 0 0\n");
  ASSERT_TRUE(ticks);
  EXPECT_EQ(ticks->stolen, 80U);
  EXPECT_EQ(ticks->all, 360U);
}

TEST(ParseProcessorTicks, NothingOfAnotherForm) {
  for (const char* text : {"", "cpu", "cpu0 1 2 3 4 5 6 7 8\n", "cpu  1 2 3 4 5 6 7\n", "cpu  1 2 x 4 5 6 7 8\n"}) {
    EXPECT_FALSE(parse_processor_ticks(text)) << text;
  }
}

TEST(LocalState, IsReadFromThisKernelAndOnlyRises) {
  const SystemClock clock;
  const auto first = sample_local_state(clock.now());
  const auto second = sample_local_state(clock.now());
  EXPECT_GE(first.suspended, -std::chrono::milliseconds(1));
  ASSERT_TRUE(first.all_ticks && second.all_ticks);
  EXPECT_GE(*second.all_ticks, *first.all_ticks);
  if (first.memory_waits) {
    EXPECT_GE(*second.memory_waits, *first.memory_waits);
  }
}

}  // namespace
}  // namespace hapair::agent
