#include "heartbeat/local_health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/heartbeat/watching.h"

namespace hapair::heartbeat {
namespace {

using testing::HasSubstr;

class LocalHealthTest : public ::testing::Test {
 protected:
  LocalHealthTest() {
    sample_.when = Instant(seconds(50));
    sample_.memory_waits = sample_.io_waits = seconds(7);
    sample_.stolen_ticks = 100;
    sample_.all_ticks = 100'000;
    (void)health_.take(sample_);
  }
  // One second more, of which the kernel says this.
  std::optional<Strain> second(Duration memory = {}, Duration io = {}, std::uint64_t stolen = 0,
                               Duration suspended = {}, Duration latest = {}) {
    sample_.when += seconds(1);
    *sample_.memory_waits += memory;
    *sample_.io_waits += io;
    *sample_.stolen_ticks += stolen;
    *sample_.all_ticks += 200;
    sample_.suspended += suspended;
    sample_.latest = latest;
    return health_.take(sample_);
  }

  LocalHealth health_{milliseconds(30)};
  LocalSample sample_;
};

TEST_F(LocalHealthTest, IsWellWhereNothingIsShort) {
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(second(milliseconds(50), milliseconds(300), 10, {}, milliseconds(29)));
  EXPECT_EQ(health_.strain().factor, 1);
}

TEST_F(LocalHealthTest, NamesWhatIsShortAndHowMuch) {
  const auto memory = second(milliseconds(250));
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->cause, StrainCause::memory);
  EXPECT_EQ(memory->factor, 2);
  EXPECT_THAT(memory->fact, HasSubstr("wait for memory for 25 % of the last 1.0 s"));
  const auto stolen = second({}, {}, 120);
  ASSERT_TRUE(stolen) << "worse than what was";
  EXPECT_EQ(stolen->cause, StrainCause::stolen);
  EXPECT_EQ(stolen->factor, 4);
  EXPECT_THAT(stolen->fact, HasSubstr("60 % of the last 1.0 s"));
}

TEST_F(LocalHealthTest, KnowsASuspensionByTheTwoClocks) {
  const auto strain = second({}, {}, 0, seconds(3600));
  ASSERT_TRUE(strain);
  EXPECT_EQ(strain->cause, StrainCause::suspended);
  EXPECT_THAT(strain->fact, HasSubstr("3600.000 s"));
}

TEST_F(LocalHealthTest, BlamesItselfForItsOwnLateness) {
  const auto strain = second({}, {}, 0, {}, milliseconds(45));
  ASSERT_TRUE(strain);
  EXPECT_EQ(strain->cause, StrainCause::late);
  EXPECT_EQ(strain->factor, 2);
  EXPECT_THAT(strain->fact, HasSubstr("45.0 ms late"));
  EXPECT_EQ(second({}, {}, 0, {}, seconds(5))->factor, 4);
}

TEST_F(LocalHealthTest, OfIoEverythingMustWaitForHalfTheTime) {
  EXPECT_FALSE(second({}, milliseconds(490)));
  const auto strain = second({}, milliseconds(510));
  ASSERT_TRUE(strain);
  EXPECT_EQ(strain->cause, StrainCause::io);
}

TEST_F(LocalHealthTest, StaysStrainedForFiveSecondsAfterTheLastSign) {
  ASSERT_TRUE(second(milliseconds(250)));
  EXPECT_FALSE(second(milliseconds(250)));
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(second());
  EXPECT_EQ(health_.strain().factor, 2);
  const auto well = second();
  ASSERT_TRUE(well);
  EXPECT_EQ(well->cause, StrainCause::none);
  EXPECT_EQ(well->factor, 1);
}

TEST_F(LocalHealthTest, OfTwoEqualStrainsTheFirstIsTold) {
  ASSERT_TRUE(second(milliseconds(250)));
  EXPECT_FALSE(second({}, milliseconds(600)));
  EXPECT_EQ(health_.strain().cause, StrainCause::memory);
}

TEST_F(LocalHealthTest, APauseIsToldAlsoToWhoIsLateAlready) {
  ASSERT_EQ(second({}, {}, 0, {}, milliseconds(100))->factor, 4);
  EXPECT_FALSE(second({}, {}, 0, {}, milliseconds(300))) << "no stronger, and not much worse";
  const auto pause = second({}, {}, 0, {}, seconds(5));
  ASSERT_TRUE(pause);
  EXPECT_EQ(pause->factor, 4);
  EXPECT_THAT(pause->fact, HasSubstr("5000.0 ms late"));
  EXPECT_FALSE(second({}, {}, 0, {}, seconds(6)));
}

TEST_F(LocalHealthTest, NoShareIsTakenOfAMoment) {
  sample_.when += milliseconds(2);
  *sample_.memory_waits += milliseconds(2);
  EXPECT_FALSE(health_.take(sample_));
  sample_.when += milliseconds(998);
  EXPECT_FALSE(health_.take(sample_));
  *sample_.memory_waits += milliseconds(98);
  sample_.when += milliseconds(400);
  EXPECT_FALSE(health_.take(sample_)) << "since the last whole window";
  EXPECT_FALSE(second()) << "98 ms of 1.4 s";
}

TEST_F(LocalHealthTest, WhatTheKernelDoesNotTellIsNotHeldAgainstAnyone) {
  sample_.memory_waits.reset();
  sample_.stolen_ticks.reset();
  sample_.when += seconds(1);
  EXPECT_FALSE(health_.take(sample_));
  sample_.memory_waits = seconds(1000);  // it tells again, from anywhere
  sample_.stolen_ticks = 1;
  sample_.when += seconds(1);
  EXPECT_FALSE(health_.take(sample_));
}

// What the strain does.

TEST_F(Watching, waits_longer_while_this_node_is_strained_and_no_longer_than_the_ceiling) {
  see_it_alive();
  watch_.widen(4);
  EXPECT_EQ(watch_.rail_detector().limit(), milliseconds(120));
  EXPECT_EQ(watch_.rail_detector().limit_reason(), LimitReason::widened);
  waits(11);
  EXPECT_EQ(verdict(), Verdict::alive);
  waits(1);
  EXPECT_EQ(verdict(), Verdict::unreachable);
  EXPECT_THAT(because(), HasSubstr("(limit 120.0 ms)"));
  watch_.widen(1000);
  EXPECT_EQ(watch_.rail_detector().limit(), milliseconds(500));
  watch_.widen(1);
  EXPECT_EQ(watch_.rail_detector().limit(), milliseconds(30));
  EXPECT_EQ(watch_.rail_detector().limit_reason(), LimitReason::floor);
}

TEST_F(Watching, stays_widened_over_a_new_life_of_the_partner) {
  see_it_alive();
  watch_.widen(4);
  page_.incarnation = page_.incarnation.next();
  looks(2);
  EXPECT_EQ(watch_.ccm_detector().limit(), milliseconds(120));
}

}  // namespace
}  // namespace hapair::heartbeat
