// Random schedules of everything that can happen to two sessions, each from a printed seed. The model holds every
// command and every standing against the rules while they happen; when all faults have ended, every port that both
// sides want is ready on both within a bounded number of rounds.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <random>
#include <string>

#include "tests/unit/ccm/session/model.h"

namespace hapair::ccm::session_model {
namespace {

constexpr std::array<std::string_view, 4> kNames{"mirror", "cache", "log", "beats"};

class Schedule {
 public:
  explicit Schedule(std::uint32_t seed) : generator_(seed), calm_(1 + draw(8)) {}

  void run(int steps) {
    for (int i = 0; i < steps && world.broken_rule.empty(); ++i) step();
  }
  World world;
  std::size_t ready_seen = 0;

 private:
  unsigned draw(unsigned below) { return static_cast<unsigned>(generator_() % below); }
  bool one_in(unsigned n) { return draw(n) == 0; }
  PortRef draw_port() {
    return {static_cast<std::uint8_t>(draw(kMaxClients)), static_cast<std::uint8_t>(draw(kMaxClientPorts))};
  }

  void step() {
    const std::size_t n = draw(2);
    const std::size_t rail = draw(kRails);
    switch (draw(22)) {
      case 0:
        if (one_in(calm_)) client(n);
        return;
      case 1:
        if (one_in(calm_)) fault(n, rail);
        return;
      case 2:
      case 3:
        world.early_up(n, rail);
        return;
      case 4:
      case 5:
      case 6:
        world.capture(n, rail);
        return;
      case 7:
      case 8:
      case 9:
        world.deliver(n, rail);
        return;
      case 10:
      case 11:
        World::for_each_port([&](PortRef port) {
          if (one_in(2)) world.answer(n, port);
        });
        return;
      case 12:
        World::for_each_port([&](PortRef port) {
          if (one_in(2)) world.notice_loss(n, port);
        });
        return;
      case 13:
      case 14:
        while (!one_in(4) && world.take_news(n)) {
        }
        return;
      case 15:
        world.now += std::chrono::milliseconds(draw(40));
        return;
      default:
        world.advance(n);
        World::for_each_port([&](PortRef port) {
          if (world.ready(n, port)) ++ready_seen;
        });
    }
  }

  void client(std::size_t n) {
    const auto slot = static_cast<std::uint8_t>(draw(kNames.size()));
    if (one_in(3)) {
      world.end(n, slot, one_in(2) ? ClientState::gone : ClientState::left);
      return;
    }
    // Each name has at most one client; a slot is another one's after its client has gone.
    const std::string_view name = kNames.at(draw(kNames.size()));
    for (std::uint8_t other = 0; other < kMaxClients; ++other) {
      if (other != slot && name_in(world.nodes[n].clients.at(other).name) == name)
        world.end(n, other, ClientState::gone);
    }
    world.join(n, slot, name,
               wants(static_cast<std::uint8_t>(draw(kMaxClientPorts + 1)), std::uint64_t{4096} * (1 + draw(4))));
  }

  void fault(std::size_t n, std::size_t rail) {
    switch (draw(8)) {
      case 0:
        return world.restart(n);
      case 1:
        return world.cut(rail);
      case 2:
        world.cable.at(rail) = true;
        return;
      case 3:
        world.ports_pass.at(rail) = !world.ports_pass.at(rail);
        return;
      case 4: {
        // The fabric could not open what the session wants open.
        const PortRef port = draw_port();
        world.refuse_memory(n, port);
        return;
      }
      default:
        world.early_down(n, rail);
    }
  }

  std::mt19937 generator_;
  unsigned calm_;  // the higher, the fewer faults and clients
};

TEST(SessionExploration, WhateverHappensNoRuleIsBrokenAndEveryPortThatBothWantIsReadyAfterwards) {
  constexpr std::uint32_t kFirstSeed = 20261125;
  constexpr std::uint32_t kSeeds = 1500;
  constexpr int kSteps = 400;
  constexpr int kRounds = 120;
  std::size_t ready_seen = 0;
  for (std::uint32_t seed = kFirstSeed; seed < kFirstSeed + kSeeds; ++seed) {
    Schedule schedule(seed);
    for (int part = 0; part < 3; ++part) {
      schedule.run(kSteps);
      ASSERT_EQ(schedule.world.broken_rule, "") << "seed " << seed;
      schedule.world.forget_commands();
      const bool calm = schedule.world.settle(kRounds);
      ASSERT_EQ(schedule.world.broken_rule, "") << "seed " << seed << ", after the faults";
      ASSERT_TRUE(calm) << "seed " << seed << ": still busy after " << kRounds << " rounds without a fault";
      ASSERT_EQ(schedule.world.unfinished(), "") << "seed " << seed;
    }
    ready_seen += schedule.ready_seen;
  }
  // Schedules in which nothing ever gets ready would prove nothing.
  EXPECT_GT(ready_seen, std::size_t{kSeeds});
  std::printf("seeds %u to %u: %zu times a port was seen ready between faults\n", kFirstSeed, kFirstSeed + kSeeds - 1,
              ready_seen);
}

}  // namespace
}  // namespace hapair::ccm::session_model
