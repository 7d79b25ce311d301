// What a seed gives a world with rails, of a chance of its own: what the others draw stays as it is.
#include <fmt/core.h>

#include <random>

#include "tests/scenario/schedule.h"

namespace hapair::world {
namespace {

// A simulated beat over shipped rails costs six times as much as one without, for its MACs and checksums.
constexpr int kPerCentWithRails = 20;
constexpr Duration kLongestQuiet = std::chrono::hours(1);

class RailsDrawer {
 public:
  RailsDrawer(Plan& plan, std::uint64_t seed) : plan_(&plan), random_(seed ^ 0x7261696c73ULL) {}

  void draw() {
    if (!chance(kPerCentWithRails)) return;
    plan_->options.rails = chance(50) ? 1 : 2;
    for (Act& act : plan_->acts) {
      if (act.sort == Act::Sort::quiet && act.wait > kLongestQuiet) act = quiet_act(kLongestQuiet);
    }
    if (chance(40)) insert(0, weather());
    for (int left = 1 + pick(8); left > 0; --left) {
      insert(static_cast<std::size_t>(pick(static_cast<int>(plan_->acts.size()) + 1)), one_act());
    }
    if (chance(50)) add_moving_piece();
  }

 private:
  int pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }
  bool chance(int percent) { return pick(100) < percent; }
  Duration moment() { return milliseconds(chance(50) ? pick(60) : pick(1500)); }
  static const char* name(NodeIndex node) { return node == 0 ? "a" : "b"; }
  void insert(std::size_t at, Act act) {
    plan_->acts.insert(plan_->acts.begin() + static_cast<std::ptrdiff_t>(at), std::move(act));
  }

  Act weather() {
    Load load;
    load.delay = std::chrono::microseconds(chance(50) ? 100 + pick(900) : 1000 + pick(5000));
    load.lost_per_cent = chance(50) ? 0 : 1 + pick(20);
    return {
        Act::Sort::fault, "weather",
        fmt::format("rails: up to {:.1f} ms each way, {}% of the answers lost", ms_of(load.delay), load.lost_per_cent),
        [load](World& world) { world.set_load(load); }, moment()};
  }

  Act rail_fault(std::size_t rail, bool there) {
    const auto n = static_cast<NodeIndex>(pick(2));
    const auto fault = static_cast<RailFault>(pick(3));
    static constexpr const char* kNames[] = {"cut", "cut of what it sends", "unplugged"};
    const char* kind = kNames[static_cast<int>(fault)];
    return {there ? Act::Sort::fault : Act::Sort::repair, fmt::format("rail {}", kind),
            fmt::format("rail {} {}{}: {}", rail + 1, kind, fault == RailFault::cut ? "" : fmt::format(", {}", name(n)),
                        there ? "on" : "over"),
            [rail, fault, n, there](World& world) { world.set_rail(rail, fault, n, there); }, moment()};
  }

  Act on_node(Act::Sort sort, const char* kind, void (World::*act)(NodeIndex)) {
    const auto n = static_cast<NodeIndex>(pick(2));
    return {sort, kind, fmt::format("{} {}", kind, name(n)), [n, act](World& world) { (world.*act)(n); }, moment()};
  }

  Act one_act() {
    const auto rail = static_cast<std::size_t>(pick(static_cast<int>(plan_->options.rails)));
    switch (pick(9)) {
      case 0:
        return weather();
      case 1:
        return {Act::Sort::repair, "good weather", "rails: no delay and no loss",
                [](World& world) { world.set_load({}); }, moment()};
      case 2:
      case 3:
        return rail_fault(rail, true);
      case 4:
        return rail_fault(rail, false);
      case 5:
        return on_node(Act::Sort::fault, "kill-client", &World::kill_client);
      case 6:
        return on_node(Act::Sort::repair, "start-client", &World::start_client);
      case 7:
        return on_node(Act::Sort::fault, "kill-ccm", &World::kill_ccm);
      default:
        return on_node(Act::Sort::repair, "start-ccm", &World::start_ccm);
    }
  }

  // Ports that are in use lose what they rest on, several times in a row, and get it back.
  void add_moving_piece() {
    insert(0, {Act::Sort::repair, "boot", "boot a, boot b",
               [](World& world) {
                 world.boot(0);
                 world.boot(1);
               },
               milliseconds(3000)});
    std::size_t at = 1;
    for (int left = 2 + pick(5); left > 0; --left) {
      if (chance(30)) insert(at++, weather());
      const auto rail = static_cast<std::size_t>(pick(static_cast<int>(plan_->options.rails)));
      const int what = pick(4);
      if (what < 2) {
        insert(at++, rail_fault(rail, true));
        insert(at++, {Act::Sort::repair, "heal", "heal", [](World& world) { world.set_link(true); }, moment()});
      } else {
        const bool ccm = what == 2;
        const auto n = static_cast<NodeIndex>(pick(2));
        insert(at++, {Act::Sort::fault, ccm ? "kill-ccm" : "kill-client",
                      fmt::format("kill-{} {}", ccm ? "ccm" : "client", name(n)),
                      [n, ccm](World& world) { ccm ? world.kill_ccm(n) : world.kill_client(n); }, moment()});
        insert(at++, {Act::Sort::repair, ccm ? "start-ccm" : "start-client",
                      fmt::format("start-{} {}", ccm ? "ccm" : "client", name(n)),
                      [n, ccm](World& world) { ccm ? world.start_ccm(n) : world.start_client(n); }, moment()});
      }
    }
  }

  Plan* plan_;
  std::mt19937_64 random_;
};

}  // namespace

void add_rails(Plan& plan, std::uint64_t seed) { RailsDrawer(plan, seed).draw(); }

}  // namespace hapair::world
