// What a seed gives.
#include <fmt/core.h>

#include <algorithm>
#include <random>

#include "tests/scenario/schedule.h"
#include "tests/scenario/schedule_notices.h"
#include "tests/scenario/schedule_quorum.h"
#include "tests/scenario/schedule_rare.h"

namespace hapair::world {
namespace {

using agent::OperatorCommand;
using agent::ResourceAction;

constexpr Duration kQuietOfLeases = seconds(60);

class Drawer {
 public:
  explicit Drawer(std::uint64_t seed) : random_(seed), poisons_(~seed), seed_(seed) {}

  Plan draw() {
    plan_.seed = seed_;
    plan_.options = options();
    names_ = std::make_unique<World>(plan_.options);
    add_poison();
    const int episodes = chance(50) ? 1 : 2 + pick(2);
    for (int episode = 0; episode < episodes; ++episode) {
      if (episode > 0) add(quiet());
      if (episode == 0 && chance(70)) {
        add({Act::Sort::repair, "boot", "boot a, boot b",
             [](World& world) {
               world.boot(0);
               world.boot(1);
             },
             milliseconds(1000 + pick(4000))});
      }
      for (int left = 4 + pick(episodes == 1 ? 14 : 8); left > 0; --left) {
        if (chance(8)) add_piece();
        Act act = one_act();
        const int wait = pick(10);
        act.wait = milliseconds(wait < 5 ? pick(60) : wait < 9 ? pick(1500) : pick(15000));
        add(std::move(act));
      }
    }
    return std::move(plan_);
  }

 private:
  int pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }
  bool chance(int percent) { return pick(100) < percent; }
  void add(Act act) { plan_.acts.push_back(std::move(act)); }
  void add(Act act, Duration wait) {
    act.wait = wait;
    add(std::move(act));
  }

  WorldOptions options() {
    WorldOptions options;
    options.seed = seed_;
    options.leap = true;
    options.write_survives = chance(50);
    options.failed_write_lands = chance(50);
    options.policy = agent::EnginePolicy{};
    options.policy.automatic_takeover = chance(80);
    options.policy.takeover_hold = milliseconds(chance(70) ? 0 : 200);
    options.policy.agent_silent = options.policy.ccm_silent = milliseconds(1500);
    if (chance(50)) options.policy.storage_stalled = milliseconds(chance(50) ? 0 : 700);
    options.policy.fence_retry = milliseconds(200);
    options.policy.automatic_giveback = chance(80);
    options.policy.giveback_stable = seconds(3);
    options.policy.giveback_bound = seconds(chance(50) ? 10 : 2);
    options.policy.reboot_silent = seconds(2);
    options.policy.hand_over_at_shutdown = chance(80);
    options.network = seed_ % 2 == 0;
    options.vetoes = chance(50);
    if (chance(50)) {
      options.mailbox_disks = chance(50) ? 3 : 1;
      options.policy.lease_arbiter = chance(90) ? agent::LeaseArbiter::mailbox : agent::LeaseArbiter::none;
      options.policy.lease = milliseconds(chance(50) ? 2000 : 1000);
      options.policy.lease_stop = milliseconds(chance(50) ? 4000 : 1000);
      options.policy.fences = chance(50);
    }
    static constexpr Duration kMonitorIntervals[] = {seconds(1), seconds(10), seconds(60), seconds(60)};
    options.monitor_interval = kMonitorIntervals[pick(4)];
    return options;
  }

  // In a third of the schedules fences are by poison, alone or before a device. Of a seed of its own: what the others
  // draw stays as it is.
  bool poisons(int percent) { return std::uniform_int_distribution<int>(0, 99)(poisons_) < percent; }
  void add_poison() {
    if (!poisons(35)) return;
    plan_.options.poison_reset = poisons(60)   ? ccm::PoisonReset::watchdog
                                 : poisons(50) ? ccm::PoisonReset::sysrq
                                               : ccm::PoisonReset::none;
    for (const NodeIndex n : {NodeIndex{0}, NodeIndex{1}}) {
      std::deque<FenceBehaviour> answers{FenceBehaviour::poison};
      if (poisons(50)) answers.push_back(FenceBehaviour::confirmed);
      add({Act::Sort::command, "fence by poison",
           fmt::format("fence-answers {} poison{}", names_->name(n), answers.size() > 1 ? " confirmed" : ""),
           [n, answers](World& world) { world.set_fence(n, answers); }});
    }
    if (poisons(50)) add_forced_piece();
  }
  OperatorCommand force(agent::PoolIndex pool) {
    OperatorCommand command;
    command.force = true;
    command.by = "root";
    command.pools = {pool};
    return command;
  }
  Duration poison_moment(int below_ms) {
    return milliseconds(std::uniform_int_distribution<int>(0, below_ms - 1)(poisons_));
  }
  // Operators who want what the other node has, by force: both the same pool before it is settled whose it is, or, of
  // two nodes that serve, one after the other.
  void add_forced_piece() {
    const Act boot{Act::Sort::repair, "boot", "boot a, boot b", [](World& world) {
                     world.boot(0);
                     world.boot(1);
                   }};
    const agent::PoolIndex pool = poisons(50) ? agent::PoolIndex{0} : agent::PoolIndex{1};
    if (poisons(40)) {
      add(boot, {});
      return add({Act::Sort::command, "takeover force by both",
                  fmt::format("takeover {} force on both, as soon as it is nobody's", names_->plan(pool).name.view()),
                  [pool, command = force(pool)](World& world) {
                    const auto nobodys = [&world, pool](NodeIndex n) {
                      const agent::Engine* engine = world.engine(n);
                      return engine != nullptr && engine->pool_report(pool).state == agent::PoolState::unsettled;
                    };
                    if (!world.advance_until([&] { return nobodys(0) && nobodys(1); }, seconds(5))) return;
                    world.command(0, command);
                    world.command(1, command);
                  }},
                 poison_moment(900));
    }
    add(boot, milliseconds(3000));
    for (int left = 1 + static_cast<int>(poisons_() % 3); left > 0; --left) {
      const NodeIndex n = poisons(50) ? 0 : 1;
      if (poisons(20)) add(on_node(Act::Sort::fault, "hang-agent", 1 - n, &World::hang_agent), poison_moment(900));
      add({Act::Sort::command, "takeover force",
           fmt::format("takeover {} {} force", names_->name(n), names_->plan(1 - n).name.view()),
           [n, command = force(1 - n)](World& world) { world.command(n, command); }},
          poison_moment(poisons(50) ? 20 : 900));
      if (!poisons(50)) continue;
      const bool obeyed = poisons(70);
      add({Act::Sort::fault, "kill-agent",
           fmt::format("kill-agent {}{}", names_->name(1 - n), obeyed ? " when it has obeyed" : ""),
           [n, obeyed](World& world) {
             if (obeyed) world.advance_until([&world, n] { return world.poison_obeyed(1 - n); }, seconds(3));
             world.kill_agent(1 - n);
           }},
          poison_moment(40));
      if (poisons(50)) add(cut_all(), poison_moment(300));  // the next agent does not see what its partner has by then
      add(on_node(Act::Sort::repair, "start-agent", 1 - n, &World::start_agent), poison_moment(900));
    }
  }

  // So long that each resource is looked at so many times. Leases are renewed every few hundred milliseconds, so that
  // little is leapt over at once: minutes of that are enough, where else the time goes to days.
  Act quiet() {
    const Duration interval = plan_.options.monitor_interval;
    const Duration seldom = interval * (50 + pick(700)) * std::max(interval / seconds(10), Duration::rep{1});
    const Duration length = plan_.options.policy.lease_arbiter == agent::LeaseArbiter::mailbox
                                ? std::min<Duration>(seldom, kQuietOfLeases)
                                : seldom;
    return quiet_act(length);
  }

  agent::ResourceId any_resource() {
    const auto pool = static_cast<agent::PoolIndex>(pick(static_cast<int>(names_->pools())));
    return {pool, static_cast<std::size_t>(pick(static_cast<int>(names_->plan(pool).resources.size())))};
  }

  std::string name_of(agent::ResourceId id) {
    return names_->plan(id.pool).name.text() + "/" + names_->plan(id.pool).resources[id.resource].name;
  }

  Act on_node(Act::Sort sort, const char* kind, NodeIndex n, void (World::*act)(NodeIndex)) {
    return {sort, kind, fmt::format("{} {}", kind, names_->name(n)), [n, act](World& world) { (world.*act)(n); }};
  }

  Act operate(NodeIndex n, OperatorCommand::Kind kind, bool force) {
    OperatorCommand command;
    command.kind = kind;
    command.force = force;
    command.ignore_vetoes = chance(30);
    command.by = "root";
    if (chance(60)) command.pools = {static_cast<agent::PoolIndex>(pick(2))};
    static constexpr const char* kNames[] = {"takeover", "giveback", "reset-state"};
    const std::string name = kNames[static_cast<int>(kind)];
    return {Act::Sort::command, name + (force ? " force" : ""),
            fmt::format("{} {}{}{}{}", name, names_->name(n),
                        command.pools.empty() ? "" : " " + names_->plan(command.pools[0]).name.text(),
                        force ? " force" : "", command.ignore_vetoes ? " ignore-vetoes" : ""),
            [n, command](World& world) { world.command(n, command); }};
  }

  Act inhibit(NodeIndex n, OperatorCommand::Kind kind, agent::Inhibited what) {
    OperatorCommand command;
    command.kind = kind;
    command.what = what;
    command.by = "root";
    command.reason = "new cables";
    if (chance(50)) command.length = seconds(1 + pick(chance(70) ? 60 : 7200));
    const std::string name = kind == OperatorCommand::Kind::allow ? "allow" : "inhibit";
    return {Act::Sort::command, name + " " + std::string(text_of(what)),
            fmt::format("{} {} {}{}", name, names_->name(n), text_of(what),
                        command.length ? fmt::format(" {} s", command.length->count()) : ""),
            [n, command](World& world) { world.command(n, command); }};
  }

  // By an operator who has looked: the partner has no power.
  Act confirm_down(NodeIndex n) {
    OperatorCommand command;
    command.kind = OperatorCommand::Kind::confirm_down;
    command.by = "root";
    command.partner = names_->name(1 - n);
    return {Act::Sort::command, "confirm-down",
            fmt::format("confirm-down {} {}, if it has no power", names_->name(n), command.partner),
            [n, command](World& world) {
              if (!world.powered(1 - n)) world.command(n, command);
            }};
  }

  Act veto(NodeIndex n) {
    const auto pool = static_cast<agent::PoolIndex>(pick(2));
    const std::string said = chance(50) ? "behind" : "";
    return {Act::Sort::command, "veto",
            fmt::format("veto {} {} {}", names_->name(n), names_->plan(pool).name.view(), said),
            [n, pool, said](World& world) { world.set_veto(n, pool, said); }};
  }

  Act fence_answers(NodeIndex n) {
    static constexpr const char* kNames[] = {"confirmed", "failed", "unknown", "unknown-but-done", "lies"};
    std::deque<FenceBehaviour> answers;
    std::string said;
    for (int i = 1 + pick(3); i > 0; --i) {
      const int answer = pick(chance(10) ? 5 : 4);
      answers.push_back(static_cast<FenceBehaviour>(answer));
      said += std::string(" ") + kNames[answer];
    }
    return {Act::Sort::fault, "fence-answers", "fence-answers " + names_->name(n) + said,
            [n, answers](World& world) { world.set_fence(n, answers); }};
  }

  // No device may do this: what then happens is only repaired.
  Act lies(NodeIndex n) {
    return {Act::Sort::fault, "fence-answers", fmt::format("fence-answers {} lies", names_->name(n)),
            [n](World& world) { world.set_fence(n, {FenceBehaviour::confirmed_but_lies}); }};
  }

  Act spoil_resource(NodeIndex n) {
    const agent::ResourceId resource = any_resource();
    const auto action = static_cast<ResourceAction>(pick(3));
    const bool hangs = chance(30);
    const std::string kind = hangs ? "hang-resource" : "fail-resource";
    return {Act::Sort::fault, fmt::format("{} {}", kind, text_of(action)),
            fmt::format("{} {} {} {}", kind, names_->name(n), name_of(resource), text_of(action)),
            [n, resource, action, hangs](World& world) {
              if (hangs) {
                world.set_action_hangs(n, resource, action, true);
              } else {
                world.set_action_fails(n, resource, action, true);
              }
            }};
  }

  Act kill_resource(NodeIndex n) {
    const agent::ResourceId resource = any_resource();
    return {Act::Sort::fault, "kill-resource", fmt::format("kill-resource {} {}", names_->name(n), name_of(resource)),
            [n, resource](World& world) { world.kill_resource(n, resource); }};
  }

  Act set_disk(NodeIndex n, bool fails) {
    const char* kind = fails ? "disk-fails" : "disk-works";
    return {fails ? Act::Sort::fault : Act::Sort::repair, kind, fmt::format("{} {}", kind, names_->name(n)),
            [n, fails](World& world) { world.set_disk_fails(n, fails); }};
  }

  Act ask(NodeIndex n, OperatorCommand::Kind kind, agent::PoolIndex pool) {
    OperatorCommand command;
    command.kind = kind;
    command.ignore_vetoes = true;
    command.by = "root";
    command.pools = {pool};
    const std::string name = kind == OperatorCommand::Kind::takeover ? "takeover" : "giveback";
    return {Act::Sort::command, name,
            fmt::format("{} {} {} ignore-vetoes", name, names_->name(n), names_->plan(pool).name.view()),
            [n, command](World& world) { world.command(n, command); }};
  }

  // Acts that mean something together, which chance alone seldom brings.
  void add_piece() {
    const auto n = static_cast<NodeIndex>(pick(2));
    if (plan_.options.mailbox_disks > 0 && chance(50)) return add_lease_piece(n);
    auto pool = static_cast<agent::PoolIndex>(pick(2));
    const auto moment = [this] { return milliseconds(chance(50) ? pick(60) : pick(1500)); };
    const auto while_it_goes_on = [this] { return milliseconds(pick(14000)); };
    switch (pick(5)) {
      case 0:  // a pool is asked for where nothing can be written, and the agent is restarted
        add(set_disk(n, true), moment());
        if (chance(70)) pool = 1 - n;  // at home at the other
        add(ask(n, OperatorCommand::Kind::takeover, pool), milliseconds(pick(chance(70) ? 3000 : 14000)));
        if (chance(70)) {
          add(ask(1 - n, OperatorCommand::Kind::takeover, pool), milliseconds(pick(chance(70) ? 900 : 14000)));
        }
        add(on_node(Act::Sort::fault, "kill-agent", n, &World::kill_agent), moment());
        return add(on_node(Act::Sort::repair, "start-agent", n, &World::start_agent), while_it_goes_on());
      case 1: {  // a pool does not stop, and an operator goes on with it
        const agent::ResourceId resource{pool, any_resource().resource};
        const bool hangs = chance(50);
        add({Act::Sort::fault, hangs ? "hang-resource stop" : "fail-resource stop",
             fmt::format("{} {} {} stop", hangs ? "hang-resource" : "fail-resource", names_->name(n),
                         name_of(resource)),
             [n, resource, hangs](World& world) {
               if (hangs) return world.set_action_hangs(n, resource, ResourceAction::stop, true);
               world.set_action_fails(n, resource, ResourceAction::stop, true);
             }},
            moment());
        add(ask(n, OperatorCommand::Kind::giveback, pool), milliseconds(pick(6000)));
        if (chance(50)) {
          add(everywhere(Act::Sort::repair, "repair everything", [](World& world) { world.repair_everything(); }),
              moment());
        }
        return add(ask(n, chance(50) ? OperatorCommand::Kind::takeover : OperatorCommand::Kind::giveback, pool),
                   while_it_goes_on());
      }
      case 2:  // a pool is given to a node that cannot take it, and an operator wants it back
        add(set_disk(n, true), moment());
        add(ask(1 - n, OperatorCommand::Kind::giveback, pool), milliseconds(pick(6000)));
        add(ask(1 - n, OperatorCommand::Kind::takeover, pool), moment());
        return add(set_disk(n, false), while_it_goes_on());
      case 3:  // a node that took a pool forgets it
        add(ask(n, OperatorCommand::Kind::takeover, pool), milliseconds(pick(6000)));
        add(on_node(Act::Sort::fault, "corrupt-record", n, &World::corrupt_record), moment());
        add(on_node(Act::Sort::fault, "kill-agent", n, &World::kill_agent), moment());
        add(on_node(Act::Sort::repair, "start-agent", n, &World::start_agent), moment());
        return add(operate(n, OperatorCommand::Kind::reset_record, false), while_it_goes_on());
      default:  // a fence is asked for while all that can be seen is cut
        add(chance(70) ? fence_answers(n) : lies(n), moment());
        add(everywhere(Act::Sort::fault, "cut", [](World& world) { world.set_link(false); }), moment());
        add(everywhere(Act::Sort::fault, "cut-network", [](World& world) { world.set_network(false); }),
            milliseconds(pick(3000)));
        add(everywhere(Act::Sort::repair, "heal", [](World& world) { world.set_link(true); }), moment());
        return add(everywhere(Act::Sort::repair, "heal-network", [](World& world) { world.set_network(true); }),
                   moment());
    }
  }

  Act cut_all() {
    return everywhere(Act::Sort::fault, "cut all", [](World& world) {
      world.set_link(false);
      world.set_network(false);
    });
  }

  // Of every mailbox disk: that node's way to it.
  Act cut_off_disks(NodeIndex n, bool works) {
    const char* kind = works ? "mailbox-back" : "mailbox-lost";
    return {works ? Act::Sort::repair : Act::Sort::fault, kind, fmt::format("{} all {}", kind, names_->name(n)),
            [n, works](World& world) {
              for (std::size_t disk = 0; disk < ccm::kMaxOwnershipDisks; ++disk) world.set_mailbox(n, disk, works);
            }};
  }

  // A node comes to the end of a lease, and what is to stop then does not, or nobody is there to stop it.
  void add_lease_piece(NodeIndex n) {
    const auto moment = [this] { return milliseconds(chance(50) ? pick(60) : pick(1500)); };
    const auto until_it_is_over = [this] { return milliseconds(8000 + pick(14000)); };
    const agent::ResourceId resource{n, any_resource().resource};  // of its own pool
    switch (pick(3)) {
      case 0:
        add({Act::Sort::fault, "hang-resource stop",
             fmt::format("hang-resource {} {} stop", names_->name(n), name_of(resource)),
             [n, resource](World& world) { world.set_action_hangs(n, resource, ResourceAction::stop, true); }},
            milliseconds(4000));
        add(cut_all(), moment());
        return add(cut_off_disks(n, false), until_it_is_over());
      case 1:
        add(on_node(Act::Sort::fault, "kill-agent", n, &World::kill_agent), moment());
        add(cut_all(), moment());
        add(cut_off_disks(n, false), moment());
        return add(on_node(Act::Sort::repair, "start-agent", n, &World::start_agent), until_it_is_over());
      default:  // its partner cannot write that it waits no more
        add(set_disk(1 - n, true), moment());
        add(cut_off_disks(n, false), milliseconds(500 + pick(1500)));
        add(cut_all(), moment());
        return add(set_disk(1 - n, false), until_it_is_over());
    }
  }

  static Act everywhere(Act::Sort sort, const char* what, void (*act)(World&)) { return {sort, what, what, act}; }

  Act mailbox(NodeIndex n) {
    const auto disk = static_cast<std::size_t>(pick(static_cast<int>(plan_.options.mailbox_disks)));
    const bool works = chance(35);
    const char* kind = works ? "mailbox-back" : "mailbox-lost";
    const Act::Sort sort = works ? Act::Sort::repair : Act::Sort::fault;
    if (chance(50)) {
      return {sort, kind, fmt::format("{} {}", kind, disk + 1),
              [disk, works](World& world) { world.set_mailbox_disk(disk, works); }};
    }
    return {sort, kind, fmt::format("{} {} {}", kind, disk + 1, names_->name(n)),
            [n, disk, works](World& world) { world.set_mailbox(n, disk, works); }};
  }

  Act one_act() {
    const auto n = static_cast<NodeIndex>(pick(2));
    if (plan_.options.mailbox_disks > 0 && chance(12)) return mailbox(n);
    const int which = pick(45);
    if (which < 18) return act_of_a_node(n, which);
    if (which < 28) return act_of_an_operator_or_a_disk(n, which);
    return another_act(n, which);
  }

  Act act_of_a_node(NodeIndex n, int which) {
    switch (which) {
      case 0:
      case 1:
      case 2: {
        const bool with_agent = chance(90);
        return {Act::Sort::repair, with_agent ? "boot" : "boot-without-agent",
                fmt::format("{} {}", with_agent ? "boot" : "boot-without-agent", names_->name(n)),
                [n, with_agent](World& world) { world.boot(n, with_agent); }};
      }
      case 3:
        return on_node(Act::Sort::fault, "crash", n, &World::power_off);
      case 4:
      case 5:
        return on_node(Act::Sort::fault, "pause", n, &World::pause);
      case 6:
      case 7:
        return on_node(Act::Sort::repair, "resume", n, &World::resume);
      case 8:
        return on_node(Act::Sort::fault, "kill-agent", n, &World::kill_agent);
      case 9:
      case 10:
        return on_node(Act::Sort::repair, "start-agent", n, &World::start_agent);
      case 11:
        return on_node(Act::Sort::command, "stop-agent", n, &World::stop_agent);
      case 12:
        return on_node(Act::Sort::fault, "hang-agent", n, &World::hang_agent);
      case 13:
        return on_node(Act::Sort::repair, "wake-agent", n, &World::wake_agent);
      case 14:
        return on_node(Act::Sort::fault, "kill-ccm", n, &World::kill_ccm);
      case 15:
        return on_node(Act::Sort::repair, "start-ccm", n, &World::start_ccm);
      case 16:
        return everywhere(Act::Sort::fault, "cut", [](World& world) { world.set_link(false); });
      default:
        return everywhere(Act::Sort::repair, "heal", [](World& world) { world.set_link(true); });
    }
  }

  Act act_of_an_operator_or_a_disk(NodeIndex n, int which) {
    switch (which) {
      case 18:
      case 19:
        return operate(n, OperatorCommand::Kind::takeover, chance(25));
      case 20:
        return operate(n, OperatorCommand::Kind::giveback, false);
      case 21: {
        const bool back = chance(50);
        const char* kind = back ? "reboot" : "shutdown";
        return {Act::Sort::command, kind, fmt::format("{} {}", kind, names_->name(n)),
                [n, back](World& world) { world.shut_down(n, back); }};
      }
      case 22:
        return fence_answers(n);
      case 23:
        return spoil_resource(n);
      case 24:
        return kill_resource(n);
      case 25:
        if (chance(30)) return on_node(Act::Sort::fault, "corrupt-record", n, &World::corrupt_record);
        return operate(n, OperatorCommand::Kind::reset_record, false);
      case 26: {
        const bool fails = chance(50);
        return set_disk(n, fails);
      }
      default:
        return everywhere(Act::Sort::repair, "repair everything", [](World& world) { world.repair_everything(); });
    }
  }

  Act another_act(NodeIndex n, int which) {
    switch (which) {
      case 28:
      case 29:
        return on_node(Act::Sort::fault, "reset", n, &World::reset);
      case 30:
        return on_node(Act::Sort::fault, "panic", n, &World::panic);
      case 31:
        if (chance(50)) return on_node(Act::Sort::fault, "stall-boot", n, &World::stall_boot);
        return on_node(Act::Sort::repair, "go-on-booting", n, &World::go_on_booting);
      case 32:
        return everywhere(Act::Sort::fault, "cut-network", [](World& world) { world.set_network(false); });
      case 33:
        return everywhere(Act::Sort::repair, "heal-network", [](World& world) { world.set_network(true); });
      case 34:
      case 35:
      case 36: {
        const bool stands = which != 36;
        const char* kind = stands ? "storage-stands" : "storage-moves";
        return {stands ? Act::Sort::fault : Act::Sort::repair, kind, fmt::format("{} {}", kind, names_->name(n)),
                [n, stands](World& world) { world.set_storage(n, stands); }};
      }
      case 37:
      case 38:
        return inhibit(n, OperatorCommand::Kind::inhibit, static_cast<agent::Inhibited>(pick(3)));
      case 39:
      case 40:
        return inhibit(n, OperatorCommand::Kind::allow, static_cast<agent::Inhibited>(pick(3)));
      case 41:
      case 42:
        return confirm_down(n);
      default:
        return veto(n);
    }
  }

  std::mt19937_64 random_;
  std::mt19937_64 poisons_;
  std::uint64_t seed_;
  Plan plan_;
  std::unique_ptr<World> names_;
};

}  // namespace

Act quiet_act(Duration length) {
  return {Act::Sort::quiet, "quiet", fmt::format("all is well for {:.0f} s", ms_of(length) / 1000), {}, length};
}

Plan draw_plan(std::uint64_t seed) {
  Plan plan = Drawer(seed).draw();
  add_rails(plan, seed);
  add_notices(plan, seed);
  add_quorum(plan, seed);
  add_rare(plan, seed);
  add_cluster(plan, seed);
  return plan;
}

Plan without_quiet(Plan plan) {
  for (Act& act : plan.acts) {
    if (act.sort == Act::Sort::quiet) act.wait = {};
  }
  return plan;
}

std::string describe(const WorldOptions& options) {
  const auto yes = [](bool on) { return on ? "yes" : "no"; };
  const agent::EnginePolicy& policy = options.policy;
  return fmt::format(
      "pace 10 ms, monitors every {:.0f} s, a network {}, vetoes {}, takeover by itself {} (held {:.0f} ms, stalled "
      "storage "
      "{}), giveback by itself {} (bound {:.0f} s), hands over at a shutdown {}, writes outlive their agent {}, failed "
      "writes "
      "land {}, rails {}, beats on the mailbox disks {}, leases on the quorum of a Corosync {} (slack {:.0f} ms), "
      "Pacemaker decides {}",
      ms_of(options.monitor_interval) / 1000, yes(options.network), yes(options.vetoes), yes(policy.automatic_takeover),
      ms_of(policy.takeover_hold),
      policy.storage_stalled ? fmt::format("{:.0f} ms", ms_of(*policy.storage_stalled)) : "no",
      yes(policy.automatic_giveback), ms_of(policy.giveback_bound) / 1000, yes(policy.hand_over_at_shutdown),
      yes(options.write_survives), yes(options.failed_write_lands),
      options.rails == 0 ? "stood in for" : std::to_string(options.rails), yes(options.mailbox_beats),
      yes(options.corosync), ms_of(options.device_slack), yes(options.pacemaker));
}

}  // namespace hapair::world
