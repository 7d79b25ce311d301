#include "tests/scenario/schedule_notices.h"

#include <fmt/core.h>

#include <algorithm>
#include <random>
#include <utility>

namespace hapair::world {
namespace {

using agent::OperatorCommand;

class Drawer {
 public:
  Drawer(Plan& plan, std::uint64_t seed) : plan_(&plan), random_(seed ^ 0x5eedULL) {}

  void draw() {
    if (!chance(35)) return;
    WorldOptions& options = plan_->options;
    options.mailbox_beats = true;
    options.mailbox_disks = std::max<std::size_t>(options.mailbox_disks, chance(70) ? 1 : 3);
    disks_ = static_cast<int>(options.mailbox_disks);
    // Beats on a disk are not leapt over: hours of them would be simulated one by one.
    for (Act& act : plan_->acts) {
      if (act.sort == Act::Sort::quiet) act.wait = {};
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
  Duration moment() { return milliseconds(chance(50) ? pick(120) : pick(2000)); }
  static std::string name(NodeIndex n) { return n == 0 ? "a" : "b"; }

  static Act links(bool up) {
    return {up ? Act::Sort::repair : Act::Sort::fault, up ? "heal all" : "cut all", up ? "heal all" : "cut all",
            [up](World& world) {
              world.set_link(up);
              world.set_network(up);
            }};
  }
  static Act on_node(Act::Sort sort, const char* kind, NodeIndex n, void (World::*act)(NodeIndex)) {
    return {sort, kind, fmt::format("{} {}", kind, name(n)), [n, act](World& world) { (world.*act)(n); }};
  }
  Act move() {
    const NodeIndex n = node();
    OperatorCommand command;
    const bool takes = chance(60);
    command.kind = takes ? OperatorCommand::Kind::takeover : OperatorCommand::Kind::giveback;
    command.ignore_vetoes = chance(70);
    command.by = "root";
    command.pools = {static_cast<agent::PoolIndex>(pick(2))};
    const char* kind = takes ? "takeover" : "giveback";
    return {Act::Sort::command, kind,
            fmt::format("{} {} pool-{}{}", kind, name(n), name(command.pools.front()),
                        command.ignore_vetoes ? " ignore-vetoes" : ""),
            [n, command](World& world) { world.command(n, command); }};
  }
  Act mailbox(NodeIndex n, bool works) {
    const auto disk = static_cast<std::size_t>(pick(disks_));
    const char* kind = works ? "mailbox-back" : "mailbox-lost";
    return {works ? Act::Sort::repair : Act::Sort::fault, kind, fmt::format("{} {} {}", kind, disk + 1, name(n)),
            [n, disk, works](World& world) { world.set_mailbox(n, disk, works); }};
  }
  Act something() {
    const NodeIndex n = node();
    switch (pick(13)) {
      case 0:
        return on_node(Act::Sort::fault, "kill-agent", n, &World::kill_agent);
      case 1:
        return on_node(Act::Sort::fault, "kill-ccm", n, &World::kill_ccm);
      case 2:
        return on_node(Act::Sort::command, "stop-agent", n, &World::stop_agent);
      case 3:
        return on_node(Act::Sort::fault, "pause", n, &World::pause);
      case 4:
        return on_node(Act::Sort::repair, "resume", n, &World::resume);
      case 5:
      case 6:
        return on_node(Act::Sort::repair, "start-agent", n, &World::start_agent);
      case 7:
        return on_node(Act::Sort::repair, "start-ccm", n, &World::start_ccm);
      case 8:
        return mailbox(n, false);
      case 9:
        return mailbox(n, true);
      case 10:
        return on_node(Act::Sort::fault, "reset", n, &World::reset);
      case 11:
        return links(true);
      default:
        return links(false);
    }
  }

  // Every link is cut, and pools are moved; what else happens meanwhile is drawn.
  std::vector<Act> piece() {
    std::vector<Act> acts;
    const auto then = [&acts](Act act, Duration wait) {
      act.wait = wait;
      acts.push_back(std::move(act));
    };
    // Where both are not well at first it comes to nothing more often than not.
    if (chance(70)) then({Act::Sort::quiet, "until all is well", "until all is well"}, {});
    if (chance(40)) then(move(), moment());
    then(links(false), chance(60) ? milliseconds(250 + pick(500)) : moment());
    for (int moves = 1 + pick(3); moves > 0; --moves) {
      then(move(), moment());
      if (chance(45)) then(something(), moment());
    }
    if (chance(70)) then(links(true), moment());
    return acts;
  }

  Plan* plan_;
  std::mt19937_64 random_;
  int disks_ = 1;
};

}  // namespace

void add_notices(Plan& plan, std::uint64_t seed) { Drawer(plan, seed).draw(); }

}  // namespace hapair::world
