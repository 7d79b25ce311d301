// Explores every order of what can happen to two handshake machines, up to a number of faults: the states are counted,
// each is checked against the rules, and from each the pair must find together once the faults have ended.
//
// Time is left out of what tells two states apart: a node may look again at once (`tick_soon`) or so late that every
// wait of its own is over (`tick` by two paces), in every state.
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <unordered_set>

#include "tests/unit/ccm/handshake/model.h"

namespace hapair::ccm::model {
namespace {

constexpr std::size_t kMostStates = 1'000'000;
constexpr int kSettleRounds = 40;  // half a pace each

struct Faults {
  int restarts = 0;
  int losses = 0;
  int late_writes = 0;
};

struct State {
  World world;
  Faults left;
  int depth = 0;
};

std::string words_of(const State& state) {
  std::string out = state.world.words();
  for (const int left : {state.left.restarts, state.left.losses, state.left.late_writes}) {
    out.push_back(static_cast<char>('0' + left));
  }
  return out;
}

class Exploration {
 public:
  Exploration(bool fine_grained, bool faults_on_both) : fine_grained_(fine_grained), faults_on_both_(faults_on_both) {}

  void run(const Faults& faults) {
    visit({World({.node = "alpha", .partner = "beta"}, {.node = "beta", .partner = "alpha"}), faults, 0});
    while (!open_.empty() && broken_.empty()) {
      const State state = std::move(open_.back());
      open_.pop_back();
      expand(state);
    }
  }

  std::string broken_;
  std::size_t states() const { return seen_.size(); }
  std::size_t connected_states_ = 0;
  bool complete_ = true;

 private:
  void visit(State state) {
    if (!broken_.empty()) return;
    broken_ = state.world.broken_rule();
    if (!broken_.empty()) return;
    if (seen_.size() >= kMostStates) {
      complete_ = false;
      return;
    }
    if (!seen_.insert(std::hash<std::string>{}(words_of(state))).second) return;
    if (state.world.connected()) ++connected_states_;
    World calm = state.world;
    if (!settles(calm)) {
      broken_ = "no connection within " + std::to_string(kSettleRounds) + " rounds without a fault";
      return;
    }
    open_.push_back(std::move(state));
  }

  // A calm run that meets a state from which an earlier one found together does so too.
  bool settles(World& world) {
    std::vector<std::size_t> path;
    for (int round = 0; round < kSettleRounds; ++round) {
      const std::size_t words = std::hash<std::string>{}(world.words());
      if (good_.contains(words)) break;
      path.push_back(words);
      const bool before = world.connected();
      if (world.settle(1) && before) break;
      if (!world.broken_rule().empty() || round + 1 == kSettleRounds) return false;
    }
    good_.insert(path.begin(), path.end());
    return true;
  }

  template <class Action>
  void attempt(const State& from, Faults left, Action action) {
    State next{from.world, left, from.depth + 1};
    if (action(next.world)) visit(std::move(next));
  }

  void expand(const State& state) {
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}}) {
      attempt(state, state.left, [n](World& w) { return w.tick(n, 2 * kPace); });
      attempt(state, state.left, [n](World& w) { return w.answer_connect(n); });
      attempt(state, state.left, [n](World& w) { return w.land_late(n); });
      attempt(state, state.left, [n](World& w) { return w.notice_broken(n); });
      if (!fine_grained_) {
        attempt(state, state.left, [n](World& w) { return w.read(n); });
        attempt(state, state.left, [n](World& w) { return w.write(n); });
        continue;
      }
      attempt(state, state.left, [n](World& w) { return w.tick_soon(n); });
      attempt(state, state.left, [n](World& w) { return w.capture(n); });
      attempt(state, state.left, [n](World& w) { return w.deliver(n); });
      attempt(state, state.left, [n](World& w) { return w.land(n); });
      attempt(state, state.left, [n](World& w) { return w.acknowledge(n); });
    }
    inject(state, 0);  // the two nodes differ in nothing but their names
    if (faults_on_both_) inject(state, 1);
  }

  void inject(const State& state, std::size_t n) {
    const bool has_unlanded = state.world.nodes[n].writing && !state.world.nodes[n].landed;
    for (const Fate fate : {Fate::dropped, Fate::landed, Fate::late}) {
      Faults left = state.left;
      if (fate != Fate::dropped && !has_unlanded) continue;
      if (fate == Fate::late && left.late_writes-- == 0) continue;
      if (left.losses > 0) {
        Faults after = left;
        --after.losses;
        attempt(state, after, [n, fate](World& w) { return w.lose(n, fate); });
        attempt(state, after, [n, fate](World& w) { return w.deadline(n, fate); });
      }
      if (left.restarts > 0) {
        Faults after = left;
        --after.restarts;
        for (const bool notices : {true, false}) {
          attempt(state, after, [n, fate, notices](World& w) { return w.restart(n, notices, fate); });
        }
      }
    }
  }

  bool fine_grained_;
  bool faults_on_both_;
  std::vector<State> open_;
  std::unordered_set<std::size_t> seen_;
  std::unordered_set<std::size_t> good_;
};

enum class Grain : std::uint8_t { fine, coarse };  // fine: captured and delivered, landed and acknowledged, apart
enum class On : std::uint8_t { one, both };        // the nodes that faults happen to

void explore(const Faults& faults, Grain grain, On on) {
  Exploration exploration(grain == Grain::fine, on == On::both);
  exploration.run(faults);
  EXPECT_EQ(exploration.broken_, "");
  EXPECT_TRUE(exploration.complete_) << "more states than the bound of " << kMostStates;
  EXPECT_GT(exploration.connected_states_, 0U);
  ::testing::Test::RecordProperty("states", std::to_string(exploration.states()));
  std::printf("explored %zu states, %zu of them connected\n", exploration.states(), exploration.connected_states_);
}

TEST(HandshakeExploration, WithoutFaultsEveryOrderLeadsToAConnection) { explore({0, 0, 0}, Grain::fine, On::one); }
TEST(HandshakeExploration, EveryOrderAroundARestartLeadsToAConnection) { explore({1, 0, 0}, Grain::coarse, On::one); }
TEST(HandshakeExploration, EveryOrderAroundALossAndAStaleWriteLeadsToAConnection) {
  explore({0, 1, 1}, Grain::coarse, On::one);
}
TEST(HandshakeExploration, EveryOrderAroundARestartAndAStaleWriteLeadsToAConnection) {
  explore({1, 0, 1}, Grain::coarse, On::one);
}

// What is too much to explore whole: any number of faults, in orders that a seed draws.
TEST(HandshakeExploration, RandomOrdersWithManyFaultsLeadToAConnection) {
  constexpr std::uint32_t kSeed = 20240607;
  constexpr int kWalks = 3000;
  constexpr int kSteps = 120;
  std::mt19937 generator(kSeed);
  const auto draw = [&](unsigned below) { return static_cast<unsigned>(generator() % below); };
  for (int walk = 0; walk < kWalks; ++walk) {
    World world({.node = "alpha", .partner = "beta"}, {.node = "beta", .partner = "alpha"});
    for (int step = 0; step < kSteps; ++step) {
      const std::size_t n = draw(2);
      const Fate fate = static_cast<Fate>(draw(3));
      switch (draw(16)) {
        case 0:
          world.lose(n, fate);
          break;
        case 1:
          if (draw(3) == 0) world.restart(n, draw(2) == 0, fate);
          break;
        case 2:
          if (draw(3) == 0) world.deadline(n, fate);
          break;
        case 3:
          world.land_late(n);
          break;
        case 4:
          world.notice_broken(n);
          break;
        case 5:
          world.tick(n, 2 * kPace);
          break;
        case 6:
          world.refuse_connect(n);
          break;
        case 7:
        case 8:
          world.capture(n);
          break;
        case 9:
        case 10:
          world.land(n);
          break;
        case 11:
          world.acknowledge(n);
          break;
        case 12:
          world.deliver(n);
          break;
        case 13:
          world.answer_connect(n);
          break;
        default:
          world.tick_soon(n);
          break;
      }
      ASSERT_EQ(world.broken_rule(), "") << "seed " << kSeed << ", walk " << walk << ", step " << step;
    }
    ASSERT_TRUE(world.settle(2 * kSettleRounds)) << "seed " << kSeed << ", walk " << walk;
    ASSERT_EQ(world.broken_rule(), "");
  }
}

}  // namespace
}  // namespace hapair::ccm::model
