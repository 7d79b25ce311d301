// A leap over quiet changes nothing: the same plan with and without leaps gives the same records at the same times, the
// same pages, the same end.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/scenario/schedule.h"

namespace hapair::world {
namespace {

// Everything that can be seen of a run from outside of the two judges.
struct Seen {
  std::string story;
  std::string records;
  std::string end;
  Duration simulated{};
  Duration leapt{};
  std::vector<std::string> violations;
  std::vector<std::uint64_t> rows;
};

// Quiet is made short enough to be simulated beat by beat, and still many times as long as what must be steady first.
Plan with_short_quiet(std::uint64_t seed, bool leap) {
  Plan plan = draw_plan(seed);
  plan.options.leap = leap;
  for (Act& act : plan.acts) {
    if (act.sort == Act::Sort::quiet) act.wait = std::min<Duration>(act.wait, seconds(240));
  }
  return plan;
}

// Beat by beat no quiet is cut short, so that both ways live through the same time.
Seen run(const Plan& plan) {
  Schedule schedule(plan);
  schedule.run();
  World& world = schedule.world();
  Seen seen;
  seen.story = schedule.story();
  for (const Told& told : world.told()) {
    seen.records += fmt::format("{} {}: {} {}\n", ns_of(told.record.when), world.name(told.node), told.record.kind,
                                told.record.text);
  }
  seen.end = world.describe();
  for (const NodeIndex node : {0UL, 1UL}) {
    if (world.engine(node) == nullptr) continue;
    const ccm::AgentBlockLayout block = world.engine(node)->block();
    seen.end += fmt::format("{} {} {}\n", world.engine_steps(node), block.serial, block.saw_partner_serial);
  }
  seen.simulated = world.now() - Instant(seconds(1000));
  seen.leapt = world.leapt();
  seen.violations = world.violations();
  seen.rows = world.rows_taken();
  return seen;
}

TEST(Leap, ofARunGivesTheSameRecordsAsEveryBeatOfIt) {
  Duration leapt{};
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const Seen leaping = run(with_short_quiet(seed, true));
    const Seen beating = run(with_short_quiet(seed, false));
    ASSERT_EQ(beating.leapt, Duration{});
    ASSERT_EQ(leaping.story, beating.story) << "seed " << seed;
    ASSERT_EQ(leaping.records, beating.records) << "seed " << seed;
    ASSERT_EQ(leaping.end, beating.end) << "seed " << seed;
    ASSERT_EQ(leaping.simulated, beating.simulated) << "seed " << seed;
    ASSERT_EQ(leaping.violations, beating.violations) << "seed " << seed;
    ASSERT_EQ(leaping.rows, beating.rows) << "seed " << seed;
    leapt += leaping.leapt;
  }
  // What is compared was leapt over in fact.
  EXPECT_GT(leapt, std::chrono::minutes(30));
}

// The judges learn the same windows: what they say of a silence that follows is the same to the tenth of a millisecond.
TEST(Leap, isNotFeltByAFaultThatFollowsIt) {
  for (const bool network : {false, true}) {
    std::string told[2];
    for (const bool leap : {false, true}) {
      WorldOptions options;
      options.policy = scenario_policy();
      options.network = network;
      options.leap = leap;
      options.monitor_interval = seconds(10);
      World world(options);
      world.boot(0);
      world.boot(1);
      world.advance(seconds(5));
      world.set_storage(1, false);
      world.advance(seconds(400));
      EXPECT_EQ(world.leapt().count() > 0, leap);
      world.set_link(false);
      world.advance(milliseconds(300));
      world.set_link(true);
      world.advance(seconds(3));
      world.pause(1);
      world.advance(milliseconds(25));
      world.resume(1);
      world.advance(seconds(300));
      world.hang_client(1);
      world.advance(seconds(5));
      world.power_off(0);
      world.advance(seconds(5));
      for (const Told& each : world.told()) {
        told[leap ? 1 : 0] += fmt::format("{} {}: {}\n", ns_of(each.record.when), each.node, each.record.text);
      }
    }
    EXPECT_EQ(told[0], told[1]);
  }
}

}  // namespace
}  // namespace hapair::world
