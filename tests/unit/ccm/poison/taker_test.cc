#include "ccm/poison/taker.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace hapair::ccm {
namespace {

using std::chrono::seconds;
using Deed = PoisonTaker::Deed;

constexpr Duration kBound = seconds(5);
constexpr Duration kTold = std::chrono::milliseconds(100);

class APoisonTaker : public ::testing::Test {
 protected:
  void start(PoisonReset reset) { taker_.emplace(PoisonSettings{kBound, reset, kTold}); }
  void take(std::uint64_t serial) { taker_->take(now_, {Incarnation(7), serial}); }
  void take_reset(std::uint64_t serial) { taker_->take(now_, {Incarnation(7), serial, false, true}); }
  void withdraw(std::uint64_t serial) { taker_->take(now_, {Incarnation(7), serial, true}); }
  PoisonReason reason() { return static_cast<PoisonReason>(taker_->answer().reason); }

  Instant now_ = Instant(seconds(100));
  std::optional<PoisonTaker> taker_;
};

TEST_F(APoisonTaker, SaysNothingBeforeAnOrder) {
  start(PoisonReset::watchdog);
  EXPECT_EQ(taker_->answer(), PoisonAnswerLayout{});
  EXPECT_EQ(taker_->advance(now_ + seconds(1000)), Deed::none);
  taker_->agent_says(0, 0);
  EXPECT_EQ(taker_->state(), PoisonState::none);
}

TEST_F(APoisonTaker, AnswersStoppedForTheOrderThatTheAgentObeyed) {
  start(PoisonReset::watchdog);
  take(3);
  EXPECT_TRUE(taker_->stands());
  EXPECT_EQ(taker_->state(), PoisonState::accepted);
  EXPECT_EQ(taker_->answer().from_incarnation, 7U);
  EXPECT_EQ(taker_->answer().serial, 3U);
  taker_->agent_says(taker_->number(), 0);
  EXPECT_EQ(taker_->state(), PoisonState::stopped);
  EXPECT_FALSE(taker_->stands()) << "an agent that comes later is not told of it";
  EXPECT_EQ(taker_->advance(now_ + seconds(1000)), Deed::none);
}

TEST_F(APoisonTaker, WhatWasSaidOfAnEarlierOrderIsNoAnswerToTheNext) {
  start(PoisonReset::watchdog);
  take(3);
  const std::uint64_t first = taker_->number();
  taker_->agent_says(first, 0);
  take(4);
  taker_->agent_says(first, 0);
  EXPECT_EQ(taker_->state(), PoisonState::accepted);
  EXPECT_EQ(taker_->answer().serial, 4U);
}

TEST_F(APoisonTaker, StarvesTheWatchdogOnceWhereNobodyObeysWithinTheBound) {
  start(PoisonReset::watchdog);
  take(1);
  EXPECT_EQ(taker_->advance(now_ + kBound - Duration(1)), Deed::none);
  EXPECT_EQ(taker_->advance(now_ + kBound), Deed::starve_watchdog);
  taker_->starved(now_ + kBound, seconds(7));
  EXPECT_EQ(taker_->state(), PoisonState::resetting);
  EXPECT_EQ(taker_->advance(now_ + kBound + seconds(6)), Deed::none);
  EXPECT_EQ(taker_->advance(now_ + kBound + seconds(7)), Deed::none);
  EXPECT_EQ(taker_->state(), PoisonState::cannot) << "a watchdog that does not reset is told, and not trusted";
  EXPECT_EQ(reason(), PoisonReason::watchdog_failed);
}

TEST_F(APoisonTaker, DoesNotWaitForTheBoundWhereTheAgentSaysThatItCannot) {
  start(PoisonReset::sysrq);
  take(1);
  taker_->agent_says(0, taker_->number());
  EXPECT_EQ(taker_->advance(now_), Deed::reset_by_sysrq);
}

TEST_F(APoisonTaker, StarvesTheWatchdogWhereSysrqFailsAndSaysThatBothDid) {
  start(PoisonReset::sysrq);
  take(1);
  ASSERT_EQ(taker_->advance(now_ + kBound), Deed::reset_by_sysrq);
  taker_->sysrq_failed(EACCES);
  taker_->starved(now_ + kBound, seconds(7));
  EXPECT_EQ(taker_->state(), PoisonState::resetting);
  start(PoisonReset::sysrq);
  take(1);
  ASSERT_EQ(taker_->advance(now_ + kBound), Deed::reset_by_sysrq);
  taker_->sysrq_failed(EACCES);
  taker_->starved(now_ + kBound, std::nullopt);
  EXPECT_EQ(taker_->state(), PoisonState::cannot);
  EXPECT_EQ(reason(), PoisonReason::sysrq_failed);
  EXPECT_EQ(taker_->answer().error, EACCES);
}

TEST_F(APoisonTaker, CannotWithoutAReset) {
  start(PoisonReset::none);
  take(1);
  EXPECT_EQ(taker_->advance(now_ + kBound), Deed::none);
  EXPECT_EQ(taker_->state(), PoisonState::cannot);
  EXPECT_EQ(reason(), PoisonReason::no_reset);
  start(PoisonReset::watchdog);
  take(1);
  ASSERT_EQ(taker_->advance(now_ + kBound), Deed::starve_watchdog);
  taker_->starved(now_ + kBound, std::nullopt);
  EXPECT_EQ(reason(), PoisonReason::no_watchdog);
  // An operator stops what runs: that is true, and said.
  taker_->agent_says(taker_->number(), 0);
  EXPECT_EQ(taker_->state(), PoisonState::stopped);
}

TEST_F(APoisonTaker, OrdersThatFollowEachOtherDoNotKeepANodeAlive) {
  start(PoisonReset::watchdog);
  take(1);
  now_ += kBound - seconds(1);
  take(2);
  EXPECT_EQ(taker_->number(), 2U);
  EXPECT_EQ(taker_->advance(now_ + seconds(1)), Deed::starve_watchdog);
  take(3);
  EXPECT_EQ(taker_->state(), PoisonState::resetting);
}

TEST_F(APoisonTaker, AnOrderAfterOneThatCouldNotBeObeyedHasItsOwnTime) {
  start(PoisonReset::none);
  take(1);
  (void)taker_->advance(now_ + kBound);
  now_ += 2 * kBound;
  take(2);
  EXPECT_EQ(taker_->state(), PoisonState::accepted);
  EXPECT_EQ(taker_->advance(now_ + kBound - Duration(1)), Deed::none);
  EXPECT_EQ(taker_->state(), PoisonState::accepted);
}

TEST_F(APoisonTaker, AnOrderThatIsWithdrawnEndsAndNobodyIsReset) {
  start(PoisonReset::watchdog);
  take(1);
  withdraw(1);
  EXPECT_EQ(taker_->state(), PoisonState::none);
  EXPECT_FALSE(taker_->stands());
  EXPECT_EQ(taker_->answer().serial, 1U) << "so that the giver sees that it is known";
  EXPECT_EQ(taker_->advance(now_ + 10 * kBound), Deed::none);
  taker_->agent_says(taker_->number(), 0);
  EXPECT_EQ(taker_->state(), PoisonState::none) << "what is not waited for is not answered";
}

TEST_F(APoisonTaker, AnOrderThatCouldNotBeObeyedEndsWithItsWithdrawal) {
  start(PoisonReset::none);
  take(1);
  (void)taker_->advance(now_ + kBound);
  ASSERT_EQ(taker_->state(), PoisonState::cannot);
  withdraw(1);
  EXPECT_EQ(taker_->state(), PoisonState::none);
  EXPECT_EQ(reason(), PoisonReason::none);
}

TEST_F(APoisonTaker, AResetThatIsUnderWayIsNotCalledBack) {
  start(PoisonReset::watchdog);
  take(1);
  ASSERT_EQ(taker_->advance(now_ + kBound), Deed::starve_watchdog);
  taker_->starved(now_ + kBound, seconds(7));
  withdraw(1);
  EXPECT_EQ(taker_->state(), PoisonState::resetting);
  (void)taker_->advance(now_ + kBound + seconds(7));
  EXPECT_EQ(taker_->state(), PoisonState::none)
      << "a watchdog that does not reset leaves nothing that anybody waits for";
}

TEST_F(APoisonTaker, WhatWasObeyedStaysSoForItsOwnOrderAlone) {
  start(PoisonReset::watchdog);
  take(1);
  taker_->agent_says(taker_->number(), 0);
  withdraw(1);
  EXPECT_EQ(taker_->state(), PoisonState::stopped);
  withdraw(2);  // of an order that never came
  EXPECT_EQ(taker_->state(), PoisonState::none);
  EXPECT_EQ(taker_->answer().serial, 2U);
}

TEST_F(APoisonTaker, AnOrderEndsWithTheCcmThatGaveIt) {
  start(PoisonReset::watchdog);
  take(1);
  taker_->sees_giver(Incarnation(7));
  EXPECT_TRUE(taker_->stands());
  taker_->sees_giver(Incarnation(8));
  EXPECT_FALSE(taker_->stands());
  EXPECT_EQ(taker_->advance(now_ + 10 * kBound), Deed::none);
}

TEST_F(APoisonTaker, ResetsTheNodeAsOrderedOnceThatItHasTheOrderCouldBeRead) {
  start(PoisonReset::watchdog);
  take_reset(1);
  EXPECT_EQ(taker_->state(), PoisonState::accepted);
  EXPECT_EQ(taker_->advance(now_ + kTold - Duration(1)), Deed::none);
  taker_->agent_says(taker_->number(), 0);
  EXPECT_EQ(taker_->state(), PoisonState::accepted) << "pools that have stopped are not what was ordered";
  EXPECT_EQ(taker_->advance(now_ + kTold), Deed::starve_watchdog);
  taker_->starved(now_ + kTold, seconds(7));
  taker_->agent_says(taker_->number(), 0);
  EXPECT_EQ(taker_->state(), PoisonState::resetting);
}

TEST_F(APoisonTaker, AnOrderToResetDoesNotWaitForAnEarlierOneToStopPools) {
  start(PoisonReset::sysrq);
  take(1);
  take_reset(2);
  EXPECT_EQ(taker_->advance(now_ + kTold), Deed::reset_by_sysrq);
}

TEST_F(APoisonTaker, AnOrderToResetCanBeWithdrawnAndRefused) {
  start(PoisonReset::none);
  take_reset(1);
  withdraw(1);
  EXPECT_EQ(taker_->advance(now_ + kTold), Deed::none);
  EXPECT_EQ(taker_->state(), PoisonState::none);
  take_reset(2);
  EXPECT_EQ(taker_->advance(now_ + kTold), Deed::none);
  EXPECT_EQ(taker_->state(), PoisonState::cannot);
  EXPECT_EQ(reason(), PoisonReason::no_reset);
  taker_->agent_says(taker_->number(), 0);
  EXPECT_EQ(taker_->state(), PoisonState::cannot);
}

TEST_F(APoisonTaker, AResetThatIsUnderWayNeverAnswersStoppedWhenItsOrderIsWithdrawn) {
  start(PoisonReset::watchdog);
  take_reset(1);
  ASSERT_EQ(taker_->advance(now_ + kTold), Deed::starve_watchdog);
  taker_->starved(now_ + kTold, seconds(7));
  withdraw(1);
  taker_->agent_says(taker_->number(), 0);
  EXPECT_EQ(taker_->state(), PoisonState::resetting);
  EXPECT_TRUE(taker_->resets());
  take(2);
  EXPECT_FALSE(taker_->resets());
}

}  // namespace
}  // namespace hapair::ccm
