#include "tests/scenario/world_rails.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "ccm/base/check.h"
#include "ccm/wire/mac.h"

namespace hapair::world {
namespace {

using agent::ResourceAction;
using agent::ResourceId;

agent::ResourcePlan resource(std::string name, std::vector<std::size_t> after) {
  agent::ResourcePlan plan;
  plan.name = std::move(name);
  plan.type = "ocf:heartbeat:" + plan.name;
  plan.after = std::move(after);
  plan.start_timeout = seconds(2);
  plan.stop_timeout = seconds(2);
  plan.monitor_timeout = seconds(1);
  plan.monitor_interval = seconds(1);
  plan.restarts = 2;
  return plan;
}

agent::PoolPlan pool(const char* name, const char* home) {
  agent::PoolPlan plan;
  plan.name = *PoolName::parse(name);
  plan.home = *NodeName::parse(home);
  plan.resources = {resource("disk", {}), resource("fs", {0}), resource("target", {1}), resource("address", {1})};
  return plan;
}

}  // namespace

agent::EnginePolicy scenario_policy() {
  agent::EnginePolicy policy;
  policy.agent_silent = seconds(10);
  policy.ccm_silent = seconds(10);
  policy.fence_attempts = 3;
  policy.fence_retry = seconds(1);
  policy.beats_end = milliseconds(620);
  policy.giveback_stable = seconds(30);
  policy.reboot_silent = seconds(60);
  return policy;
}

World::World(const WorldOptions& options) : options_(options), random_(options_.seed), rails_(make_rails()) {
  HAPAIR_CHECK(ccm::start_crypto(), "without it libsodium takes its slowest code");
  plans_ = {pool("pool-a", "a"), pool("pool-b", "b")};
  for (agent::PoolPlan& plan : plans_) {
    if (options_.vetoes) plan.vetoes = {"mirror"};
    for (agent::ResourcePlan& each : plan.resources) each.monitor_interval = options_.monitor_interval;
  }
  for (Node& node : nodes_) {
    for (const agent::PoolPlan& plan : plans_) node.pools.emplace_back(plan.resources.size());
  }
  checkers_.push_back(one_owner_checker());
  checkers_.push_back(epoch_checker());
  checkers_.push_back(block_order_checker());
  checkers_.push_back(fault_checker());
  checkers_.push_back(resource_order_checker());
  checkers_.push_back(fence_checker());
  if (options_.pacemaker) {
    pacemaker_.emplace(*this, options_.seed);
    schedule(PacemakerModel::kTurn, Scope::world, 0, [this] { pacemaker_turn(); });
  }
  if (!rails_) return;
  checkers_.push_back(ports_checker());
  checkers_.push_back(session_checker());
}

void World::pacemaker_turn() {
  pacemaker_->turn();
  schedule(PacemakerModel::kTurn, Scope::world, 0, [this] { pacemaker_turn(); });
}

void World::cluster_told(NodeIndex by, agent::ClusterWord word) {
  if (!nodes_[by].agent) return;
  schedule(vary(milliseconds(100)), Scope::agent, by,
           [this, by, word] { step(by, agent::ClusterTold{.word = word, .done = true, .took = milliseconds(100)}); });
}

void World::violation(std::string text) {
  violations_.push_back(fmt::format("at {:.3f} ms: {}", ms_of(now_ - Instant(seconds(1000))), text));
}

Duration World::vary(Duration nominal) {
  if (options_.seed == 0) return nominal;
  std::uniform_int_distribution<Duration::rep> share(30, 300);
  return nominal * share(random_) / 100;
}

void World::schedule(Duration after, Scope scope, NodeIndex node, std::function<void()> run) {
  const std::uint64_t life = scope == Scope::agent ? nodes_[node].agent_life : nodes_[node].power_life;
  queue_.push({now_ + after, ++serial_, scope, node, life, std::move(run)});
}

void World::run_next() {
  Scheduled next = queue_.top();
  queue_.pop();
  now_ = next.at;
  follow_corosync();
  Node& node = nodes_[next.node];
  if (next.scope != Scope::world) {
    const std::uint64_t life = next.scope == Scope::agent ? node.agent_life : node.power_life;
    if (next.life != life) return;
    if (node.paused || (next.scope == Scope::agent && node.agent_hung)) {
      node.deferred.push_back(std::move(next));
      return;
    }
  }
  next.run();
  check();
}

void World::check() {
  for (const auto& checker : checkers_) checker->after_event(*this);
}

void World::release_deferred(NodeIndex node) {
  for (Scheduled& event : std::exchange(nodes_[node].deferred, {})) {
    event.at = now_;
    event.serial = ++serial_;
    queue_.push(std::move(event));
  }
}

void World::advance(Duration time) {
  advance_until([] { return false; }, time);
}

bool World::advance_until(const std::function<bool()>& done, Duration at_most) {
  const Instant end = now_ + at_most;
  stirred_ = now_;  // by what was done to the world since
  while (!done()) {
    if (options_.leap) leap(end);
    if (queue_.empty() || queue_.top().at > end) {
      now_ = end;
      return done();
    }
    run_next();
  }
  return true;
}

void World::boot_kernel(NodeIndex index, ccm::BootPhase phase) {
  Node& node = nodes_[index];
  node.powered = true;
  ++node.power_life;
  ++node.boots;
  node.boot_id = BootId{};
  if (options_.seed != 0 && node.boots > 1) {
    node.wall_error = std::chrono::seconds(std::uniform_int_distribution<int>(-10'000, 10'000)(random_));
  }
  node.boot_id.bytes[0] = static_cast<std::uint8_t>(0xa0 + index);
  node.boot_id.bytes[15] = static_cast<std::uint8_t>(node.boots % 256);
  node.boot_id.bytes[14] = static_cast<std::uint8_t>(node.boots / 256);
  node.phase = phase;
  node.phase_since = now_;
}

void World::boot(NodeIndex index, bool with_agent) {
  Node& node = nodes_[index];
  if (node.powered) return;
  boot_kernel(index, ccm::BootPhase::early);
  schedule(vary(milliseconds(20)), Scope::node, index, [this, index] { start_ccm(index); });
  if (node.boot_stalls) return fault();
  finish_boot(index, with_agent);
}

void World::stall_boot(NodeIndex index) { nodes_[index].boot_stalls = true; }

void World::go_on_booting(NodeIndex index) {
  if (std::exchange(nodes_[index].boot_stalls, false) && nodes_[index].powered) finish_boot(index, true);
}

void World::reset(NodeIndex index) {
  if (!nodes_[index].powered) return;
  power_off(index);
  boot(index);
}

void World::panic(NodeIndex index) {
  if (!nodes_[index].powered || nodes_[index].paused) return;
  power_off(index);
  boot_kernel(index, ccm::BootPhase::panicked);
  schedule(vary(milliseconds(8500)), Scope::node, index, [this, index] { start_ccm(index); });
  schedule(vary(seconds(60)), Scope::node, index, [this, index] { reset(index); });
}

void World::finish_boot(NodeIndex index, bool with_agent) {
  schedule(vary(milliseconds(200)), Scope::node, index, [this, index] { set_phase(index, ccm::BootPhase::root); });
  if (!with_agent) return fault();
  schedule(vary(milliseconds(1000)), Scope::node, index, [this, index] { start_agent(index); });
}

void World::power_off(NodeIndex index) {
  Node& node = nodes_[index];
  if (!node.powered) return;
  node.powered = node.paused = node.agent_hung = node.goes_down = node.comes_back = node.host_up = false;
  ++node.power_life;
  ++node.agent_life;
  apply_rails();
  node.ccm.reset();
  end_agent(index);
  node.deferred.clear();
  node.fed_until.reset();
  node.watchdog_runs = node.starved = false;
  for (auto& resources : node.pools) {
    for (Resource& each : resources) {
      each.state = RealState::stopped;
      each.busy.reset();
    }
  }
  fault();
}

void World::shut_down(NodeIndex index, bool and_boot) {
  Node& node = nodes_[index];
  if (!node.powered || node.paused || node.goes_down) return;
  // Who is switched off while a pool changes hands leaves questions open that only a fence answers.
  if (!settled()) fault();
  node.goes_down = true;
  node.comes_back = and_boot;
  set_phase(index, ccm::BootPhase::shutting_down);
  if (node.agent) {
    stop_agent(index);
  } else {
    agent_left(index);
  }
  // systemd waits so long for a service before it kills it.
  schedule(seconds(60), Scope::node, index, [this, index] {
    if (nodes_[index].agent) kill_agent(index);
    agent_left(index);
  });
}

void World::agent_left(NodeIndex index) {
  if (!nodes_[index].goes_down) return;
  schedule(vary(milliseconds(100)), Scope::node, index, [this, index] {
    const bool back = nodes_[index].comes_back;
    const bool faulty = fault_injected_;
    power_off(index);
    // An orderly shutdown is none, unless the pools were left behind.
    fault_injected_ = faulty || !options_.policy.hand_over_at_shutdown;
    if (back) boot(index);
  });
}

void World::pause(NodeIndex index) {
  if (!nodes_[index].powered) return;
  nodes_[index].paused = true;
  apply_rails();
  fault();
}

void World::resume(NodeIndex index) {
  if (!nodes_[index].paused) return;
  nodes_[index].paused = false;
  apply_rails();
  release_deferred(index);
}

void World::kill_agent(NodeIndex index) {
  Node& node = nodes_[index];
  if (!node.agent || node.paused) return;
  fault();
  agent_gone(index, ccm::ClientState::gone);
}

void World::agent_gone(NodeIndex index, ccm::ClientState how) {
  Node& node = nodes_[index];
  ++node.agent_life;
  end_agent(index);
  node.agent_hung = false;
  for (auto& resources : node.pools) {
    for (Resource& each : resources) {
      // A stop leaves a part of what it did not finish, and never makes one of what was not there.
      const bool nothing = each.state == RealState::stopped;
      if (each.busy && *each.busy != ResourceAction::monitor && !nothing) each.state = RealState::broken;
      each.busy.reset();
    }
  }
  if (node.ccm && node.ccm->slot) node.ccm->slot->state = how;
}

void World::end_agent(NodeIndex index) {
  std::unique_ptr<Agent>& agent = nodes_[index].agent;
  if (!agent) return;
  const std::vector<std::uint64_t>& rows = agent->engine.rows_taken();
  ended_rows_.resize(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) ended_rows_[i] += rows[i];
  agent.reset();
}

std::vector<std::uint64_t> World::rows_taken() const {
  std::vector<std::uint64_t> all = ended_rows_;
  for (const Node& node : nodes_) {
    if (!node.agent) continue;
    const std::vector<std::uint64_t>& rows = node.agent->engine.rows_taken();
    all.resize(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) all[i] += rows[i];
  }
  return all;
}

void World::start_agent(NodeIndex index) {
  Node& node = nodes_[index];
  if (!node.powered || node.paused || node.agent || node.goes_down) return;
  ++node.agent_life;
  agent::EngineConfig config;
  config.self = *NodeName::parse(name(index));
  config.partner = *NodeName::parse(name(1 - index));
  config.pools = plans_;
  config.policy = options_.policy;
  config.shared_config_hash = 7;
  config.life = next_life_++;
  const std::uint64_t config_life = config.life;
  heartbeat::WatchLimits limits;
  limits.pace = milliseconds(10);
  limits.floor = milliseconds(30);
  limits.agent_floor = milliseconds(60);
  limits.ceiling = milliseconds(500);
  if (options_.network) limits.network_paces.front() = milliseconds(20);
  limits_of_disk_beats(limits);
  // As scenario files count them; of the stand-in for rails there is but one.
  for (std::size_t i = 0; i < options_.rails; ++i) limits.rail_names.at(i) = std::to_string(i + 1);
  limits.phase_bounds.at(static_cast<std::size_t>(ccm::BootPhase::early)) = seconds(60);
  node.agent = std::make_unique<Agent>(std::move(config), limits);
  node.agent->disk_free_at = now_;
  if (options_.mailbox_disks > 0) node.agent->mailbox = mailbox_of(index, config_life);
  agent::Started started;
  started.boot_id = node.boot_id;
  if (node.record_corrupt) {
    started.record_problem = "state: the checksum does not match";
  } else {
    started.durable = node.relied_on = node.disk;
  }
  schedule(Duration{}, Scope::agent, index, [this, index, started] { step(index, started); });
  schedule(milliseconds(1), Scope::agent, index, [this, index] { register_agent(index); });
}

void World::stop_agent(NodeIndex index) {
  Node& node = nodes_[index];
  if (!node.agent) return;
  schedule(Duration{}, Scope::agent, index, [this, index] {
    nodes_[index].agent->leaves = true;
    step(index, agent::ShutdownAsked{});
  });
}

void World::hang_agent(NodeIndex index) {
  if (!nodes_[index].agent) return;
  nodes_[index].agent_hung = true;
  fault();
}

void World::wake_agent(NodeIndex index) {
  if (!nodes_[index].agent_hung) return;
  nodes_[index].agent_hung = false;
  release_deferred(index);
  schedule(Duration{}, Scope::agent, index, [this, index] { drain(index); });
}

void World::set_storage(NodeIndex index, bool stands) {
  Node& node = nodes_[index];
  if (!node.ccm) return;
  Ccm& own = *node.ccm;
  if (!own.storage) {
    own.storage.emplace();
    own.storage->name = "target";
    own.storage->life = next_life_++;
    own.storage->state = ccm::ClientState::registered;
    own.storage->pace = milliseconds(100);
    own.storage->stall_limit = milliseconds(1000);
  }
  own.storage->outstanding = 4;
  own.storage_stands = stands;
  own.storage_hangs = false;
  if (stands) fault();
}

void World::hang_client(NodeIndex index) {
  set_storage(index, true);
  Node& node = nodes_[index];
  if (!node.ccm) return;
  node.ccm->storage->outstanding = 0;
  node.ccm->storage_hangs = true;
}

void World::kill_ccm(NodeIndex index) {
  Node& node = nodes_[index];
  if (!node.ccm || node.paused) return;
  fault();
  apply_rails();
  node.ccm.reset();
  if (!node.agent) return;
  schedule(Duration{}, Scope::agent, index, [this, index] {
    Agent& own = *nodes_[index].agent;
    const auto assessed = own.watch.own_ccm_lost(own.clock.judge_time(now_), "the CCM closed its socket");
    if (assessed) step(index, agent::PartnerAssessed{own.clock.world_time(*assessed)});
    register_agent(index);
  });
}

void World::start_ccm(NodeIndex index) {
  Node& node = nodes_[index];
  if (!node.powered || node.paused || node.ccm) return;
  node.host_up = true;
  node.ccm.emplace(Incarnation(next_incarnation_++), ccm::PoisonSettings{kPoisonBound, options_.poison_reset});
  begin_disk_beats(index);
  open_rails(index);
  ccm_tick(index, node.ccm->incarnation);
}

std::optional<agent::CommandReply> World::command(NodeIndex index, const agent::OperatorCommand& command) {
  Node& node = nodes_[index];
  if (!node.agent || node.paused || node.agent_hung) return std::nullopt;
  // By force, or on an operator's own word about a partner that is not seen, a healthy node may be fenced.
  const bool seen_alive = node.agent->engine.hears_partner();
  const bool takes = command.kind == agent::OperatorCommand::Kind::takeover ||
                     command.kind == agent::OperatorCommand::Kind::confirm_down;
  const bool blindly = takes && !seen_alive;
  if (blindly) taken_blindly_ = true;
  if (command.force || blindly) fault();
  node.forced = node.forced || command.force;
  reply_.reset();
  step(index, command);
  // The word of an operator who did not look is a fence device that lies.
  const bool word = command.kind == agent::OperatorCommand::Kind::confirm_down && reply_ && reply_->accepted;
  if (word && nodes_[1 - index].powered) fence_lied_ = true;
  check();
  return std::exchange(reply_, std::nullopt);
}

void World::set_fence(NodeIndex asker, std::deque<FenceBehaviour> answers) { nodes_[asker].fence = std::move(answers); }

void World::set_action_fails(NodeIndex node, ResourceId id, ResourceAction action, bool fails) {
  nodes_[node].pools[id.pool][id.resource].fails[static_cast<std::size_t>(action)] = fails;
  if (fails) fault();
}

void World::set_veto(NodeIndex node, agent::PoolIndex pool, std::string said) {
  nodes_[node].vetoes[pool] = std::move(said);
}

void World::set_action_hangs(NodeIndex node, ResourceId id, ResourceAction action, bool hangs) {
  nodes_[node].pools[id.pool][id.resource].hangs[static_cast<std::size_t>(action)] = hangs;
  if (hangs) fault();
}

void World::kill_resource(NodeIndex node, ResourceId id) {
  Resource& resource = nodes_[node].pools[id.pool][id.resource];
  if (resource.state == RealState::running && !nodes_[node].paused) resource.state = RealState::stopped;
  fault();
}

void World::corrupt_record(NodeIndex node) {
  nodes_[node].record_corrupt = true;
  fault();
}

void World::set_disk_fails(NodeIndex node, bool fails) {
  nodes_[node].disk_fails = fails;
  if (fails) fault();
}

void World::set_wrong_key(NodeIndex node, bool wrong) {
  nodes_[node].wrong_key = wrong;
  if (wrong) fault();
}

void World::set_network(bool up) {
  network_up_ = up;
  if (!up) fault();
}

void World::repair_everything() {
  set_link(true);
  if (pacemaker_) pacemaker_->repair();
  set_load({});
  network_up_ = true;
  ring_cut_ = false;
  for (Corosync& corosync : corosync_) corosync.stopped = corosync.cut_off = false;
  for (MailboxDisk& disk : disks_) {
    disk.lost = false;
    disk.replays = {};
  }
  for (NodeIndex i = 0; i < kNodes; ++i) {
    Node& node = nodes_[i];
    resume(i);
    wake_agent(i);
    node.disk_fails = node.wrong_key = false;
    node.mailbox_lost = {};
    go_on_booting(i);
    start_client(i);
    if (node.ccm && node.ccm->storage) set_storage(i, false);
    node.fence = {FenceBehaviour::confirmed};
    for (auto& resources : node.pools) {
      for (Resource& each : resources) each.fails = each.hangs = {};
    }
  }
}

const agent::Engine* World::engine(NodeIndex node) const {
  return nodes_[node].agent ? &nodes_[node].agent->engine : nullptr;
}

const heartbeat::PartnerWatch* World::watch(NodeIndex node) const {
  return nodes_[node].agent ? &nodes_[node].agent->watch : nullptr;
}

RealState World::real(NodeIndex node, ResourceId id) const { return nodes_[node].pools[id.pool][id.resource].state; }

std::optional<ResourceAction> World::under_way(NodeIndex node, ResourceId id) const {
  return nodes_[node].pools[id.pool][id.resource].busy;
}

bool World::has_any(NodeIndex node, agent::PoolIndex pool) const {
  return std::ranges::any_of(nodes_[node].pools[pool], [](const Resource& r) { return r.state != RealState::stopped; });
}

bool World::has_all(NodeIndex node, agent::PoolIndex pool) const {
  return std::ranges::all_of(nodes_[node].pools[pool], [](const Resource& r) { return r.state == RealState::running; });
}

bool World::served_once(agent::PoolIndex pool) const {
  return (has_all(0, pool) && !has_any(1, pool)) || (has_all(1, pool) && !has_any(0, pool));
}

bool World::settled() const {
  for (const Node& node : nodes_) {
    if (!node.agent || node.agent_hung || node.paused || !link_up_) return false;
    for (agent::PoolIndex p = 0; p < plans_.size(); ++p) {
      const agent::PoolState state = node.agent->engine.pool_report(p).state;
      if (state != agent::PoolState::serving && state != agent::PoolState::elsewhere) return false;
    }
  }
  return served_once(0) && served_once(1);
}

std::string World::describe() const {
  std::string out;
  for (NodeIndex i = 0; i < kNodes; ++i) {
    const Node& node = nodes_[i];
    out += fmt::format("  {}: {}{}{}", name(i), node.powered ? "on" : "off", node.paused ? ", paused" : "",
                       node.powered && !node.ccm ? ", no CCM" : "");
    if (!node.agent) {
      out += node.powered ? ", no agent\n" : "\n";
      out += describe_ports(i);
      continue;
    }
    const agent::Engine& engine = node.agent->engine;
    out += fmt::format(", {}, sees {} {}{}\n", text_of(engine.node_state()), name(1 - i),
                       heartbeat::text_of(engine.assessment().verdict), node.agent_hung ? ", agent hung" : "");
    if (!engine.node_reason().empty()) out += fmt::format("     because: {}\n", engine.node_reason().text());
    for (agent::PoolIndex p = 0; p < plans_.size(); ++p) {
      const agent::PoolReport report = engine.pool_report(p);
      const std::string owner = report.owner.empty() ? "nobody's" : "owner " + report.owner.text();
      out += fmt::format("     {}: {}, {}, epoch {}{}\n", plans_[p].name.view(), text_of(report.state), owner,
                         report.epoch.value(),
                         has_all(i, p)   ? ", runs"
                         : has_any(i, p) ? ", runs in part"
                                         : "");
    }
    out += describe_ports(i);
  }
  return out;
}

}  // namespace hapair::world
