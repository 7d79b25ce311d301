// Explores every order of what can happen to two nodes that decide a pool's ownership, up to a number of proposals and
// faults. In each state: no instance has two decisions, epochs rise, and whoever looks at a majority of the disks sees
// what is decided.
//
// Time is left out: a deadline is a fault that may come at any moment. A request's end is told when it is done: to hear
// of it later changes what only that node knows.
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <random>
#include <unordered_set>
#include <vector>

#include "tests/unit/agent/core/ownership_world.h"

namespace hapair::agent::model {
namespace {

constexpr std::size_t kMostStates = 3'000'000;

struct Budget {
  std::array<int, 2> claims{};     // proposals for the node itself
  std::array<int, 2> givebacks{};  // proposals for the partner
  int restarts = 0;
  int errors = 0;   // a request ends with an error; a write was done or not
  int hangs = 0;    // a write ends long after it was given up
  int forgets = 0;  // a disk is made anew
  int give_ups = 0;
  bool in_turn = false;  // nobody begins while the other is busy
  bool quiet = false;    // what is written after an outcome, for the partner to know, is never done
};

struct State {
  World world;
  Budget left;
  std::size_t from = 0;  // place in the trace
};

struct Step {
  std::size_t before = 0;
  std::string what;
};

class Exploration {
 public:
  void run(const World& begin, const Budget& budget) {
    trace_.push_back({0, "begin"});
    visit({begin, budget, 0}, "");
    while (!open_.empty() && broken_.empty()) {
      const State state = std::move(open_.back());
      open_.pop_back();
      expand(state);
    }
  }

  [[nodiscard]] const std::string& broken() const { return broken_; }
  [[nodiscard]] std::size_t states() const { return seen_.size(); }
  [[nodiscard]] std::size_t instances() const { return instances_; }
  [[nodiscard]] bool complete() const { return complete_; }

 private:
  static std::string words_of(const State& state) {
    std::string out = state.world.words();
    const Budget& left = state.left;
    for (const int number : {left.claims[0], left.claims[1], left.givebacks[0], left.givebacks[1], left.restarts,
                             left.errors, left.hangs, left.forgets, left.give_ups}) {
      out.push_back(static_cast<char>(number));
    }
    return out;
  }

  void visit(State state, const std::string& what) {
    if (!broken_.empty()) return;
    if (seen_.size() >= kMostStates) {
      complete_ = false;
      return;
    }
    if (!seen_.insert(std::hash<std::string>{}(words_of(state))).second) return;
    trace_.push_back({state.from, what});
    state.from = trace_.size() - 1;
    state.world.look_around();
    if (!state.world.broken_rule().empty()) {
      broken_ = state.world.broken_rule() + "; after:" + steps_to(state.from);
      return;
    }
    instances_ = std::max<std::size_t>(instances_, state.world.newest());
    open_.push_back(std::move(state));
  }

  std::string steps_to(std::size_t at) const {
    std::string out;
    for (; at != 0; at = trace_[at].before) out.insert(0, "\n  " + trace_[at].what);
    return out;
  }

  template <class Action>
  void attempt(const State& from, const char* what, std::size_t n, std::size_t disk, int Budget::* spent,
               Action action) {
    if (spent != nullptr && from.left.*spent == 0) return;
    State next{from.world, from.left, from.from};
    if (spent != nullptr) --(next.left.*spent);
    if (!action(next.world)) return;
    visit(std::move(next), std::string(what) + (n == 0 ? " lower" : " upper") + " disk " + std::to_string(disk));
  }

  void expand(const State& state) {
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}}) {
      propose(state, n, Wish::self, &Budget::claims);
      propose(state, n, Wish::partner, &Budget::givebacks);
      if (!state.world.runs(n)) attempt(state, "start", n, 0, nullptr, [n](World& w) { return w.start(n); });
      for (std::size_t disk = 0; disk < state.world.disks(); ++disk) {
        if (!state.world.writing(n, disk) && !state.world.reads(n, disk)) continue;
        if (state.left.quiet && !state.world.busy(n)) continue;
        attempt(state, "finish", n, disk, nullptr, [=](World& w) { return w.finish(n, disk); });
      }
    }
    inject(state, 0);  // the two nodes differ in nothing but their names and the order of their ballots
    for (std::size_t disk = 0; disk < state.world.disks(); ++disk) {
      attempt(state, "forget", 0, disk, &Budget::forgets, [disk](World& w) { return w.forget(disk); });
    }
  }

  void inject(const State& state, std::size_t n) {
    attempt(state, "give up", n, 0, &Budget::give_ups, [n](World& w) { return w.give_up(n); });
    for (unsigned landed = 0; landed < 1U << state.world.disks(); ++landed) {
      attempt(state, "crash", n, landed, &Budget::restarts, [&](World& w) { return w.crash(n, landed); });
    }
    for (std::size_t disk = 0; disk < state.world.disks(); ++disk) {
      if (!state.world.writing(n, disk) && !state.world.reads(n, disk)) continue;
      for (const Fate fate : {Fate::lost, Fate::landed}) {
        attempt(state, fate == Fate::lost ? "lose" : "land and fail", n, disk, &Budget::errors,
                [=](World& w) { return w.fail(n, disk, fate); });
        attempt(state, fate == Fate::lost ? "lose late" : "land late", n, disk, nullptr,
                [=](World& w) { return w.end_late(n, disk, fate); });
      }
      attempt(state, "hang", n, disk, &Budget::hangs, [=](World& w) { return w.hang(n, disk); });
    }
  }

  void propose(const State& state, std::size_t n, Wish wish, std::array<int, 2> Budget::* spent) {
    if ((state.left.*spent).at(n) == 0 || (state.left.in_turn && state.world.busy(1 - n))) return;
    State next{state.world, state.left, state.from};
    --(next.left.*spent).at(n);
    if (!next.world.begin(n, wish)) return;
    visit(std::move(next), std::string(wish == Wish::self ? "claim" : "give back") + (n == 0 ? " lower" : " upper"));
  }

  std::vector<State> open_;
  std::unordered_set<std::size_t> seen_;
  std::vector<Step> trace_;
  std::string broken_;
  std::size_t instances_ = 0;
  bool complete_ = true;
};

// Both nodes are founded, know it, and the lower owns the pool.
World settled(std::size_t disks) {
  World world(disks);
  for (const Wish wish : {Wish::nothing, Wish::self}) {
    (void)world.begin(0, wish);
    world.settle();
    (void)world.begin(1, Wish::nothing);
    world.settle();
  }
  EXPECT_EQ(world.newest(), 1U);
  return world;
}

void explore(const World& begin, const Budget& budget, std::size_t instances) {
  Exploration exploration;
  exploration.run(begin, budget);
  EXPECT_EQ(exploration.broken(), "");
  EXPECT_TRUE(exploration.complete()) << "more states than the bound of " << kMostStates;
  EXPECT_GE(exploration.instances(), instances) << "decided at most";
  ::testing::Test::RecordProperty("states", std::to_string(exploration.states()));
  std::printf("explored %zu states, up to %zu instances decided\n", exploration.states(), exploration.instances());
}

TEST(OwnershipExploration, TwoClaimsOnOneNewDiskWithEveryFault) {
  explore(World(1), {.claims = {1, 1}, .restarts = 1, .errors = 1, .hangs = 1, .give_ups = 1}, 2);
}
TEST(OwnershipExploration, ManyClaimsOnOneDiskThroughRestarts) {
  explore(settled(1), {.claims = {2, 1}, .givebacks = {1, 0}, .restarts = 1, .errors = 1}, 4);
}
TEST(OwnershipExploration, TwoClaimsOnThreeDisks) { explore(settled(3), {.claims = {1, 1}}, 3); }
TEST(OwnershipExploration, TwoClaimsOnThreeDisksAndARestart) {
  explore(settled(3), {.claims = {1, 1}, .restarts = 1}, 3);
}
TEST(OwnershipExploration, TwoClaimsOnThreeDisksOfWhichOneFails) {
  explore(settled(3), {.claims = {1, 1}, .errors = 1}, 3);
}
TEST(OwnershipExploration, TwoClaimsOnThreeDisksAndAWriteThatEndsLate) {
  explore(settled(3), {.claims = {1, 1}, .hangs = 1}, 3);
}
TEST(OwnershipExploration, ClaimsInTurnOnThreeDisksOfWhichOneForgets) {
  explore(settled(3), {.claims = {1, 1}, .restarts = 1, .forgets = 1, .in_turn = true}, 3);
}
TEST(OwnershipExploration, FirstClaimsInTurnOnThreeNewDisksOfWhichOneForgets) {
  explore(World(3), {.claims = {1, 1}, .restarts = 1, .forgets = 1, .in_turn = true}, 2);
}
TEST(OwnershipExploration, TwoClaimsOnThreeDisksOfWhichOneForgets) {
  explore(settled(3), {.claims = {1, 1}, .forgets = 1, .quiet = true}, 3);
}
TEST(OwnershipExploration, AClaimWhileThePartnerIsFoundedOnThreeDisksOfWhichOneForgets) {
  World world(3);
  (void)world.begin(0, Wish::nothing);
  world.settle();
  explore(world, {.claims = {1, 1}, .forgets = 1, .quiet = true}, 2);
}

// What is too much to explore whole: any number of faults, in orders that a seed draws, and looks whose reads are
// apart.
class Walk {
 public:
  Walk(std::size_t disks, std::uint32_t seed) : world_(disks), generator_(seed), disks_(disks) {}

  void step() {
    const std::size_t n = draw(2);
    const std::size_t disk = draw(static_cast<unsigned>(disks_));
    const Fate fate = draw(2) == 0 ? Fate::lost : Fate::landed;
    switch (draw(40)) {
      case 0:
        world_.crash(n, draw(1U << disks_));
        break;
      case 1:
      case 2:
        world_.fail(n, disk, fate);
        break;
      case 3:
        world_.hang(n, disk);
        break;
      case 4:
        world_.end_late(n, disk, fate);
        break;
      case 5:
        if (draw(8) == 0) world_.give_up(n);
        break;
      case 6:
        if (!forgotten_ && disks_ > 1 && draw(3) == 0) forgotten_ = world_.forget(disk);
        break;
      case 7:
      case 8:
        if (world_.newest() < 8) (void)world_.begin(n, draw(3) == 0 ? Wish::partner : Wish::self);
        break;
      case 9:
        (void)world_.begin(n, Wish::nothing);
        break;
      case 10:
      case 11:
        world_.start(n);
        break;
      default:
        world_.finish(n, disk);
        break;
    }
    look(draw(static_cast<unsigned>(disks_)));
  }

  [[nodiscard]] std::string broken() const { return broken_.empty() ? world_.broken_rule() : broken_; }
  [[nodiscard]] const World& world() const { return world_; }

 private:
  unsigned draw(unsigned below) { return static_cast<unsigned>(generator_() % below); }

  // The upper node looks, a disk now and then, against what was decided before its look began.
  void look(std::size_t disk) {
    ++now_;
    const Instant now = instant_of_ns(now_);
    newest_at_.push_back(world_.newest());
    if (draw(3) != 0) return;
    look_.take(disk, now, world_.sight(1, disk));
    const std::uint64_t mine = [&] {
      for (std::uint64_t i = world_.newest(); i > 0; --i) {
        if (world_.value(i).owner == ccm::PairSide::upper) return i;
      }
      return std::uint64_t{0};
    }();
    const auto seen = look_.newest({mine, world_.value(mine)});
    if (!seen) return;
    const std::uint64_t newest = newest_at_.at(static_cast<std::size_t>(ns_of(seen->began) - 1));
    const bool claimed = newest > mine && world_.value(newest).owner == ccm::PairSide::lower;
    if (claimed && renews_lease(seen->shows)) broken_ = "a complete look does not show an earlier decision";
  }

  World world_;
  std::mt19937 generator_;
  std::size_t disks_;
  OwnershipLook look_{disks_, ccm::PairSide::upper};
  std::int64_t now_ = 0;
  std::vector<std::uint64_t> newest_at_;
  bool forgotten_ = false;
  std::string broken_;
};

void walk(std::size_t disks) {
  constexpr std::uint32_t kSeed = 20261129;
  constexpr std::uint32_t kWalks = 10'000;
  constexpr int kSteps = 600;
  std::size_t decisions = 0;
  for (std::uint32_t i = 0; i < kWalks; ++i) {
    Walk one(disks, kSeed + i);
    for (int step = 0; step < kSteps; ++step) {
      one.step();
      ASSERT_EQ(one.broken(), "") << "seed " << kSeed + i << ", step " << step;
    }
    ASSERT_TRUE(one.world().can_decide(0) && one.world().can_decide(1)) << "seed " << kSeed + i;
    decisions += one.world().newest();
  }
  EXPECT_GT(decisions, std::size_t{kWalks});
  std::printf("%u walks, %zu decisions\n", kWalks, decisions);
}

TEST(OwnershipExploration, RandomOrdersWithManyFaultsOnOneDisk) { walk(1); }
TEST(OwnershipExploration, RandomOrdersWithManyFaultsOnThreeDisks) { walk(3); }

}  // namespace
}  // namespace hapair::agent::model
