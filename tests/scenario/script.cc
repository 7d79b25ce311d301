#include "tests/scenario/script.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <sstream>

namespace hapair::world {
namespace {

using Words = std::vector<std::string>;
using agent::OperatorCommand;
using agent::ResourceAction;
using Done = std::expected<void, std::string>;

Words words_of(const std::string& line) {
  std::istringstream in(line);
  Words words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

std::expected<Duration, std::string> duration_of(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string unit(end, text.data() + text.size());
  if (error != std::errc() || (unit != "ms" && unit != "s" && unit != "m")) {
    return std::unexpected(fmt::format("\"{}\" is no time: 20ms, 3s or 2m", text));
  }
  return unit == "ms" ? Duration(milliseconds(value)) : unit == "s" ? Duration(seconds(value)) : seconds(60 * value);
}

std::expected<NodeIndex, std::string> node_of(const Words& words) {
  if (words.size() > 1 && words[1] == "a") return NodeIndex{0};
  if (words.size() > 1 && words[1] == "b") return NodeIndex{1};
  return std::unexpected(fmt::format("{}: which node? a or b", words[0]));
}

std::expected<agent::PoolIndex, std::string> pool_of(const World& world, const std::string& text) {
  for (agent::PoolIndex i = 0; i < world.pools(); ++i) {
    if (world.plan(i).name.view() == text) return i;
  }
  return std::unexpected(fmt::format("\"{}\" is no pool", text));
}

std::expected<agent::ResourceId, std::string> resource_of(const World& world, const std::string& text) {
  for (agent::PoolIndex p = 0; p < world.pools(); ++p) {
    for (std::size_t r = 0; r < world.plan(p).resources.size(); ++r) {
      if (world.plan(p).name.text() + "/" + world.plan(p).resources[r].name == text) return agent::ResourceId{p, r};
    }
  }
  return std::unexpected(fmt::format("\"{}\" is no resource: pool-a/fs, for example", text));
}

std::expected<ResourceAction, std::string> action_of(const std::string& text) {
  for (const ResourceAction action : {ResourceAction::start, ResourceAction::stop, ResourceAction::monitor}) {
    if (text_of(action) == text) return action;
  }
  return std::unexpected(fmt::format("\"{}\" is no action: start, stop or monitor", text));
}

std::expected<FenceBehaviour, std::string> fence_of(const std::string& text) {
  static const std::map<std::string, FenceBehaviour> known = {
      {"confirmed", FenceBehaviour::confirmed},     {"failed", FenceBehaviour::failed},
      {"unknown", FenceBehaviour::unknown},         {"unknown-but-done", FenceBehaviour::unknown_but_done},
      {"lies", FenceBehaviour::confirmed_but_lies}, {"poison", FenceBehaviour::poison}};
  const auto it = known.find(text);
  if (it == known.end()) {
    return std::unexpected(
        fmt::format("\"{}\" is no answer: confirmed, failed, unknown, unknown-but-done, lies or poison", text));
  }
  return it->second;
}

Done give_command(World& world, NodeIndex node, const Words& words) {
  OperatorCommand command;
  command.by = "root";
  command.kind = words[0] == "takeover"   ? OperatorCommand::Kind::takeover
                 : words[0] == "giveback" ? OperatorCommand::Kind::giveback
                 : words[0] == "promote"  ? OperatorCommand::Kind::promote
                 : words[0] == "demote"   ? OperatorCommand::Kind::demote
                                          : OperatorCommand::Kind::reset_record;
  for (std::size_t i = 2; i < words.size(); ++i) {
    if (words[i] == "force") {
      command.force = true;
      continue;
    }
    if (words[i] == "above" && i + 1 < words.size()) {  // promote a pool-a above 4: what the cluster keeps
      command.above = Epoch(static_cast<std::uint64_t>(std::stoul(words[++i])));
      continue;
    }
    if (words[i] == "ignore-vetoes") {
      command.ignore_vetoes = true;
      continue;
    }
    const auto pool = pool_of(world, words[i]);
    if (!pool) return std::unexpected(pool.error());
    command.pools.push_back(*pool);
  }
  if (!world.command(node, command)) return std::unexpected("the agent of that node does not answer");
  return {};
}

// maintenance a on, maintenance a on 2m, maintenance a off; disable a takeover, disable a takeover 2m, enable a
// takeover.
Done inhibit(World& world, NodeIndex node, const Words& words) {
  const std::string which = words.size() > 2 ? words[2] : "";
  const bool maintenance = words[0] == "maintenance";
  if (maintenance ? which != "on" && which != "off" : which != "takeover" && which != "giveback") {
    return std::unexpected(words[0] + (maintenance ? ": on or off?" : ": takeover or giveback?"));
  }
  OperatorCommand command;
  command.by = "root";
  command.reason = "new cables";
  command.kind = words[0] == "enable" || which == "off" ? OperatorCommand::Kind::allow : OperatorCommand::Kind::inhibit;
  command.what = maintenance           ? agent::Inhibited::maintenance
                 : which == "takeover" ? agent::Inhibited::takeover
                                       : agent::Inhibited::giveback;
  if (words.size() > 3) {
    const auto length = duration_of(words[3]);
    if (!length) return std::unexpected(length.error());
    command.length = std::chrono::duration_cast<std::chrono::seconds>(*length);
  }
  if (!world.command(node, command)) return std::unexpected("the agent of that node does not answer");
  return {};
}

// confirm-down a b: said to node a.
Done confirm_down(World& world, NodeIndex node, const Words& words) {
  OperatorCommand command;
  command.by = "root";
  command.kind = OperatorCommand::Kind::confirm_down;
  command.partner = words.size() > 2 ? words[2] : "";
  if (!world.command(node, command)) return std::unexpected("the agent of that node does not answer");
  return {};
}

Done set_fence(World& world, NodeIndex node, const Words& words) {
  std::deque<FenceBehaviour> answers;
  for (std::size_t i = 2; i < words.size(); ++i) {
    const auto answer = fence_of(words[i]);
    if (!answer) return std::unexpected(answer.error());
    answers.push_back(*answer);
  }
  if (answers.empty()) return std::unexpected("fence-answers: at least one");
  world.set_fence(node, std::move(answers));
  return {};
}

// fail-resource a pool-a/fs start: from now on; of monitor: it dies once.
Done change_resource(World& world, NodeIndex node, const Words& words) {
  if (words.size() < 3) return std::unexpected(words[0] + ": which resource?");
  const auto resource = resource_of(world, words[2]);
  if (!resource) return std::unexpected(resource.error());
  if (words[0] == "kill-resource") {
    world.kill_resource(node, *resource);
    return {};
  }
  const auto action = action_of(words.size() > 3 ? words[3] : "");
  if (!action) return std::unexpected(action.error());
  if (words[0] == "hang-resource") {
    world.set_action_hangs(node, *resource, *action, true);
  } else {
    world.set_action_fails(node, *resource, *action, words[0] == "fail-resource");
    if (words[0] == "repair-resource") world.set_action_hangs(node, *resource, *action, false);
  }
  return {};
}

using NodeCommand = void (*)(World&, NodeIndex);
const std::map<std::string, NodeCommand>& node_commands() {
  static const std::map<std::string, NodeCommand> commands = {
      {"boot", [](World& w, NodeIndex n) { w.boot(n); }},
      {"boot-without-agent", [](World& w, NodeIndex n) { w.boot(n, false); }},
      {"reset", [](World& w, NodeIndex n) { w.reset(n); }},
      {"panic", [](World& w, NodeIndex n) { w.panic(n); }},
      {"stall-boot", [](World& w, NodeIndex n) { w.stall_boot(n); }},
      {"go-on-booting", [](World& w, NodeIndex n) { w.go_on_booting(n); }},
      {"crash", [](World& w, NodeIndex n) { w.power_off(n); }},
      {"shutdown", [](World& w, NodeIndex n) { w.shut_down(n, false); }},
      {"reboot", [](World& w, NodeIndex n) { w.shut_down(n, true); }},
      {"pause", [](World& w, NodeIndex n) { w.pause(n); }},
      {"resume", [](World& w, NodeIndex n) { w.resume(n); }},
      {"kill-agent", [](World& w, NodeIndex n) { w.kill_agent(n); }},
      {"start-agent", [](World& w, NodeIndex n) { w.start_agent(n); }},
      {"stop-agent", [](World& w, NodeIndex n) { w.stop_agent(n); }},
      {"hang-agent", [](World& w, NodeIndex n) { w.hang_agent(n); }},
      {"wake-agent", [](World& w, NodeIndex n) { w.wake_agent(n); }},
      {"storage-stands", [](World& w, NodeIndex n) { w.set_storage(n, true); }},
      {"storage-moves", [](World& w, NodeIndex n) { w.set_storage(n, false); }},
      {"client-hangs", [](World& w, NodeIndex n) { w.hang_client(n); }},
      {"kill-client", [](World& w, NodeIndex n) { w.kill_client(n); }},
      {"start-client", [](World& w, NodeIndex n) { w.start_client(n); }},
      {"kill-ccm", [](World& w, NodeIndex n) { w.kill_ccm(n); }},
      {"start-ccm", [](World& w, NodeIndex n) { w.start_ccm(n); }},
      {"corrupt-record", [](World& w, NodeIndex n) { w.corrupt_record(n); }},
      {"disk-fails", [](World& w, NodeIndex n) { w.set_disk_fails(n, true); }},
      {"disk-works", [](World& w, NodeIndex n) { w.set_disk_fails(n, false); }},
      {"wrong-key", [](World& w, NodeIndex n) { w.set_wrong_key(n, true); }},
      {"corosync-stop", [](World& w, NodeIndex n) { w.set_corosync(n, false); }},
      {"corosync-start", [](World& w, NodeIndex n) { w.set_corosync(n, true); }},
      {"device-lost", [](World& w, NodeIndex n) { w.set_device(n, false); }},
      {"device-back", [](World& w, NodeIndex n) { w.set_device(n, true); }},
      {"right-key", [](World& w, NodeIndex n) { w.set_wrong_key(n, false); }},
  };
  return commands;
}

// What a ccmd with real-time priority and locked memory was found to feel of them (tests/bench/detector-choice),
// rounded up: no look came more than 3 ms late with busy cores or disks, where memory was taken eight in two thousand
// came 30 to 50 ms late.
const std::map<std::string, Load>& loads() {
  static const std::map<std::string, Load> loads = {
      {"idle", {}},
      {"processor", {.late = milliseconds(5)}},
      {"memory", {.late = milliseconds(5), .stalls_per_mille = 4, .stall = milliseconds(40), .memory_per_cent = 30}},
      {"io", {.late = milliseconds(5), .io_per_cent = 70}},
      {"loss-1", {.lost_per_cent = 1}},
      {"loss-10", {.lost_per_cent = 10}},
      {"loss-30", {.lost_per_cent = 30}},
      {"jitter", {.delayed_looks = 3}},
  };
  return loads;
}

}  // namespace

std::vector<Step> parse_script(const std::string& text) {
  std::vector<Step> steps;
  Step step;
  bool log = false;
  const auto end_step = [&] {
    if (!step.prose.empty() || !step.commands.empty()) steps.push_back(std::move(step));
    step = {};
    log = false;
  };
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.empty()) {
      end_step();
    } else if (log) {
      step.expected.push_back(line);
    } else if (line.starts_with("#")) {
      step.prose.push_back(line);
    } else if (line == "----") {
      log = true;
    } else {
      step.commands.push_back(line);
    }
  }
  end_step();
  return steps;
}

std::string print_script(const std::vector<Step>& steps) {
  std::string out;
  for (const Step& step : steps) {
    if (!out.empty()) out += "\n";
    for (const std::string& line : step.prose) out += line + "\n";
    for (const std::string& line : step.commands) out += line + "\n";
    if (!step.commands.empty()) out += "----\n";
    for (const std::string& line : step.expected) out += line + "\n";
  }
  return out;
}

Script::Script()
    : policy_(scenario_policy()),
      hidden_({"evidence", "implication", "resource-probed", "resource-started", "resource-stopped", "epoch-durable",
               "claim-durable"}) {
  begin_anew();
}

void Script::begin_anew() {
  WorldOptions options;
  options.policy = policy_;
  options.network = network_;
  options.rails = rails_;
  options.vetoes = vetoes_;
  options.mailbox_disks = mailbox_disks_;
  options.corosync = corosync_;
  options.device_slack = device_slack_;
  options.mailbox_beats = mailbox_beats_;
  options.poison_reset = poison_reset_;
  world_ = std::make_unique<World>(options);
  began_ = world_->now();
}

std::expected<std::vector<std::string>, std::string> Script::run(const Step& step) {
  std::vector<std::string> log;
  began_ = world_->now();
  for (const std::string& line : step.commands) {
    const auto done = run_command(line, log);
    if (!done) return std::unexpected(line + ": " + done.error());
    collect(log);
  }
  return log;
}

void Script::collect(std::vector<std::string>& log) {
  for (const Told& told : world_->told()) {
    if (std::ranges::count(hidden_, told.record.kind) > 0) continue;
    log.push_back(fmt::format("{:>6} {}: {}", static_cast<std::int64_t>(ms_of(told.record.when - began_)),
                              world_->name(told.node), told.record.text));
  }
  world_->told().clear();
}

std::expected<void, std::string> Script::run_command(const std::string& line, std::vector<std::string>& log) {
  const Words words = words_of(line);
  const std::string& what = words[0];
  if (what == "policy") {
    // Before the first boot: policy automatic-takeover off, for example.
    if (words.size() != 3) return std::unexpected("policy NAME VALUE");
    if (words[1] == "automatic-takeover") {
      policy_.automatic_takeover = words[2] == "on";
    } else if (words[1] == "arbiter" && words[2] == "pacemaker") {
      policy_.cluster_decides = true;
      policy_.automatic_takeover = policy_.automatic_giveback = policy_.hand_over_at_shutdown = policy_.fences = false;
    } else if (words[1] == "request-fence") {
      policy_.asks_for_fences = words[2] == "on";
    } else if (words[1] == "cluster-look") {
      policy_.has_cluster_look = words[2] == "on";
    } else if (words[1] == "automatic-giveback") {
      policy_.automatic_giveback = words[2] == "on";
    } else if (words[1] == "hand-over-at-shutdown") {
      policy_.hand_over_at_shutdown = words[2] == "on";
    } else if (words[1] == "fence-devices") {
      policy_.fences = words[2] != "none";
    } else if (words[1] == "fence-limit") {
      policy_.fence_limit = std::stoi(words[2]);
    } else if (words[1] == "giveback-limit") {
      policy_.giveback_limit = std::stoi(words[2]);
    } else if (words[1] == "poison-reset") {
      poison_reset_ = words[2] == "sysrq"  ? ccm::PoisonReset::sysrq
                      : words[2] == "none" ? ccm::PoisonReset::none
                                           : ccm::PoisonReset::watchdog;
    } else if (words[1] == "takeover-hold" || words[1] == "storage-stalled") {
      const auto bound = duration_of(words[2]);
      if (!bound) return std::unexpected(bound.error());
      if (words[1] == "takeover-hold") {
        policy_.takeover_hold = *bound;
      } else {
        policy_.storage_stalled = *bound;
      }
    } else {
      return std::unexpected("no such policy");
    }
    begin_anew();
    return {};
  }
  if (what == "with-network") {
    // Before the first boot: beats go over an IP network too.
    network_ = true;
    begin_anew();
    return {};
  }
  if (what == "rails") {
    // Before the first boot: rails 1 or 2: so many, with the shipped handshake and session over them.
    if (words.size() != 2 || (words[1] != "1" && words[1] != "2")) return std::unexpected("how many rails? 1 or 2");
    rails_ = words[1] == "1" ? 1 : 2;
    begin_anew();
    return {};
  }
  if (what == "cut-rail" || what == "heal-rail") {
    // cut-rail 1: both ways; cut-rail 1 a: what a sends.
    const std::size_t rail = words.size() > 1 && words[1].size() == 1 ? static_cast<std::size_t>(words[1][0] - '1') : 9;
    if (rail >= rails_) return std::unexpected("which rail? 1, for example");
    const bool there = what == "cut-rail";
    if (words.size() == 2) {
      world_->set_rail(rail, RailFault::cut, 0, there);
    } else {
      const auto node = node_of({what, words[2]});
      if (!node) return std::unexpected(node.error());
      world_->set_rail(rail, RailFault::cut_way, *node, there);
    }
    return {};
  }
  if (what == "with-mailbox") {
    // Before the first boot: with-mailbox 1 or 3: so many mailbox disks, and leases on them.
    if (words.size() != 2 || (words[1] != "1" && words[1] != "3")) return std::unexpected("how many disks? 1 or 3");
    mailbox_disks_ = words[1] == "1" ? 1 : 3;
    policy_.lease_arbiter = agent::LeaseArbiter::mailbox;
    policy_.lease = seconds(2);
    policy_.lease_stop = seconds(4);
    begin_anew();
    return {};
  }
  if (what == "with-quorum") {
    // Before the first boot: with-quorum, leases on Corosync's; with-quorum 5s, with a quorum device of that slack.
    corosync_ = true;
    policy_.lease_arbiter = agent::LeaseArbiter::quorum;
    policy_.lease = seconds(2);
    policy_.lease_stop = seconds(4);
    if (words.size() > 1) {
      const auto slack = duration_of(words[1]);
      if (!slack) return std::unexpected(slack.error());
      device_slack_ = *slack;
    }
    begin_anew();
    return {};
  }
  if (what == "cut-ring" || what == "heal-ring") {
    world_->set_ring(what == "heal-ring");
    return {};
  }
  if (what == "with-disk-beats") {
    // Before the first boot: beats and notices go over one mailbox disk, or over those of with-mailbox.
    mailbox_beats_ = true;
    mailbox_disks_ = std::max<std::size_t>(mailbox_disks_, 1);
    policy_.beats_end = milliseconds(670);
    begin_anew();
    return {};
  }
  if (what == "mailbox-record" || what == "mailbox-replay") {
    // mailbox-record 1 b: what b's block on that disk holds now; mailbox-replay 1 b: it is read from now on.
    const auto node = node_of({what, words.size() > 2 ? words[2] : ""});
    if (!node || words[1].size() != 1) return std::unexpected("which disk, and whose block? 1 b, for example");
    const auto disk = static_cast<std::size_t>(words[1][0] - '1');
    if (what == "mailbox-record") world_->record_block(*node, disk);
    if (what == "mailbox-replay") world_->replay_block(*node, disk);
    return {};
  }
  if (what == "mailbox-lost" || what == "mailbox-back") {
    // mailbox-lost 1: of both nodes; mailbox-lost 1 a: of that one.
    const bool works = what == "mailbox-back";
    const std::size_t disk = words.size() > 1 && words[1].size() == 1 ? static_cast<std::size_t>(words[1][0] - '1') : 9;
    if (disk >= mailbox_disks_) return std::unexpected("which mailbox disk? 1, for example");
    if (words.size() == 2) {
      world_->set_mailbox_disk(disk, works);
    } else {
      const auto node = node_of({what, words[2]});
      if (!node) return std::unexpected(node.error());
      world_->set_mailbox(*node, disk, works);
    }
    return {};
  }
  if (what == "with-vetoes") {
    // Before the first boot: a veto program for each pool.
    vetoes_ = true;
    begin_anew();
    return {};
  }
  if (what == "show" || what == "hide") {
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (what == "hide") hidden_.push_back(words[i]);
      std::erase_if(hidden_, [&](const std::string& kind) { return what == "show" && kind == words[i]; });
    }
    return {};
  }
  if (what == "both-serve") {
    // Where most scenarios begin; how it comes about is first_boot_of_both's story.
    world_->boot(0);
    world_->boot(1);
    world_->advance(seconds(3));
    world_->told().clear();
    began_ = world_->now();
    return {};
  }
  if (what == "status") {
    std::istringstream in(world_->describe());
    for (std::string each; std::getline(in, each);) log.push_back(each);
    return {};
  }
  if (what == "load") {
    const auto load = words.size() == 2 ? loads().find(words[1]) : loads().end();
    if (load == loads().end()) return std::unexpected("load NAME: as tests/bench/detection has them");
    world_->set_load(load->second);
    return {};
  }
  if (what == "cut" || what == "heal") {
    world_->set_link(what == "heal");
    return {};
  }
  if (what == "cut-network" || what == "heal-network") {
    world_->set_network(what == "heal-network");
    return {};
  }
  if (what == "advance") {
    const auto time = duration_of(words.size() > 1 ? words[1] : "");
    if (!time) return std::unexpected(time.error());
    world_->advance(*time);
    return {};
  }
  const auto node = node_of(words);
  if (!node) return std::unexpected(node.error());
  const auto simple = node_commands().find(what);
  if (simple != node_commands().end()) {
    simple->second(*world_, *node);
    return {};
  }
  if (what == "promote" || what == "demote") return give_command(*world_, *node, words);
  if (what == "takeover" || what == "giveback" || what == "reset-state") return give_command(*world_, *node, words);
  if (what == "veto") {
    // veto b pool-a 312 records behind: from now on; without words: nothing is against it.
    const auto pool = pool_of(*world_, words.size() > 2 ? words[2] : "");
    if (!pool) return std::unexpected(pool.error());
    std::string said;
    for (std::size_t i = 3; i < words.size(); ++i) said += (said.empty() ? "" : " ") + words[i];
    world_->set_veto(*node, *pool, said);
    return {};
  }
  if (what == "maintenance" || what == "disable" || what == "enable") return inhibit(*world_, *node, words);
  if (what == "confirm-down") return confirm_down(*world_, *node, words);
  if (what == "fence-answers") return set_fence(*world_, *node, words);
  if (what.ends_with("-resource")) return change_resource(*world_, *node, words);
  return std::unexpected("no such command");
}

}  // namespace hapair::world
