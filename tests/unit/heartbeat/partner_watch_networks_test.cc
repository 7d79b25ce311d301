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
  EXPECT_TRUE(verdicts_.empty()) << "two beats of 50 ms and a look are not over";
  waits(3);
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

class WatchingDisk : public Watching {
 protected:
  WatchingDisk() {
    watch_ = PartnerWatch({.pace = milliseconds(10),
                           .floor = milliseconds(30),
                           .agent_floor = milliseconds(60),
                           .ceiling = milliseconds(500),
                           .network_paces = {milliseconds(100)},
                           .network_lags = {milliseconds(100)},
                           .network_names = {"disk mailbox"}});
    for (int i = 0; i < 10; ++i) {
      looks(10);
      beats_on(0);
    }
    verdicts_.clear();
  }
};

TEST_F(WatchingDisk, a_beat_that_lay_on_the_disk_is_no_sign_of_life_after_the_rails_fell_silent) {
  waits(10);
  beats_on(0);  // written before the partner died, read now
  waits(20);
  EXPECT_EQ(verdict(), Verdict::alive) << "not decided: the disk may beat on";
  waits(20);
  EXPECT_EQ(verdicts_, std::vector{Verdict::unreachable});
  EXPECT_NE(because().find("disk mailbox: the beat stands"), std::string::npos) << because();
}

TEST_F(WatchingDisk, nor_is_one_that_is_read_when_the_partner_is_unreachable_already) {
  looks(5);
  waits(50);
  ASSERT_EQ(verdict(), Verdict::unreachable);
  now_ -= milliseconds(400);  // as if the disk had kept it
  beats_on(0);
  EXPECT_EQ(verdict(), Verdict::unreachable);
}

TEST_F(WatchingDisk, one_that_beats_on_is_cut_off_from_the_rails) {
  for (int i = 0; i < 3; ++i) {
    waits(10);
    beats_on(0);
  }
  waits(1);
  EXPECT_EQ(verdicts_, std::vector{Verdict::interconnect_lost});
  EXPECT_NE(because().find("disk mailbox: the partner beats there"), std::string::npos) << because();
}

}  // namespace
}  // namespace hapair::heartbeat
