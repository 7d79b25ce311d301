#include "tests/scenario/schedule_rare.h"

#include <random>
#include <utility>

namespace hapair::world {
namespace {

using agent::OperatorCommand;
using agent::PoolState;

constexpr agent::PoolIndex kPoolA = 0;
constexpr NodeIndex kA = 0;
constexpr NodeIndex kB = 1;

Act act(Act::Sort sort, const char* kind, std::function<void(World&)> run, Duration wait) {
  return {sort, kind, kind, std::move(run), wait};
}

// Of root, for pool-a.
void order(World& world, NodeIndex node, OperatorCommand::Kind kind, bool force = false) {
  OperatorCommand command;
  command.kind = kind;
  command.force = force;
  command.by = "root";
  if (kind != OperatorCommand::Kind::reset_record) command.pools = {kPoolA};
  world.command(node, command);
}

bool is(const World& world, NodeIndex node, PoolState state) {
  const agent::Engine* engine = world.engine(node);
  return engine != nullptr && engine->pool_report(kPoolA).state == state;
}

Act boot_both(Duration wait) {
  return act(
      Act::Sort::repair, "boot",
      [](World& world) {
        world.boot(kA);
        world.boot(kB);
      },
      wait);
}

void have_a_release_it(World& world) {
  order(world, kB, OperatorCommand::Kind::takeover);
  world.advance_until([&] { return is(world, kA, PoolState::released); }, seconds(5));
}

class Drawer {
 public:
  Drawer(Plan& plan, std::uint64_t seed) : plan_(&plan), random_(seed ^ 0x4a4eULL) {}

  void draw() {
    if (!chance(2)) return;
    std::vector<Act> course = this->course();
    plan_->acts.insert(plan_->acts.begin(), course.begin(), course.end());
  }

 private:
  int pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }
  bool chance(int percent) { return pick(100) < percent; }

  std::vector<Act> course() {
    const bool disks = plan_->options.mailbox_disks > 0;
    switch (pick(4)) {
      case 0:
        return offered_back();
      case 1:
        return disks ? lost_while_it_starts() : offered_while_it_asks();  // a watchdog would end the pause
      case 2:
        return runs_above();
      default:
        return wanted_back_by_force();
    }
  }

  // What a takes back it remembers as its own offer: its agent was not there when b took it.
  std::vector<Act> offered_back() {
    plan_->options.policy.automatic_giveback = false;
    plan_->options.policy.hand_over_at_shutdown = true;
    return {boot_both(seconds(4)),
            act(
                Act::Sort::command, "takeover", [](World& world) { have_a_release_it(world); }, milliseconds(pick(20))),
            act(
                Act::Sort::fault, "kill-agent", [](World& world) { world.kill_agent(kA); }, seconds(3)),
            act(
                Act::Sort::fault, "stop-agent", [](World& world) { world.stop_agent(kB); }, seconds(4)),
            act(
                Act::Sort::repair, "start-agent", [](World& world) { world.start_agent(kA); }, seconds(3)),
            act(Act::Sort::repair, "start-agent", [](World& world) { world.start_agent(kB); }, seconds(1))};
  }

  // a stands still while it asks for its pool. b is made to take it by a fence that lies, and hands it over.
  std::vector<Act> offered_while_it_asks() {
    plan_->options.policy.hand_over_at_shutdown = true;
    return {boot_both({}),
            act(
                Act::Sort::fault, "pause and cut",
                [](World& world) {
                  world.advance_until([&] { return is(world, kA, PoolState::asking); }, seconds(5));
                  world.set_fence(kB, {FenceBehaviour::confirmed_but_lies});
                  world.pause(kA);
                  world.set_link(false);
                  world.set_network(false);
                },
                milliseconds(1000 + pick(1000))),
            act(
                Act::Sort::command, "takeover force",
                [](World& world) {
                  order(world, kB, OperatorCommand::Kind::takeover, true);
                  world.advance_until([&] { return is(world, kB, PoolState::serving); }, seconds(5));
                },
                milliseconds(pick(300))),
            act(
                Act::Sort::fault, "stop-agent", [](World& world) { world.stop_agent(kB); }, seconds(2)),
            act(
                Act::Sort::repair, "heal and resume",
                [](World& world) {
                  world.set_link(true);
                  world.set_network(true);
                  world.resume(kA);
                },
                seconds(2))};
  }

  // a lost its record and starts its pool by a fence that lies, while b serves it at an epoch that a does not know.
  std::vector<Act> runs_above() {
    plan_->options.policy.automatic_giveback = false;
    plan_->options.policy.hand_over_at_shutdown = true;
    const auto move = [](NodeIndex to) {
      return act(
          Act::Sort::command, "takeover", [to](World& world) { order(world, to, OperatorCommand::Kind::takeover); },
          seconds(3));
    };
    return {boot_both(seconds(4)),
            move(kB),
            move(kA),
            move(kB),
            act(
                Act::Sort::fault, "cut",
                [](World& world) {
                  world.power_off(kA);
                  world.corrupt_record(kA);
                  world.set_link(false);
                  world.set_network(false);
                  world.boot(kA);
                },
                seconds(4)),
            act(
                Act::Sort::command, "takeover force",
                [](World& world) {
                  order(world, kA, OperatorCommand::Kind::reset_record);
                  world.advance(milliseconds(500));
                  world.set_fence(kA, {FenceBehaviour::confirmed_but_lies});
                  order(world, kA, OperatorCommand::Kind::takeover, true);
                  world.advance_until([&] { return is(world, kA, PoolState::starting); }, seconds(3));
                },
                milliseconds(pick(20))),
            act(
                Act::Sort::repair, "heal",
                [](World& world) {
                  world.set_link(true);
                  world.set_network(true);
                },
                seconds(2))};
  }

  // b's agent dies before it takes what a has stopped for it.
  std::vector<Act> wanted_back_by_force() {
    return {boot_both(seconds(4)),
            act(
                Act::Sort::command, "takeover",
                [](World& world) {
                  have_a_release_it(world);
                  world.kill_agent(kB);
                },
                milliseconds(pick(1500))),
            act(
                Act::Sort::command, "takeover force",
                [](World& world) { order(world, kA, OperatorCommand::Kind::takeover, true); }, seconds(3))};
  }

  // A lease comes back, and is lost again before the pool has started under it.
  std::vector<Act> lost_while_it_starts() {
    plan_->options.policy.lease_arbiter = agent::LeaseArbiter::mailbox;
    const auto disks = [this](bool work) {
      return [count = plan_->options.mailbox_disks, work](World& world) {
        for (std::size_t disk = 0; disk < count; ++disk) world.set_mailbox(kA, disk, work);
      };
    };
    return {boot_both(seconds(6)),
            act(Act::Sort::fault, "cut", [](World& world) { world.set_link(false); }, {}),
            act(Act::Sort::fault, "cut-network", [](World& world) { world.set_network(false); }, {}),
            act(Act::Sort::fault, "mailbox-lost", disks(false), seconds(3)),
            act(Act::Sort::fault, "hang-resource start",
                [](World& world) { world.set_action_hangs(kA, {kPoolA, 0}, agent::ResourceAction::start, true); }, {}),
            act(Act::Sort::repair, "mailbox-back", disks(true), milliseconds(300 + pick(2500))),
            act(Act::Sort::fault, "mailbox-lost", disks(false), seconds(6))};
  }

  Plan* plan_;
  std::mt19937_64 random_;
};

}  // namespace

void add_rare(Plan& plan, std::uint64_t seed) { Drawer(plan, seed).draw(); }

}  // namespace hapair::world
