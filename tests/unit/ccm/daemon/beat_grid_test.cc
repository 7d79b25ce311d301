#include "ccm/daemon/beat_grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <vector>

namespace hapair::ccm {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Duration kPace = milliseconds(10);
constexpr Instant kBegin{std::chrono::seconds(100)};

TEST(BeatGrid, BeatsOncePerPaceOnAbsoluteTimes) {
  BeatGrid grid(kBegin, kPace);
  EXPECT_TRUE(grid.take(kBegin));
  EXPECT_FALSE(grid.take(kBegin));
  EXPECT_EQ(grid.next(), kBegin + kPace);
  EXPECT_TRUE(grid.take(kBegin + milliseconds(12)));
  EXPECT_EQ(grid.late(), milliseconds(2));
  EXPECT_EQ(grid.next(), kBegin + 2 * kPace) << "a late beat moves no other";
}

TEST(BeatGrid, MissedBeatsAreNotMadeUpFor) {
  BeatGrid grid(kBegin, kPace);
  ASSERT_TRUE(grid.take(kBegin));
  const Instant after_a_pause = kBegin + milliseconds(55);
  EXPECT_TRUE(grid.take(after_a_pause));
  EXPECT_EQ(grid.late(), milliseconds(45));
  EXPECT_FALSE(grid.take(after_a_pause));
  EXPECT_EQ(grid.next(), after_a_pause + kPace);
}

TEST(BeatGrid, ANearBeatComesWithThePartnersLookAndIsNotLate) {
  BeatGrid grid(kBegin, kPace);
  const Instant look = kBegin - milliseconds(2);
  grid.partner_looks(look);
  EXPECT_TRUE(grid.take(look));
  EXPECT_EQ(grid.late(), Duration{});
  EXPECT_GT(grid.next(), look + kPace) << "the partner's next look comes first";
}

TEST(BeatGrid, AFarBeatStaysWhereItIs) {
  BeatGrid grid(kBegin, kPace);
  grid.partner_looks(kBegin - milliseconds(7));
  EXPECT_FALSE(grid.take(kBegin - milliseconds(7)));
  EXPECT_EQ(grid.next(), kBegin);
}

TEST(BeatGrid, WithoutItsPartnerItKeepsItsPace) {
  BeatGrid grid(kBegin, kPace);
  grid.partner_looks(kBegin - milliseconds(1));
  ASSERT_TRUE(grid.take(kBegin - milliseconds(1)));
  const Instant first = grid.next();
  ASSERT_TRUE(grid.take(first));
  EXPECT_EQ(grid.next(), first + kPace);
}

TEST(BeatGrid, WhoeverLooksWithoutEndHardlySpeedsItUp) {
  BeatGrid grid(kBegin, kPace);
  int beats = 0;
  for (Instant now = kBegin; now < kBegin + 100 * kPace; now += microseconds(10)) {
    grid.partner_looks(now);
    beats += grid.take(now) ? 1 : 0;
  }
  EXPECT_GE(beats, 100);
  EXPECT_LE(beats, 134);
}

// Each looks when it beats, the look arrives a little later; whatever the phase, one ends up following the other.
TEST(BeatGrid, TwoThatLookAtEachOtherComeToBeatTogether) {
  constexpr Duration kWay = microseconds(60);
  for (int phase_us = 0; phase_us < 10'000; phase_us += 250) {
    std::vector<BeatGrid> grids{BeatGrid(kBegin, kPace), BeatGrid(kBegin + microseconds(phase_us), kPace)};
    std::vector<std::vector<Instant>> beats(2);
    for (Instant now = kBegin; now < kBegin + 300 * kPace; now += microseconds(10)) {
      for (std::size_t n : {0U, 1U}) {
        if (!beats[1 - n].empty() && now == beats[1 - n].back() + kWay) grids[n].partner_looks(now);
        if (grids[n].take(now)) beats[n].push_back(now);
      }
    }
    const Duration apart =
        beats[0].back() > beats[1].back() ? beats[0].back() - beats[1].back() : beats[1].back() - beats[0].back();
    EXPECT_LE(std::min(apart, kPace - apart), kWay) << "begun " << phase_us << " us apart";
    for (const auto& one : beats)
      EXPECT_NEAR(static_cast<double>(one.size()), 300, 6) << "begun " << phase_us << " us apart";
  }
}

}  // namespace
}  // namespace hapair::ccm
