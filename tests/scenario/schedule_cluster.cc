// What a seed gives a world in which Pacemaker decides, of a chance of its own: what the others draw stays as it is.
#include <fmt/core.h>

#include <algorithm>
#include <random>

#include "tests/scenario/schedule.h"

namespace hapair::world {
namespace {

constexpr int kPerCentWithCluster = 12;
// Its turns come ten times a second, so nothing is leapt over.
constexpr Duration kLongestQuiet = seconds(20);

class ClusterDrawer {
 public:
  ClusterDrawer(Plan& plan, std::uint64_t seed) : plan_(&plan), random_(seed ^ 0x636c7573746572ULL) {}

  void draw() {
    if (!chance(kPerCentWithCluster) || plan_->options.corosync) return;
    set_options(plan_->options);
    for (Act& act : plan_->acts) {
      if (act.sort == Act::Sort::quiet && act.wait > kLongestQuiet) act = quiet_act(kLongestQuiet);
    }
    for (int left = 2 + pick(8); left > 0; --left) {
      insert(static_cast<std::size_t>(pick(static_cast<int>(plan_->acts.size()) + 1)), one_act());
    }
    if (chance(40)) add_split();
  }

 private:
  int pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }
  bool chance(int percent) { return pick(100) < percent; }
  Duration moment() { return milliseconds(chance(50) ? pick(300) : pick(6000)); }
  static const char* name(NodeIndex node) { return node == 0 ? "a" : "b"; }
  void insert(std::size_t at, Act act) {
    plan_->acts.insert(plan_->acts.begin() + static_cast<std::ptrdiff_t>(at), std::move(act));
  }

  // As agent/daemon sets them with arbiter pacemaker.
  void set_options(WorldOptions& options) {
    options.pacemaker = true;
    options.leap = false;
    agent::EnginePolicy& policy = options.policy;
    policy.cluster_decides = true;
    policy.automatic_takeover = policy.automatic_giveback = policy.hand_over_at_shutdown = false;
    policy.lease_arbiter = agent::LeaseArbiter::none;
    policy.fences = false;
    policy.asks_for_fences = chance(25);
    policy.has_cluster_look = chance(70);
  }

  static Act ring(bool up) {
    return {up ? Act::Sort::repair : Act::Sort::fault, up ? "heal-ring" : "cut-ring",
            up ? "Corosync's links are back" : "Corosync's links are cut",
            [up](World& world) { world.pacemaker()->set_ring(up); }};
  }

  Act one_act() {
    Act act = drawn();
    act.wait = moment();
    return act;
  }

  Act drawn() {
    const auto n = static_cast<NodeIndex>(pick(2));
    const auto pool = static_cast<agent::PoolIndex>(pick(2));
    switch (pick(8)) {
      case 0:
        return ring(false);
      case 1:
        return ring(true);
      case 2:
      case 3: {
        const bool works = chance(40);
        return {works ? Act::Sort::repair : Act::Sort::fault, works ? "cluster-fence-works" : "cluster-fence-fails",
                fmt::format("the cluster's fence devices {}", works ? "work" : "fail"),
                [works](World& world) { world.pacemaker()->set_fence_works(works); }};
      }
      default:
        return {Act::Sort::command, "move",
                fmt::format("move pool-{} to {} in the cluster", pool == 0 ? "a" : "b", name(n)),
                [pool, n](World& world) { world.pacemaker()->want(pool, n); }};
    }
  }

  // All links at once, or those of hapair or Corosync alone, and back.
  void add_split() {
    auto at = static_cast<std::size_t>(pick(static_cast<int>(plan_->acts.size()) + 1));
    const int what = pick(3);
    if (what != 0) {
      Act act = ring(false);
      act.wait = milliseconds(pick(50));
      insert(at++, std::move(act));
    }
    if (what != 1) {
      insert(at++, {Act::Sort::fault, "cut all", "cut all",
                    [](World& world) {
                      world.set_link(false);
                      world.set_network(false);
                    },
                    milliseconds(pick(8000))});
    }
    insert(at++, {Act::Sort::repair, "heal all", "every link is back",
                  [](World& world) {
                    world.set_link(true);
                    world.set_network(true);
                    world.pacemaker()->set_ring(true);
                  },
                  moment()});
  }

  Plan* plan_;
  std::mt19937_64 random_;
};

}  // namespace

void add_cluster(Plan& plan, std::uint64_t seed) { ClusterDrawer(plan, seed).draw(); }

}  // namespace hapair::world
