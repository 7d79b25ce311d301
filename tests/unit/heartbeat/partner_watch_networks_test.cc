#include "heartbeat/partner_watch.h"
#include "tests/unit/heartbeat/watching.h"

namespace hapair::heartbeat {
namespace {

// Beats over IP networks.

TEST_F(Watching, says_interconnect_lost_when_a_network_beats) {
  see_it_alive();
  for (int i = 0; i < 30; ++i) {
    beats_on(0);
    waits(1);
  }
  EXPECT_EQ(verdict(), Verdict::interconnect_lost);
  EXPECT_EQ(verdicts_, std::vector{Verdict::interconnect_lost}) << "never unreachable on the way";
  EXPECT_NE(because().find("network mgmt: the partner beats there"), std::string::npos) << because();
  waits(50);
  EXPECT_EQ(verdict(), Verdict::unreachable) << "the network went silent too";
  EXPECT_NE(because().find("network mgmt: the beat stands"), std::string::npos) << because();
  beats_on(0);
  EXPECT_EQ(verdict(), Verdict::interconnect_lost);
}

TEST_F(Watching, never_says_interconnect_lost_of_a_partner_that_died_with_all_of_its_channels) {
  for (int i = 0; i < 100; ++i) {
    beats_on(0);
    look();
  }
  ASSERT_EQ(verdict(), Verdict::alive);
  verdicts_.clear();
  beats_on(0);  // its last words, younger than the last page
  waits(10);
  EXPECT_EQ(verdicts_, std::vector{Verdict::unreachable});
}

TEST_F(Watching, waits_for_a_network_of_a_slow_pace_to_be_silent_too) {
  for (int i = 0; i < 100; ++i) {
    if (i % 5 == 0) beats_on(1);
    look();
  }
  verdicts_.clear();
  beats_on(1);
  waits(10);
  EXPECT_TRUE(verdicts_.empty()) << "three beats of 50 ms are not over";
  waits(10);
  EXPECT_EQ(verdicts_, std::vector{Verdict::unreachable});
}

TEST_F(Watching, one_network_that_beats_is_enough) {
  see_it_alive();
  for (int i = 0; i < 10; ++i) {
    beats_on(0);
    beats_on(1);
    waits(1);
  }
  for (int i = 0; i < 40; ++i) {
    if (i % 5 == 0) beats_on(1);
    waits(1);
  }
  EXPECT_EQ(verdict(), Verdict::interconnect_lost);
  EXPECT_EQ(verdicts_.size(), 1U);
}

TEST_F(Watching, calls_a_network_that_has_no_name_by_its_number) {
  see_it_alive();
  for (int i = 0; i < 10; ++i) {
    beats_on(1);
    waits(1);
  }
  EXPECT_EQ(verdict(), Verdict::interconnect_lost);
  EXPECT_NE(because().find("network 1: the partner beats there"), std::string::npos) << because();
}

TEST_F(Watching, a_network_says_nothing_against_a_partner_that_the_rails_show) {
  for (int i = 0; i < 100; ++i) {
    beats_on(0);
    look();
  }
  verdicts_.clear();
  looks(100);  // it is silent
  beats_on(0);
  looks(5);
  EXPECT_TRUE(verdicts_.empty());
  EXPECT_EQ(verdict(), Verdict::alive);
}

TEST_F(Watching, does_not_hold_its_own_pause_against_a_network) {
  see_it_alive();
  for (int i = 0; i < 10; ++i) {
    beats_on(0);
    waits(1);
  }
  beats_on(0);
  now_ += seconds(5);  // this node did not run
  waits(1);
  EXPECT_EQ(verdict(), Verdict::interconnect_lost);
  EXPECT_EQ(verdicts_.size(), 1U);
}

TEST_F(Watching, knows_no_network_that_is_not_configured) {
  see_it_alive();
  beats_on(2);
  beats_on(4'000'000'000);
  waits(10);
  EXPECT_EQ(verdict(), Verdict::unreachable);
  EXPECT_EQ(watch_.network_detector(NetworkId(2)), nullptr);
  EXPECT_NE(watch_.network_detector(NetworkId(1)), nullptr);
}

}  // namespace
}  // namespace hapair::heartbeat
