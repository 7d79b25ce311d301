#include "ccm/watchdog/feed.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string>

namespace hapair::ccm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kTimeout = seconds(4);

ClientName name_of(std::string_view text) {
  ClientName name{};
  put_name(name, text);
  return name;
}

class WatchdogFeedTest : public testing::Test {
 protected:
  static Instant at(Duration since_boot) { return Instant(since_boot); }
  bool says(std::string_view client, Duration until) { return feed_.take(name_of(client), until.count()); }
  bool says_freely(std::string_view client) { return feed_.take(name_of(client), kFedFreely); }

  std::array<FedUntilEntry, kMaxClients> table_{};
  WatchdogFeed feed_{table_};
};

TEST_F(WatchdogFeedTest, WithoutADeviceThereIsNothingToFeed) {
  EXPECT_EQ(feed_.at(at(seconds(10))), Feeding::no_device);
  feed_.device_is_held(kTimeout, at(seconds(10)));
  feed_.device_is_lost();
  EXPECT_EQ(feed_.at(at(seconds(20))), Feeding::no_device);
}

TEST_F(WatchdogFeedTest, IsFedEveryQuarterOfItsTimeout) {
  feed_.device_is_held(kTimeout, at(seconds(10)));
  struct Case {
    Duration now;
    Feeding expected;
  };
  for (const Case& one : {Case{milliseconds(10'000), Feeding::not_yet}, Case{milliseconds(10'999), Feeding::not_yet},
                          Case{milliseconds(11'000), Feeding::due}, Case{milliseconds(13'999), Feeding::due}}) {
    EXPECT_EQ(feed_.at(at(one.now)), one.expected) << one.now.count();
  }
  feed_.fed(at(milliseconds(11'000)));
  EXPECT_EQ(feed_.at(at(milliseconds(11'999))), Feeding::not_yet);
  EXPECT_EQ(feed_.at(at(milliseconds(12'000))), Feeding::due);
}

TEST_F(WatchdogFeedTest, IsFedBeforeTheTimeOfAClientAndNotFromItOn) {
  feed_.device_is_held(kTimeout, at(seconds(10)));
  ASSERT_TRUE(says("server", seconds(20)));
  EXPECT_EQ(feed_.at(at(seconds(20) - Duration(1))), Feeding::due);
  EXPECT_EQ(feed_.at(at(seconds(20))), Feeding::overdue);
  EXPECT_EQ(feed_.at(at(seconds(1000))), Feeding::overdue) << "it does not go on by itself";
}

TEST_F(WatchdogFeedTest, GoesOnWhereTheClientMovesItsTimeOnOrHasStoppedAllThatItServes) {
  feed_.device_is_held(kTimeout, at(seconds(10)));
  ASSERT_TRUE(says("server", seconds(20)));
  EXPECT_EQ(feed_.at(at(seconds(21))), Feeding::overdue);
  ASSERT_TRUE(says("server", seconds(30)));
  EXPECT_EQ(feed_.at(at(seconds(21))), Feeding::due);
  EXPECT_EQ(feed_.at(at(seconds(30))), Feeding::overdue);
  ASSERT_TRUE(says_freely("server"));
  EXPECT_EQ(feed_.at(at(seconds(31))), Feeding::due);
  EXPECT_EQ(feed_.at(at(seconds(1000))), Feeding::due);
}

TEST_F(WatchdogFeedTest, AnEarlierTimeCountsToo) {
  feed_.device_is_held(kTimeout, at(seconds(10)));
  ASSERT_TRUE(says("server", seconds(30)));
  ASSERT_TRUE(says("server", seconds(20)));
  EXPECT_EQ(feed_.at(at(seconds(25))), Feeding::overdue);
}

TEST_F(WatchdogFeedTest, EveryClientMustHaveItsTimeBeforeIt) {
  feed_.device_is_held(kTimeout, at(seconds(10)));
  ASSERT_TRUE(says("server", seconds(30)));
  ASSERT_TRUE(says("mirror", seconds(20)));
  ASSERT_TRUE(feed_.first());
  EXPECT_EQ(name_in(feed_.first()->name), "mirror");
  EXPECT_EQ(feed_.at(at(seconds(25))), Feeding::overdue);
  ASSERT_TRUE(says("server", seconds(60)));
  EXPECT_EQ(feed_.at(at(seconds(25))), Feeding::overdue) << "another's word does not help";
  ASSERT_TRUE(says_freely("server"));
  EXPECT_EQ(feed_.at(at(seconds(25))), Feeding::overdue);
  ASSERT_TRUE(says_freely("mirror"));
  EXPECT_EQ(feed_.at(at(seconds(25))), Feeding::due);
  EXPECT_FALSE(feed_.first());
}

TEST_F(WatchdogFeedTest, AClientThatSaysNothingLeavesWhatItsEarlierLifeSaid) {
  feed_.device_is_held(kTimeout, at(seconds(10)));
  ASSERT_TRUE(says("server", seconds(20)));
  ASSERT_TRUE(feed_.take(name_of("server"), kSaysNothing));
  ASSERT_TRUE(feed_.first());
  EXPECT_EQ(feed_.at(at(seconds(21))), Feeding::overdue);
}

TEST_F(WatchdogFeedTest, WhatTheClientsOfAnEarlierCcmSaidIsInForce) {
  ASSERT_TRUE(says("server", seconds(20)));
  WatchdogFeed next(table_);
  EXPECT_TRUE(next.overdue(at(seconds(20))));
  next.device_is_held(kTimeout, at(seconds(15)));
  EXPECT_EQ(next.at(at(seconds(19))), Feeding::due);
  EXPECT_EQ(next.at(at(seconds(20))), Feeding::overdue);
  ASSERT_TRUE(next.take(name_of("server"), ns_of(at(seconds(40)))));
  EXPECT_EQ(next.at(at(seconds(20))), Feeding::due);
}

TEST_F(WatchdogFeedTest, AWordThatIsNoTimeIsATimeThatHasPassed) {
  feed_.device_is_held(kTimeout, at(seconds(10)));
  ASSERT_TRUE(says("server", Duration(std::numeric_limits<std::int64_t>::min())));
  EXPECT_EQ(feed_.at(at(seconds(11))), Feeding::overdue) << "garbage is not taken for leave to run on";
}

TEST_F(WatchdogFeedTest, MoreClientsThanPlacesAreToldThatTheirsIsNotInForce) {
  for (std::size_t i = 0; i < kMaxClients; ++i) ASSERT_TRUE(says("client-" + std::to_string(i), seconds(20)));
  EXPECT_FALSE(says("one-more", seconds(20)));
  EXPECT_TRUE(says("client-3", seconds(30))) << "who has a place keeps it";
  EXPECT_TRUE(says_freely("one-more")) << "who wants nothing needs none";
  ASSERT_TRUE(says_freely("client-0"));
  EXPECT_TRUE(says("one-more", seconds(20)));
}

TEST_F(WatchdogFeedTest, WhatStandsForANameIsKnownToItsNextLife) {
  ASSERT_TRUE(says("server", seconds(20)));
  EXPECT_EQ(feed_.standing(name_of("server")), ns_of(at(seconds(20))));
  EXPECT_EQ(feed_.standing(name_of("other")), kSaysNothing);
  ASSERT_TRUE(says_freely("server"));
  EXPECT_EQ(feed_.standing(name_of("server")), kSaysNothing);
}

}  // namespace
}  // namespace hapair::ccm
