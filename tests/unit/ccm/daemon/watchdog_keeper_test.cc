#include "ccm/daemon/watchdog_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <random>
#include <string>

#include "tests/unit/ccm/watchdog/simulated_watchdog.h"

namespace hapair::ccm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr Duration kPace = milliseconds(10);
constexpr Duration kTimeout = seconds(4);

ClientName name_of(std::string_view text) {
  ClientName name{};
  put_name(name, text);
  return name;
}

class WatchdogKeeperTest : public testing::Test {
 protected:
  WatchdogKeeperTest() { start(); }

  // Another ccmd, which finds what the one before has kept.
  void start(bool kept = true) {
    ground_.kept = kept;
    keeper_.emplace(watchdog_to_hold(configured_, running_), kPace, device_, FedUntilTable(table_), running_, ground_,
                    clock_);
  }
  void run(Duration time) {
    for (const Instant end = clock_.now() + time; clock_.now() < end;) {
      keeper_->turn();
      clock_.advance(kPace);
    }
  }
  void die() {
    device_.leave_running();
    keeper_.reset();
  }
  void says(Duration from_now) { keeper_->take(name_of("server"), ns_of(clock_.now() + from_now)); }
  [[nodiscard]] WatchdogState state() const { return static_cast<WatchdogState>(keeper_->self().state); }
  [[nodiscard]] std::string problem() const { return problem_of(keeper_->self()); }
  [[nodiscard]] bool runs_out_at(Instant when) const { return device_.resets_at() == when; }

  TestClock clock_{Instant(seconds(100))};
  SimulatedWatchdog device_{clock_};
  std::array<FedUntilEntry, kMaxClients> table_{};
  RunningWatchdog running_{};
  WatchdogGround ground_;
  std::optional<WatchdogConfig> configured_ =
      WatchdogConfig{.device = "/dev/watchdog7", .timeout = kTimeout, .pretimeout = {}};
  std::optional<WatchdogKeeper> keeper_;
};

TEST_F(WatchdogKeeperTest, WithoutAConfigurationNoDeviceIsTouched) {
  configured_.reset();
  start();
  run(seconds(10));
  keeper_->end();
  EXPECT_EQ(device_.holds, 0);
  EXPECT_EQ(state(), WatchdogState::none);
  EXPECT_EQ(problem(), "");
}

TEST_F(WatchdogKeeperTest, ItIsHeldFromTheFirstBeatOnAndFedWhileTheLoopTurns) {
  run(kPace);
  EXPECT_EQ(state(), WatchdogState::armed);
  EXPECT_EQ(keeper_->self().timeout_ms, 4000U);
  run(seconds(60));
  EXPECT_FALSE(device_.node_was_reset());
  EXPECT_NEAR(device_.feeds, 61, 1) << "every quarter of the time-out, not at every beat";
}

TEST_F(WatchdogKeeperTest, ALoopThatStandsGetsItsNodeReset) {
  run(seconds(10));
  clock_.advance(kTimeout);
  EXPECT_TRUE(device_.node_was_reset());
}

TEST_F(WatchdogKeeperTest, AClientWhoseTimePassesGetsItsNodeResetWithinTheTimeout) {
  run(seconds(1));
  says(seconds(5));
  const Instant passes = clock_.now() + seconds(5);
  run(seconds(5) - kPace);
  EXPECT_EQ(keeper_->self().fed_until_ns, ns_of(passes));
  EXPECT_EQ(name_in(keeper_->self().fed_for), "server");
  EXPECT_FALSE(overdue(keeper_->self(), clock_.now()));
  run(kTimeout);
  EXPECT_TRUE(overdue(keeper_->self(), clock_.now()));
  EXPECT_TRUE(device_.node_was_reset());
  EXPECT_LT(*device_.resets_at(), passes + kTimeout);
}

TEST_F(WatchdogKeeperTest, AClientThatComesBackInTimeSavesItsNode) {
  run(seconds(1));
  says(seconds(5));
  run(seconds(7));
  EXPECT_FALSE(device_.node_was_reset());
  const int fed = device_.feeds;
  says(seconds(60));
  run(kPace);
  EXPECT_EQ(device_.feeds, fed + 1) << "at once";
  run(seconds(30));
  EXPECT_FALSE(device_.node_was_reset());
}

TEST_F(WatchdogKeeperTest, ADeviceThatCannotBeHadIsTriedAgainEverySecond) {
  device_.fault = WatchdogFault{WatchdogProblem::cannot_open, EBUSY};
  run(seconds(5));
  EXPECT_EQ(device_.holds, 5);
  EXPECT_EQ(state(), WatchdogState::absent);
  EXPECT_EQ(keeper_->self().timeout_ms, 0U);
  EXPECT_THAT(problem(),
              HasSubstr("/dev/watchdog7 cannot be opened: Device or resource busy; another program holds it"));
  device_.fault.reset();
  run(seconds(2));
  EXPECT_EQ(state(), WatchdogState::armed);
  EXPECT_EQ(problem(), "");
}

struct Device {
  const char* what;
  void (*is)(SimulatedWatchdog&);
  WatchdogState state;
  const char* problem;
};

TEST_F(WatchdogKeeperTest, OnADeviceThatIsNotAsConfiguredNobodyIsToRely) {
  const std::array devices{
      Device{"it rounds up", [](SimulatedWatchdog& d) { d.timeout = seconds(6); }, WatchdogState::unfit,
             "runs with a time-out of 6 s, not the 4 s of the configuration"},
      Device{"it rounds down", [](SimulatedWatchdog& d) { d.timeout = seconds(3); }, WatchdogState::armed, ""},
      Device{"too short for this loop", [](SimulatedWatchdog& d) { d.timeout = milliseconds(99); },
             WatchdogState::unfit, "runs with a time-out"},
      Device{"it gives an alarm", [](SimulatedWatchdog& d) { d.resets = false; }, WatchdogState::unfit,
             "only gives an alarm"},
      Device{"it stops with its holder", [](SimulatedWatchdog& d) { d.outlives_holder = false; }, WatchdogState::unfit,
             "load the driver with nowayout=1"},
      Device{"softdog", [](SimulatedWatchdog& d) { d.hardware = false; }, WatchdogState::unfit, "softdog"},
  };
  for (const Device& device : devices) {
    device_ = SimulatedWatchdog(clock_);
    device.is(device_);
    start();
    run(seconds(10));
    EXPECT_EQ(state(), device.state) << device.what;
    EXPECT_THAT(problem(), HasSubstr(device.problem)) << device.what;
    EXPECT_FALSE(device_.node_was_reset()) << device.what << ": it is fed at its own pace all the same";
  }
}

TEST_F(WatchdogKeeperTest, WhatTheConfigurationSaysByThenAWatchdogThatRunsIsFedOnAsItWas) {
  const std::optional<WatchdogConfig> changes[] = {
      std::nullopt,
      WatchdogConfig{.device = "/dev/watchdog8", .timeout = kTimeout, .pretimeout = {}},
      WatchdogConfig{.device = "/dev/watchdog7", .timeout = seconds(60), .pretimeout = {}},
  };
  run(seconds(1));
  for (const auto& change : changes) {
    says(seconds(600));
    keeper_->end();  // a client serves, so it is not stopped
    configured_ = change;
    start();
    run(seconds(20));
    EXPECT_FALSE(device_.node_was_reset());
    EXPECT_EQ(state(), WatchdogState::armed);
    EXPECT_EQ(keeper_->self().timeout_ms, 4000U) << "the client was told a bound that rests on it";
    EXPECT_EQ(name_in(keeper_->self().device), "/dev/watchdog7");
  }
  die();
  start();
  run(seconds(20));
  EXPECT_FALSE(device_.node_was_reset());
  keeper_->take(name_of("server"), kFedFreely);
  keeper_->end();
  start();
  run(seconds(1));
  EXPECT_EQ(keeper_->self().timeout_ms, 60'000U) << "nobody served, so the one before was stopped";
}

TEST_F(WatchdogKeeperTest, WithoutARecordThatOutlivesItItIsNotTakenUp) {
  start(false);
  run(seconds(1));
  EXPECT_EQ(state(), WatchdogState::absent);
  EXPECT_EQ(device_.holds, 0);
  EXPECT_THAT(problem(), HasSubstr("cannot be kept in run_dir"));
}

TEST_F(WatchdogKeeperTest, AFeedThatIsRefusedIsToldAndTriedAgain) {
  run(seconds(1));
  device_.feed_error = EIO;
  run(seconds(2));
  EXPECT_EQ(state(), WatchdogState::unfit);
  EXPECT_THAT(problem(), HasSubstr("is not fed: Input/output error"));
  device_.feed_error = 0;
  run(kPace);
  EXPECT_EQ(state(), WatchdogState::armed);
  EXPECT_FALSE(device_.node_was_reset());
}

TEST_F(WatchdogKeeperTest, ADeviceThatGoesAwayIsTakenUpAgain) {
  run(seconds(1));
  device_.feed_error = ENODEV;
  device_.fault = WatchdogFault{WatchdogProblem::cannot_open, ENOENT};
  run(seconds(3));
  EXPECT_EQ(state(), WatchdogState::absent);
  EXPECT_FALSE(device_.held);
  device_.feed_error = 0;
  device_.fault.reset();
  run(seconds(1));
  EXPECT_EQ(state(), WatchdogState::armed);
}

TEST_F(WatchdogKeeperTest, AnOrderlyEndStopsIt) {
  run(seconds(1));
  keeper_->end();
  EXPECT_FALSE(device_.resets_at());
}

TEST_F(WatchdogKeeperTest, AnOrderlyEndLeavesItRunningWhileAClientServes) {
  run(seconds(1));
  says(seconds(60));
  keeper_->end();
  EXPECT_FALSE(device_.held);
  EXPECT_TRUE(runs_out_at(clock_.now() + kTimeout));
}

TEST_F(WatchdogKeeperTest, AnOrderlyEndStopsItWhereTheClientHasStoppedAllThatItServed) {
  run(seconds(1));
  says(seconds(60));
  run(seconds(1));
  keeper_->take(name_of("server"), kFedFreely);
  keeper_->end();
  EXPECT_FALSE(device_.resets_at());
}

TEST_F(WatchdogKeeperTest, ItIsToldWhetherAMachineIsResetOrAContainerEnded) {
  run(seconds(1));
  EXPECT_EQ(static_cast<WatchdogKind>(keeper_->self().kind), WatchdogKind::machine);
  EXPECT_EQ(end_by(WatchdogKind::machine), "resets this node");
  keeper_->end();
  device_.kind = WatchdogKind::container;
  start();
  run(seconds(1));
  EXPECT_EQ(static_cast<WatchdogKind>(keeper_->self().kind), WatchdogKind::container);
  EXPECT_EQ(end_by(WatchdogKind::container), "ends this container");
}

TEST_F(WatchdogKeeperTest, OnAContainersNobodyIsToRelyUnlessItIsPromisedThatThePoolsEndWithItsProcesses) {
  device_.kind = WatchdogKind::container;
  run(seconds(10));
  EXPECT_EQ(state(), WatchdogState::unfit);
  EXPECT_THAT(problem(), HasSubstr("no lease rests on it; where every resource of every pool ends with the processes"));
  EXPECT_FALSE(device_.node_was_reset());
  keeper_->end();
  configured_->container_covers_pools = true;
  start();
  run(seconds(1));
  EXPECT_EQ(state(), WatchdogState::armed);
  EXPECT_EQ(problem(), "");
}

TEST_F(WatchdogKeeperTest, ThePromiseIsThatOfTheConfigurationAlsoForOneThatRuns) {
  device_.kind = WatchdogKind::container;
  configured_->container_covers_pools = true;
  start();
  run(seconds(1));
  EXPECT_EQ(state(), WatchdogState::armed);
  die();
  configured_->container_covers_pools = false;
  start();
  run(seconds(1));
  EXPECT_EQ(state(), WatchdogState::unfit);
  die();
  configured_.reset();
  start();
  run(seconds(1));
  EXPECT_EQ(state(), WatchdogState::unfit) << "nobody promises anything any more";
}

TEST_F(WatchdogKeeperTest, OnAContainersWithTheHostsBootIdNobodyIsToRely) {
  configured_->container_covers_pools = true;
  ground_.kernels_boot_id = true;
  start();
  run(seconds(1));
  EXPECT_EQ(state(), WatchdogState::armed) << "a machine's is the kernel's";
  keeper_->end();
  device_.kind = WatchdogKind::container;
  start();
  run(seconds(1));
  EXPECT_EQ(state(), WatchdogState::unfit);
  EXPECT_THAT(problem(), HasSubstr("boot_id_file holds the kernel's boot id, which is the host's"));
}

TEST_F(WatchdogKeeperTest, OneThatDoesNotAnswerIsAskedOnceAndWaitedForWithoutStandingStill) {
  device_.silent = true;
  run(seconds(5));
  EXPECT_EQ(device_.holds, 1);
  EXPECT_EQ(state(), WatchdogState::absent);
  EXPECT_THAT(problem(), HasSubstr("hapair-node-init) does not answer"));
  EXPECT_NE(running_.timeout_ms, 0U) << "it may run by now";
  device_.silent = false;
  run(seconds(10));
  EXPECT_EQ(state(), WatchdogState::armed);
  EXPECT_FALSE(device_.node_was_reset());
}

TEST_F(WatchdogKeeperTest, AnOrderlyEndSendsTheWordToOneThatDidNotAnswerAndKeepsItNoted) {
  device_.silent = true;
  run(seconds(1));
  keeper_->end();
  EXPECT_EQ(device_.stops, 1);
  EXPECT_NE(running_.timeout_ms, 0U);
}

TEST_F(WatchdogKeeperTest, OneThatDoesNotAnswerItsFeedsIsFedAndNotReliedUpon) {
  run(seconds(1));
  EXPECT_EQ(state(), WatchdogState::armed);
  device_.feed_error = kFeedBeforeUnanswered;
  const int fed = device_.feeds;
  run(seconds(10));
  EXPECT_EQ(state(), WatchdogState::unfit);
  EXPECT_THAT(problem(), HasSubstr("does not answer its feeds"));
  EXPECT_NEAR(device_.feeds - fed, 10, 1) << "at its own pace all the same";
  EXPECT_FALSE(device_.node_was_reset());
  device_.feed_error = 0;
  run(seconds(2));
  EXPECT_EQ(state(), WatchdogState::armed);
}

TEST_F(WatchdogKeeperTest, OneThatCannotBeStoppedIsLeftRunning) {
  device_.can_stop = false;
  run(seconds(1));
  EXPECT_EQ(state(), WatchdogState::armed);
  keeper_->end();
  EXPECT_TRUE(runs_out_at(clock_.now() + kTimeout));
}

TEST_F(WatchdogKeeperTest, TheNextCcmdGoesOnWithItAndWithTheTimesOfClients) {
  run(seconds(1));
  says(seconds(5));
  run(seconds(1));
  die();
  clock_.advance(seconds(1));
  start();
  run(seconds(2));
  EXPECT_EQ(state(), WatchdogState::armed);
  EXPECT_FALSE(device_.node_was_reset());
  run(seconds(1) + kTimeout);
  EXPECT_TRUE(device_.node_was_reset()) << "the time of a client that is not back passed";
}

TEST_F(WatchdogKeeperTest, TheNextCcmdDoesNotFeedItOnceTheTimeOfAClientHasPassed) {
  run(seconds(1));
  says(seconds(5));
  run(seconds(6));
  die();
  const std::optional<Instant> runs_out = device_.resets_at();
  start();
  run(seconds(2));
  EXPECT_EQ(device_.resets_at(), runs_out) << "taking it up would have fed it";
  EXPECT_EQ(state(), WatchdogState::absent);
  EXPECT_THAT(problem(), HasSubstr("the time of client server has passed"));
  says(seconds(60));
  run(seconds(10));
  EXPECT_EQ(state(), WatchdogState::armed);
  EXPECT_FALSE(device_.node_was_reset()) << "the client is back";
}

TEST_F(WatchdogKeeperTest, APauseBetweenDecisionAndFeedIsWithinTheBound) {
  run(seconds(1));
  // It is fed every second from its being held on: so the last time 5 ms before this.
  says(milliseconds(5005));
  const Instant passes = clock_.now() + milliseconds(5005);
  run(milliseconds(4990));
  device_.before_feed = [&] { clock_.advance(milliseconds(2900)); };
  run(seconds(20));
  ASSERT_TRUE(device_.node_was_reset());
  EXPECT_GT(*device_.resets_at(), passes + kTimeout) << "which is why the bound is longer than the time-out";
  EXPECT_LE(*device_.resets_at(), passes + reset_bound_of(kTimeout));
}

// The time of a client that is gone stands. Whatever becomes of ccmd from then on (it is paused, in the middle of a
// feed or between two; it dies and comes back, early, late or not at all), the node is reset within the bound. Not both
// in one seed: in the middle of a feed and dead, as ccm/wire/watchdog_layout.h says.
void suffer(unsigned seed) {
  std::mt19937 random(seed);
  const auto below = [&random](int limit) { return static_cast<int>(random() % static_cast<unsigned>(limit)); };
  TestClock clock(Instant(seconds(100)));
  SimulatedWatchdog device(clock);
  std::array<FedUntilEntry, kMaxClients> table{};
  RunningWatchdog running{};
  std::optional<WatchdogKeeper> keeper;
  const auto start = [&] {
    keeper.emplace(WatchdogConfig{.device = "/dev/watchdog7", .timeout = kTimeout, .pretimeout = {}}, kPace, device,
                   FedUntilTable(table), running, WatchdogGround{}, clock);
  };
  start();
  for (int i = below(1000); i >= 0; --i) {
    keeper->turn();
    clock.advance(kPace);
  }
  const Instant passes = clock.now() + milliseconds(below(8000));
  keeper->take(name_of("server"), ns_of(passes));
  const bool dies = below(2) == 0;
  if (!dies) {
    device.before_feed = [&] {
      if (below(3) == 0) clock.advance(milliseconds(below(4500)));
    };
  }
  while (!device.node_was_reset() && clock.now() < passes + seconds(60)) {
    clock.advance(kPace);
    if (keeper) keeper->turn();
    if (below(300) == 0) clock.advance(milliseconds(below(4500)));
    if (device.node_was_reset()) break;
    if (keeper && dies && below(200) == 0) {
      if (device.held) device.leave_running();
      keeper.reset();
    }
    if (!keeper && below(100) == 0) start();
  }
  ASSERT_TRUE(device.node_was_reset()) << "seed " << seed;
  EXPECT_LE(*device.resets_at(), passes + reset_bound_of(kTimeout)) << "seed " << seed;
}

TEST(WatchdogBound, HoldsWhateverBecomesOfCcmd) {
  for (unsigned seed = 1; seed <= 2000; ++seed) suffer(seed);
}

TEST_F(WatchdogKeeperTest, AStarvedDeviceIsNeverFedAgainAndTheNextCcmdLeavesItAlone) {
  run(seconds(2));
  const Instant starved = clock_.now();
  EXPECT_EQ(keeper_->starve(), reset_bound_of(kTimeout));
  run(seconds(1));
  die();  // the kernel feeds it once
  start();
  run(seconds(20));
  ASSERT_TRUE(device_.resets_at());
  EXPECT_LE(*device_.resets_at(), starved + reset_bound_of(kTimeout));
  EXPECT_EQ(device_.holds, 1);
}

TEST_F(WatchdogKeeperTest, NoClientTakesBackThatItIsStarved) {
  run(seconds(1));
  const Instant starved = clock_.now();
  (void)keeper_->starve();
  keeper_->take(name_of("server"), ns_of(clock_.now() + seconds(600)));
  keeper_->take(name_of("server"), kFedFreely);
  run(seconds(20));
  ASSERT_TRUE(device_.resets_at());
  EXPECT_LE(*device_.resets_at(), starved + kTimeout);
}

TEST_F(WatchdogKeeperTest, NothingResetsWhereNoneIsHeld) {
  device_.fault = WatchdogFault{WatchdogProblem::cannot_open, EACCES};
  start();
  run(seconds(1));
  EXPECT_EQ(keeper_->starve(), std::nullopt);
  const int held = device_.holds;
  device_.fault.reset();
  run(seconds(5));
  EXPECT_EQ(device_.holds, held + 1) << "what could not be starved is taken up as ever";
}

}  // namespace
}  // namespace hapair::ccm
