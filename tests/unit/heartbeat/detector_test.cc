#include "heartbeat/detector.h"

#include <gtest/gtest.h>

namespace hapair::heartbeat {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class DetectorTest : public ::testing::Test {
 protected:
  void look(bool moved, Duration after = milliseconds(10)) {
    now_ += after;
    detector_.look(now_, moved);
  }
  void looks(int times, bool moved) {
    for (int i = 0; i < times; ++i) look(moved);
  }

  Instant now_ = Instant(seconds(50));
  Detector detector_{{milliseconds(30), milliseconds(200), milliseconds(10)}};
};

TEST_F(DetectorTest, holds_nothing_against_anyone_before_the_first_look) {
  EXPECT_FALSE(detector_.silent());
  EXPECT_EQ(detector_.suspicion(), 0);
}

TEST_F(DetectorTest, only_begins_to_watch_at_the_first_look) {
  look(false, seconds(30));
  EXPECT_FALSE(detector_.silent());
  EXPECT_EQ(detector_.silence(), Duration{});
}

TEST_F(DetectorTest, suspects_at_the_floor_what_beats_regularly) {
  looks(100, true);
  EXPECT_EQ(detector_.limit(), milliseconds(30));
  EXPECT_EQ(detector_.mean_arrival(), milliseconds(10));
  looks(2, false);
  EXPECT_FALSE(detector_.silent());
  look(false);
  EXPECT_TRUE(detector_.silent());
  EXPECT_GE(detector_.suspicion(), 1);
}

TEST_F(DetectorTest, takes_no_silence_from_what_is_told_late) {
  looks(2, true);
  detector_.look(now_ - milliseconds(8), false);
  look(false);
  EXPECT_EQ(detector_.silence(), milliseconds(10));
}

TEST_F(DetectorTest, gives_what_beats_irregularly_more_time) {
  for (int i = 0; i < 40; ++i) {
    looks(1 + 5 * (i % 2), false);
    look(true);
  }
  EXPECT_GT(detector_.limit(), milliseconds(60));
  EXPECT_LE(detector_.limit(), milliseconds(200));
  looks(6, false);
  EXPECT_FALSE(detector_.silent()) << "it has been that late before";
}

TEST_F(DetectorTest, never_waits_longer_than_the_ceiling) {
  for (int i = 0; i < 40; ++i) {
    looks(i % 2 == 0 ? 1 : 18, false);
    look(true);
  }
  EXPECT_EQ(detector_.limit(), milliseconds(200));
}

TEST_F(DetectorTest, does_not_learn_from_an_outage) {
  looks(50, true);
  looks(100, false);
  looks(2, true);
  EXPECT_EQ(detector_.limit(), milliseconds(30)) << "the next failure is seen as fast as the last one";
}

TEST_F(DetectorTest, forgets_jitter_that_has_ended) {
  for (int i = 0; i < 10; ++i) {
    looks(15, false);
    look(true);
  }
  EXPECT_GT(detector_.limit(), milliseconds(30));
  looks(200, true);
  EXPECT_EQ(detector_.limit(), milliseconds(30));
}

TEST_F(DetectorTest, does_not_hold_its_own_lateness_against_what_it_watches) {
  looks(50, true);
  look(false, seconds(5));
  EXPECT_FALSE(detector_.silent());
  EXPECT_LE(detector_.silence(), milliseconds(20));
  EXPECT_EQ(detector_.forgiven(), 1U);
  looks(1, true);
  EXPECT_EQ(detector_.limit(), milliseconds(30)) << "nor is it learnt as an arrival of five seconds";
}

TEST_F(DetectorTest, detects_a_death_that_fell_into_its_own_pause_soon_after_it) {
  looks(50, true);
  look(false, seconds(5));
  looks(1, false);
  EXPECT_TRUE(detector_.silent());
}

TEST_F(DetectorTest, takes_a_clock_that_goes_back_for_no_time_at_all) {
  looks(50, true);
  detector_.look(now_ - seconds(10), false);
  EXPECT_FALSE(detector_.silent());
  EXPECT_EQ(detector_.silence(), Duration{});
}

TEST_F(DetectorTest, begins_anew_after_a_reset) {
  for (int i = 0; i < 40; ++i) {
    looks(1 + 5 * (i % 2), false);
    look(true);
  }
  looks(30, false);
  ASSERT_TRUE(detector_.silent());
  detector_.reset();
  EXPECT_FALSE(detector_.silent());
  EXPECT_EQ(detector_.limit(), milliseconds(30));
  EXPECT_EQ(detector_.arrivals(), 0U);
  look(false, seconds(9));
  EXPECT_FALSE(detector_.silent());
}

TEST_F(DetectorTest, says_when_it_last_saw_a_movement) {
  looks(5, true);
  const Instant moved = now_;
  looks(7, false);
  EXPECT_EQ(detector_.last_moved(), moved);
}

TEST_F(DetectorTest, damps_what_flaps_from_the_third_time_on_until_a_minute_is_quiet) {
  for (int i = 0; i < 2; ++i) {
    looks(100, true);
    looks(5, false);
    ASSERT_TRUE(detector_.silent());
    look(true);  // after 60 ms: it was no death
  }
  looks(100, true);
  EXPECT_EQ(detector_.limit(), milliseconds(30)) << "twice is not yet flapping";
  looks(3, false);
  look(true);
  looks(100, true);
  EXPECT_EQ(detector_.limit(), milliseconds(90)) << "half as long again as the longest";
  EXPECT_EQ(detector_.limit_reason(), LimitReason::flapped);
  for (int i = 0; i < 20; ++i) {
    looks(500, true);
    looks(5, false);
    EXPECT_FALSE(detector_.silent()) << "what goes on as before stays damped";
    look(true);
  }
  looks(7, false);
  EXPECT_FALSE(detector_.silent());
  look(true);  // after 80 ms
  looks(5800, true);
  EXPECT_EQ(detector_.limit(), milliseconds(120));
  looks(200, true);
  EXPECT_EQ(detector_.limit(), milliseconds(30));
  EXPECT_EQ(detector_.limit_reason(), LimitReason::floor);
}

TEST_F(DetectorTest, an_outage_is_no_flapping_and_damping_ends_at_the_ceiling) {
  for (int i = 0; i < 5; ++i) {
    looks(100, true);
    looks(30, false);
    look(true);
  }
  looks(100, true);
  EXPECT_EQ(detector_.limit(), milliseconds(30)) << "310 ms are above the ceiling";
  for (int i = 0; i < 3; ++i) {
    looks(18, false);
    look(true);
    looks(100, true);
  }
  EXPECT_EQ(detector_.limit(), milliseconds(200));
}

TEST_F(DetectorTest, damping_outlasts_a_new_life) {
  for (int i = 0; i < 3; ++i) {
    looks(100, true);
    looks(5, false);
    look(true);
  }
  detector_.reset();
  looks(100, true);
  EXPECT_EQ(detector_.limit(), milliseconds(90));
}

}  // namespace
}  // namespace hapair::heartbeat
