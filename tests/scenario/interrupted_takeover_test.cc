// A takeover in which the one who takes over is interrupted, at every single step of its engine: whatever was on disk,
// under way or shown by then, no promise is broken and in the end each pool is served once.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

constexpr NodeIndex kOwner = 0;
constexpr NodeIndex kTaker = 1;

struct Interruption {
  const char* what;
  std::function<void(World&, NodeIndex)> begin;
  std::function<void(World&, NodeIndex)> end;  // 100 ms later
};

const Interruption kKilled = {"the agent is killed and restarted", [](World& w, NodeIndex n) { w.kill_agent(n); },
                              [](World& w, NodeIndex n) { w.start_agent(n); }};
const Interruption kHung = {"the agent hangs for a while", [](World& w, NodeIndex n) { w.hang_agent(n); },
                            [](World& w, NodeIndex n) { w.wake_agent(n); }};
const Interruption kPaused = {"the node is paused", [](World& w, NodeIndex n) { w.pause(n); },
                              [](World& w, NodeIndex n) { w.resume(n); }};
const Interruption kOff = {"the node loses its power and boots again", [](World& w, NodeIndex n) { w.power_off(n); },
                           [](World& w, NodeIndex n) { w.boot(n); }};
const Interruption kReset = {"the node is reset", [](World& w, NodeIndex n) { w.reset(n); }, [](World&, NodeIndex) {}};
const Interruption kBothReset = {"both nodes are reset",
                                 [](World& w, NodeIndex) {
                                   w.reset(kOwner);
                                   w.reset(kTaker);
                                 },
                                 [](World&, NodeIndex) {}};
const Interruption kPanic = {"the node panics", [](World& w, NodeIndex n) { w.panic(n); }, [](World&, NodeIndex) {}};
const Interruption kCcm = {"its CCM is killed and restarted", [](World& w, NodeIndex n) { w.kill_ccm(n); },
                           [](World& w, NodeIndex n) { w.start_ccm(n); }};

// Runs `story` on a pair that serves at home and interrupts `victim` at the step `step` of its engine, counted from the
// beginning of the story. False: there were not that many.
struct Story {
  std::function<void(World&)> tell;
  std::function<void(World&)> before = [](World&) {};  // what must have happened first, and is not interrupted
};

bool run(const Story& story, NodeIndex victim, const Interruption& interruption, std::uint64_t step,
         bool write_survives) {
  WorldOptions options;
  options.policy = scenario_policy();
  options.policy.giveback_stable = seconds(5);
  options.policy.agent_silent = options.policy.ccm_silent = seconds(2);
  options.write_survives = write_survives;
  World world(options);
  world.boot(kOwner);
  world.boot(kTaker);
  world.advance(seconds(3));
  story.before(world);
  const std::uint64_t before = world.engine_steps(victim);
  story.tell(world);
  const bool reached =
      world.advance_until([&] { return world.engine_steps(victim) >= before + step; }, milliseconds(1500));
  if (!reached) return false;
  interruption.begin(world, victim);
  world.advance(milliseconds(100));
  interruption.end(world, victim);
  world.advance(seconds(5));
  // Who was fenced meanwhile, or never came back, is switched on by its operator.
  for (const NodeIndex n : {kOwner, kTaker}) world.boot(n);
  const bool settled = world.advance_until([&] { return world.settled(); }, seconds(200));
  EXPECT_TRUE(settled) << interruption.what << " at step " << step << "\n" << world.describe();
  for (const std::string& violation : world.violations()) {
    ADD_FAILURE() << interruption.what << " at step " << step << ": " << violation;
  }
  return true;
}

void interrupt_every_step(const Story& story, NodeIndex victim) {
  for (const Interruption& interruption : {kKilled, kHung, kPaused, kOff, kCcm, kReset, kBothReset, kPanic}) {
    for (const bool write_survives : {true, false}) {
      std::uint64_t step = 1;
      while (run(story, victim, interruption, step, write_survives) && !::testing::Test::HasFailure()) ++step;
      EXPECT_GT(step, 5U) << "the story has steps";
    }
  }
}

TEST(InterruptedTakeover, by_a_fence_ends_well_at_every_step) {
  interrupt_every_step({[](World& world) { world.power_off(kOwner); }}, kTaker);
}

void planned(World& world) {
  agent::OperatorCommand command;
  command.pools = {0};
  command.by = "root";
  world.command(kTaker, command);
}

TEST(InterruptedTakeover, by_a_release_ends_well_at_every_step_of_the_taker) {
  interrupt_every_step({planned}, kTaker);
}

TEST(InterruptedTakeover, by_a_release_ends_well_at_every_step_of_the_owner) {
  interrupt_every_step({planned}, kOwner);
}

TEST(InterruptedTakeover, by_a_handover_at_shutdown_ends_well_at_every_step_of_the_taker) {
  interrupt_every_step({[](World& world) { world.shut_down(kOwner, true); }}, kTaker);
}

TEST(InterruptedTakeover, by_a_reboot_that_is_seen_ends_well_at_every_step_of_the_taker) {
  interrupt_every_step({[](World& world) { world.reset(kOwner); }}, kTaker);
}

TEST(InterruptedTakeover, by_a_reboot_that_is_seen_ends_well_at_every_step_of_the_rebooted) {
  interrupt_every_step({[](World& world) { world.reset(kOwner); }}, kOwner);
}

// The coordinated bring-up: the one whose pool is away waits, the other one stops it, releases it and says so.
void away(World& world) {
  planned(world);
  world.advance(seconds(3));
}
void give_back(World& world) {
  agent::OperatorCommand command;
  command.kind = agent::OperatorCommand::Kind::giveback;
  command.pools = {0};
  command.by = "root";
  world.command(kTaker, command);
}

TEST(InterruptedBringUp, leaves_one_owner_at_every_step_of_the_one_that_gives_back) {
  interrupt_every_step({give_back, away}, kTaker);
}

TEST(InterruptedBringUp, leaves_one_owner_at_every_step_of_the_one_that_waits) {
  interrupt_every_step({give_back, away}, kOwner);
}

}  // namespace
}  // namespace hapair::world
