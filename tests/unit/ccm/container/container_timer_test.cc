#include "ccm/container/container_timer.h"

#include <gtest/gtest.h>

namespace hapair::ccm {
namespace {

using std::chrono::seconds;

constexpr Instant at(int s) { return Instant(seconds(s)); }

TEST(ContainerTimer, RunsFromItsFirstHolderOnAndNotBefore) {
  ContainerTimer timer(false);
  EXPECT_FALSE(timer.over(at(1'000'000)));
  timer.feed(at(10), at(10));
  EXPECT_EQ(timer.ends_at(), std::nullopt);
  timer.start(seconds(4), at(10), at(10));
  EXPECT_FALSE(timer.over(at(13)));
  EXPECT_TRUE(timer.over(at(14)));
}

TEST(ContainerTimer, AFeedCountsFromItsDecisionHoweverLateItIsRead) {
  ContainerTimer timer(false);
  timer.start(seconds(4), at(10), at(10));
  timer.feed(at(12), at(20));
  EXPECT_EQ(timer.ends_at(), at(16));
}

TEST(ContainerTimer, AWishThatLayUnreadStartsItWhenItIsRead) {
  ContainerTimer timer(false);
  timer.start(seconds(4), at(10), at(100));
  EXPECT_EQ(timer.ends_at(), at(104));
  timer.start(seconds(4), at(11), at(101));
  EXPECT_EQ(timer.ends_at(), at(104)) << "one that runs is fed by nothing of the past";
}

TEST(ContainerTimer, AFeedDecidedAfterTheEndIsNone) {
  ContainerTimer timer(false);
  timer.start(seconds(4), at(10), at(10));
  timer.feed(at(14), at(14));
  timer.start(seconds(4), at(15), at(15));
  EXPECT_FALSE(timer.stop(at(15)));
  EXPECT_TRUE(timer.over(at(15)));
}

TEST(ContainerTimer, NoFeedIsOfTheFutureAndNoneTakesBackAnother) {
  ContainerTimer timer(false);
  timer.start(seconds(4), at(100), at(10));
  EXPECT_EQ(timer.ends_at(), at(14));
  timer.feed(at(1000), at(12));
  EXPECT_EQ(timer.ends_at(), at(16));
  timer.feed(at(11), at(13));
  EXPECT_EQ(timer.ends_at(), at(16));
}

TEST(ContainerTimer, AnotherHolderGoesOnWithItsOwnTimeOut) {
  ContainerTimer timer(false);
  timer.start(seconds(4), at(10), at(10));
  timer.start(seconds(2), at(13), at(13));
  EXPECT_EQ(timer.ends_at(), at(15));
}

TEST(ContainerTimer, IsStoppedUnlessThereIsNoWayOut) {
  ContainerTimer timer(false);
  timer.start(seconds(4), at(10), at(10));
  EXPECT_TRUE(timer.stop(at(12)));
  EXPECT_FALSE(timer.over(at(100)));
  ContainerTimer nowayout(true);
  EXPECT_FALSE(nowayout.can_stop());
  nowayout.start(seconds(4), at(10), at(10));
  EXPECT_FALSE(nowayout.stop(at(12)));
  EXPECT_TRUE(nowayout.over(at(14)));
}

}  // namespace
}  // namespace hapair::ccm
