#include "tests/scenario/schedule_quorum.h"

#include <fmt/core.h>

#include <algorithm>
#include <random>
#include <utility>

namespace hapair::world {
namespace {

using agent::OperatorCommand;

// Looks every few hundred milliseconds leave little to leap over at once.
constexpr Duration kLongestQuiet = std::chrono::minutes(5);

class Drawer {
 public:
  Drawer(Plan& plan, std::uint64_t seed) : plan_(&plan), random_(seed ^ 0xc0705ULL) {}

  void draw() {
    if (plan_->options.mailbox_disks > 0 || !chance(25)) return;
    WorldOptions& options = plan_->options;
    options.corosync = true;
    options.device_slack = chance(60) ? milliseconds(100 + pick(3000)) : milliseconds(0);
    options.policy.lease_arbiter = agent::LeaseArbiter::quorum;
    options.policy.lease = milliseconds(chance(50) ? 4000 : 2500);
    options.policy.lease_stop = milliseconds(chance(50) ? 4000 : 1000);
    options.policy.fences = chance(25);
    for (Act& act : plan_->acts) {
      if (act.sort == Act::Sort::quiet) act.wait = std::min(act.wait, kLongestQuiet);
    }
    for (int pieces = 1 + pick(3); pieces > 0; --pieces) {
      const auto at = static_cast<std::ptrdiff_t>(pick(static_cast<int>(plan_->acts.size()) + 1));
      const std::vector<Act> made = piece();
      plan_->acts.insert(plan_->acts.begin() + at, made.begin(), made.end());
    }
  }

 private:
  int pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }
  bool chance(int percent) { return pick(100) < percent; }
  NodeIndex node() { return static_cast<NodeIndex>(pick(2)); }
  static std::string name(NodeIndex n) { return n == 0 ? "a" : "b"; }
  // From one message to longer than any wait for a lease.
  Duration moment() {
    switch (pick(4)) {
      case 0:
        return milliseconds(pick(100));
      case 1:
        return milliseconds(pick(1500));
      case 2:
        return milliseconds(pick(8000));
      default:
        return milliseconds(pick(30'000));
    }
  }

  static Act links(bool up) {
    return {up ? Act::Sort::repair : Act::Sort::fault, up ? "heal all" : "cut all", up ? "heal all" : "cut all",
            [up](World& world) {
              world.set_link(up);
              world.set_network(up);
            }};
  }
  static Act ring(bool whole) {
    const char* kind = whole ? "heal-ring" : "cut-ring";
    return {whole ? Act::Sort::repair : Act::Sort::fault, kind, kind, [whole](World& world) { world.set_ring(whole); }};
  }
  static Act device(NodeIndex n, bool reached) {
    const char* kind = reached ? "device-back" : "device-lost";
    return {reached ? Act::Sort::repair : Act::Sort::fault, kind, fmt::format("{} {}", kind, name(n)),
            [n, reached](World& world) { world.set_device(n, reached); }};
  }
  static Act corosync(NodeIndex n, bool runs) {
    const char* kind = runs ? "corosync-start" : "corosync-stop";
    return {runs ? Act::Sort::repair : Act::Sort::fault, kind, fmt::format("{} {}", kind, name(n)),
            [n, runs](World& world) { world.set_corosync(n, runs); }};
  }
  static Act on_node(Act::Sort sort, const char* kind, NodeIndex n, void (World::*act)(NodeIndex)) {
    return {sort, kind, fmt::format("{} {}", kind, name(n)), [n, act](World& world) { (world.*act)(n); }};
  }
  Act something() {
    const NodeIndex n = node();
    switch (pick(16)) {
      case 0:
      case 1:
        return ring(false);
      case 2:
      case 3:
        return ring(true);
      case 4:
      case 5:
        return device(n, false);
      case 6:
      case 7:
        return device(n, true);
      case 8:
        return corosync(n, false);
      case 9:
        return corosync(n, true);
      case 10:
        return on_node(Act::Sort::fault, "hang-agent", n, &World::hang_agent);
      case 11:
        return on_node(Act::Sort::repair, "wake-agent", n, &World::wake_agent);
      case 12:
        return on_node(Act::Sort::fault, "kill-agent", n, &World::kill_agent);
      case 13:
        return on_node(Act::Sort::repair, "start-agent", n, &World::start_agent);
      case 14:
        return on_node(Act::Sort::fault, "pause", n, &World::pause);
      default:
        return on_node(Act::Sort::repair, "resume", n, &World::resume);
    }
  }

  // The two are cut apart, Corosync too or not, and what else happens until they are healed is drawn.
  std::vector<Act> piece() {
    std::vector<Act> acts;
    const auto then = [&acts](Act act, Duration wait) {
      act.wait = wait;
      acts.push_back(std::move(act));
    };
    if (chance(70)) then({Act::Sort::quiet, "until all is well", "until all is well"}, {});
    if (chance(50)) then(device(node(), false), chance(60) ? Duration{} : moment());
    if (chance(80)) then(links(false), chance(60) ? Duration{} : moment());
    if (chance(80)) then(ring(false), moment());
    for (int more = pick(5); more > 0; --more) then(something(), moment());
    // Long enough that it comes to a takeover.
    if (chance(50)) then(something(), milliseconds(15'000 + pick(15'000)));
    if (chance(60)) then(ring(true), moment());
    if (chance(60)) then(links(true), moment());
    return acts;
  }

  Plan* plan_;
  std::mt19937_64 random_;
};

}  // namespace

void add_quorum(Plan& plan, std::uint64_t seed) { Drawer(plan, seed).draw(); }

}  // namespace hapair::world
