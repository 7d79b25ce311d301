// The parts of one node of the world: its CCM, its agent's loop, its disk, its resources and the fence that it asks.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "ccm/wire/observation.h"
#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

using agent::ActionOutcome;
using agent::ActionResult;
using agent::FenceResult;
using agent::ResourceAction;
using ccm::BootPhase;

constexpr Duration kDeadline = milliseconds(50);  // of one operation on the partner's memory
constexpr int kHandshakeReads = 3;
constexpr Duration kFenceTime = milliseconds(200);
constexpr Duration kWriteTime = milliseconds(2);
constexpr std::size_t kRing = ccm::kObservationSlots;

Duration time_of(const agent::ResourcePlan& plan, ResourceAction action) {
  switch (action) {
    case ResourceAction::start:
      return plan.name == "fs" ? milliseconds(280) : milliseconds(100);
    case ResourceAction::stop:
      return plan.name == "fs" ? milliseconds(450) : milliseconds(100);
    case ResourceAction::monitor:
      return milliseconds(30);
  }
  return {};
}

Duration timeout_of(const agent::ResourcePlan& plan, ResourceAction action) {
  switch (action) {
    case ResourceAction::start:
      return plan.start_timeout;
    case ResourceAction::stop:
      return plan.stop_timeout;
    case ResourceAction::monitor:
      return plan.monitor_timeout;
  }
  return {};
}

// The CCM's own rule: never back to a time before the storage.
bool phase_allowed(BootPhase from, BootPhase to) {
  if (to >= from) return true;
  return from != BootPhase::shutting_down && to >= BootPhase::awaiting_giveback;
}

}  // namespace

void World::set_phase(NodeIndex index, BootPhase phase) {
  Node& node = nodes_[index];
  if (!phase_allowed(node.phase, phase) || node.phase == phase) return;
  node.phase = phase;
  node.phase_since = now_;
}

// One round of the CCM's loop: it beats, publishes, looks at its partner and tells its client.
void World::ccm_tick(NodeIndex index, Incarnation incarnation) {
  Node& node = nodes_[index];
  if (!node.ccm || node.ccm->incarnation != incarnation || reread_key(index)) return;
  Ccm& own = *node.ccm;
  if (own.slot && own.slot->state == ccm::ClientState::registered && !node.agent_hung) {
    ++own.slot->beat;
    if (node.agent->block) own.block = node.agent->block;
    if (own.block) {
      for (const auto& checker : checkers_) checker->on_shown(*this, index, *own.block);
    }
  }
  ++own.beat;
  own.page.pair = *PairName::parse("pair");
  own.page.node = *NodeName::parse(name(index));
  own.page.incarnation = own.incarnation;
  own.page.boot_id = node.boot_id;
  own.page.phase = node.phase;
  own.page.phase_since = now_ - node.phase_since;
  own.page.ccm_beat = own.beat;
  own.page.clients.clear();
  if (own.slot) own.page.clients.push_back(*own.slot);
  if (own.storage) {
    if (!own.storage_stands) ++own.storage->completed;
    if (!own.storage_hangs) ++own.storage->beat;
    own.page.clients.push_back(*own.storage);
  }
  own.page.agent = own.block.value_or(ccm::AgentBlockLayout{});

  own.poison_answer = own.poison_taker.answer();
  publish_over_rails(index);  // before they answer the partner, which then reads this very beat
  feed_watchdog(index);
  if (!node.ccm || node.ccm->incarnation != incarnation) return;
  const bool served = own.slot && own.slot->state == ccm::ClientState::registered;
  std::vector<Seen> beats;
  if (auto heard = hear(index)) beats.push_back({std::move(*heard), now_, {}});
  disk_beat_turn(index, beats);
  for (Seen& beat : beats) {
    if (served) hand_over(index, std::move(beat));
  }
  if (rails_) {
    look_over_rails(index, true);
  } else {
    heartbeat::Observation seen = look(index);
    poison_turn(index, seen.page && seen.proof == ccm::PageProof::session);
    if (node.agent && served) hand_over(index, {std::move(seen), now_, {}});
  }
  if (!node.ccm || node.ccm->incarnation != incarnation) return;
  if (served) {
    if (!node.agent_hung) look_at_self(index);
    if (node.agent && !node.agent_hung) take_in(index);
    if (node.agent && !node.agent_hung) note_look(index);
  }
  const Duration late = lateness();
  own.latest = std::max(own.latest, late);
  schedule(kCcmPace + late, Scope::beat, index, [this, index, incarnation] { ccm_tick(index, incarnation); });
  arm_rails();
}

void World::hand_over(NodeIndex index, Seen seen) {
  std::deque<Seen>& inbox = nodes_[index].agent->inbox;
  inbox.push_back(std::move(seen));
  if (inbox.size() > kRing) inbox.pop_front();
}

// What its CCM tells the agent, as it wakes it.
void World::take_in(NodeIndex index) {
  Node& node = nodes_[index];
  tell_agent_of_poison(index);
  if (node.agent && !node.agent_hung) drain(index);
}

Duration World::lateness() {
  Duration late{};
  if (load_.late.count() > 0) {
    late = Duration(std::uniform_int_distribution<Duration::rep>(0, load_.late.count())(random_));
  }
  if (load_.stalls_per_mille > 0 && std::uniform_int_distribution<int>(1, 1000)(random_) <= load_.stalls_per_mille) {
    late += load_.stall;
  }
  return late;
}

// A read of the partner's page whose answer is on its way, or lost and asked for again.
bool World::answer_is_late(Ccm& own) {
  const auto one_in_a_hundred = [this] { return std::uniform_int_distribution<int>(1, 100)(random_); };
  const bool delayed = load_.delayed_looks > 0 && own.delayed_reads < load_.delayed_looks && one_in_a_hundred() <= 50;
  own.delayed_reads = delayed ? own.delayed_reads + 1 : 0;
  return delayed || (load_.lost_per_cent > 0 && one_in_a_hundred() <= load_.lost_per_cent);
}

// As agent/daemon does each second.
void World::look_at_self(NodeIndex index) {
  Node& node = nodes_[index];
  Agent& own = *node.agent;
  if (own.sample.when != Instant() && now_ - own.sample.when < seconds(1)) return;
  const Duration passed = own.sample.when == Instant() ? Duration{} : now_ - own.sample.when;
  own.sample.when = now_;
  own.sample.memory_waits = own.sample.memory_waits.value_or(Duration{}) + passed * load_.memory_per_cent / 100;
  own.sample.io_waits = own.sample.io_waits.value_or(Duration{}) + passed * load_.io_per_cent / 100;
  own.sample.latest = std::exchange(node.ccm->latest, Duration{});
  if (const auto strain = own.health.take(own.sample)) {
    own.watch.widen(strain->factor);
    step(index, agent::LocalStrained{*strain});
  }
}

// The newest beat that came since this node's last one. Both ways of the network work or neither does, so a beat that
// comes is an answer.
std::optional<heartbeat::Observation> World::hear(NodeIndex index) {
  Ccm& own = *nodes_[index].ccm;
  const Node& partner = nodes_[1 - index];
  const bool keys = !partner.wrong_key && !nodes_[index].wrong_key;
  if (!options_.network || !network_up_ || !keys || !partner.powered || !partner.ccm) return std::nullopt;
  const ccm::StatusView& page = partner.ccm->page;
  const bool same_life = own.network_met == page.incarnation;
  if (page.incarnation.value() == 0 || (same_life && own.network_met_beat == page.ccm_beat)) return std::nullopt;
  const bool due =
      page.ccm_beat % 2 == 0 || !link_up_;  // every other beat, and each while its rail does not show this node
  if (!due) return std::nullopt;
  own.network_met = page.incarnation;
  own.network_met_beat = page.ccm_beat;
  if (load_.lost_per_cent > 0 && std::uniform_int_distribution<int>(1, 100)(random_) <= load_.lost_per_cent)
    return std::nullopt;
  if (!same_life) return std::nullopt;  // a greeting, or the last beat of a life that ends
  heartbeat::Observation seen;
  seen.when = now_;
  seen.kind = ccm::ObservationKind::beat;
  seen.beat.emplace();
  seen.beat->pair = page.pair;
  seen.beat->sender = page.node;
  seen.beat->incarnation = page.incarnation;
  seen.beat->boot_id = page.boot_id;
  seen.beat->sequence = ++own.network_serial;
  seen.beat->news = {.phase = page.phase, .ccm_beat = page.ccm_beat};
  if (!page.clients.empty()) {
    seen.beat->news.agent_state = page.clients.front().state;
    seen.beat->news.agent_beat = page.clients.front().beat;
  }
  return seen;
}

heartbeat::Observation World::look(NodeIndex index) {
  Ccm& own = *nodes_[index].ccm;
  const Node& partner = nodes_[1 - index];
  heartbeat::Observation seen;
  seen.when = now_;
  if (!link_up_ || !partner.powered || !partner.host_up) {
    if (!own.unanswered_since) own.unanswered_since = now_;
    const bool given_up = now_ - *own.unanswered_since >= kDeadline;
    seen.kind = given_up ? ccm::ObservationKind::failed : ccm::ObservationKind::pending;
    seen.error = given_up ? ccm::FabricError::deadline : ccm::FabricError::none;
    if (given_up) own.session = own.met = Incarnation();
    return seen;
  }
  if (answer_is_late(own)) {
    seen.kind = ccm::ObservationKind::pending;
    return seen;
  }
  own.unanswered_since.reset();
  if (!partner.ccm || partner.ccm->page.incarnation.value() == 0) {
    seen.kind = ccm::ObservationKind::failed;
    seen.error = ccm::FabricError::not_listening;
    own.session = own.met = Incarnation();
    return seen;
  }
  const Ccm& other = *partner.ccm;
  if (own.met != other.incarnation) {
    own.met = other.incarnation;
    own.met_reads = 0;
  }
  // A CCM that does not run takes no part in a handshake; a session that was made holds for the page it left.
  if (!partner.paused && ++own.met_reads >= kHandshakeReads) own.session = own.met;
  seen.kind = ccm::ObservationKind::page;
  const bool in_session = own.session == other.incarnation && !partner.wrong_key && !nodes_[index].wrong_key;
  seen.proof = in_session ? ccm::PageProof::session : ccm::PageProof::none;
  seen.page = other.page;
  return seen;
}

// The agent's side of its ring, as agent/shell has it: each observation is judged; a block that changed is handed on.
void World::drain(NodeIndex index) {
  Node& node = nodes_[index];
  while (node.agent && !node.agent->inbox.empty()) {
    Agent& own = *node.agent;
    Seen seen = std::move(own.inbox.front());
    own.inbox.pop_front();
    judge(index, std::move(seen.observation), seen.posted);
    if (node.agent && seen.notice) take_notice(index, *seen.notice);
    if (node.agent) look_whether_heard(index);
  }
}

void World::judge(NodeIndex index, heartbeat::Observation seen, Instant posted) {
  Agent& own = *nodes_[index].agent;
  const Instant when = std::exchange(seen.when, own.clock.judge_time(seen.when));
  const auto assessment = own.watch.observe(seen);
  const bool sealed = seen.page && seen.proof == ccm::PageProof::session;
  const auto sighting = own.watch.sighting();
  const bool elsewhere = sighting && (!own.told_sighting || !own.told_sighting->same_place(*sighting));
  if (sealed && sighting && (elsewhere || own.engine.wants_sighting())) {
    own.told_sighting = sighting;
    step(index, agent::PartnerSeen{own.clock.world_time(*sighting)});
  }
  if (assessment) step(index, agent::PartnerAssessed{own.clock.world_time(*assessment)});
  if (!sealed) return;
  const ccm::StatusView& page = *seen.page;
  const agent::BlockReading reading{page.incarnation, page.ccm_beat, page.boot_id, posted, when};
  if (own.blocks.take_page(reading, page.agent)) hand_on(index, page.agent, page.boot_id, {});
}

void World::register_agent(NodeIndex index) {
  Node& node = nodes_[index];
  if (!node.ccm) {
    schedule(milliseconds(50), Scope::agent, index, [this, index] { register_agent(index); });
    return;
  }
  ccm::ClientView slot;
  slot.name = std::string(ccm::kAgentClientName);
  slot.life = next_life_++;
  slot.state = ccm::ClientState::registered;
  node.ccm->slot = slot;
  node.ccm->block = node.agent->block;
  if (node.agent->phase) set_phase(index, *node.agent->phase);
}

void World::step(NodeIndex index, const agent::Event& event) {
  Node& node = nodes_[index];
  ++node.engine_steps;
  const bool tick = std::holds_alternative<agent::Tick>(event);
  node.agent->engine.tell_wall(now_, wall(index));
  carry_out(index, node.agent->engine.step(now_, event));
  const auto due = node.agent->engine.next_wakeup();
  if (tick && due && *due <= now_) {
    violation(fmt::format("{}: the engine asks to be woken at a time that has passed: a busy loop", name(index)));
  }
  arm_wakeup(index);
  leave_if_done(index);
}

void World::arm_wakeup(NodeIndex index) {
  Agent& own = *nodes_[index].agent;
  const auto due = own.engine.next_wakeup();
  if (!due || (own.wakeup && *own.wakeup <= *due && *own.wakeup > now_)) return;
  own.wakeup = std::max(*due, now_ + std::chrono::microseconds(1));
  const Instant at = *own.wakeup;
  schedule(at - now_, Scope::agent, index, [this, index, at] {
    Agent& agent = *nodes_[index].agent;
    if (agent.wakeup == at) agent.wakeup.reset();
    step(index, agent::Tick{});
  });
}

void World::leave_if_done(NodeIndex index) {
  Agent& own = *nodes_[index].agent;
  if (!own.leaves || !own.engine.may_exit()) return;
  own.leaves = false;
  schedule(kCcmPace * 2, Scope::agent, index, [this, index] {
    agent_gone(index, ccm::ClientState::left);
    agent_left(index);
  });
}

void World::carry_out(NodeIndex index, agent::EngineOutput output) {
  Node& node = nodes_[index];
  for (agent::Record& record : output.records) told_.push_back({index, std::move(record)});
  if (output.reply) reply_ = std::move(output.reply);
  for (const agent::Command& command : output.commands) {
    if (const auto* action = std::get_if<agent::RunResource>(&command)) {
      act(index, *action);
    } else if (std::holds_alternative<agent::StartFence>(command)) {
      fence(index);
    } else if (std::holds_alternative<agent::AbandonFence>(command)) {
      ++node.fence_rounds;
      node.agent->poison_asked = 0;
    } else if (const auto* answer = std::get_if<agent::AnswerPoison>(&command)) {
      answer_poison(index, *answer);
    } else if (const auto* vetoes = std::get_if<agent::AskVetoes>(&command)) {
      ask_vetoes(index, vetoes->pool);
    } else if (const auto* ballot = std::get_if<agent::RunBallot>(&command)) {
      run_ballot(index, *ballot);
    } else if (const auto* disks = std::get_if<agent::LookAtDisks>(&command)) {
      look_at_disks(index, disks->pool);
    } else if (std::holds_alternative<agent::LookAtQuorum>(command)) {
      look_at_quorum(index);
    } else if (const auto* told = std::get_if<agent::TellCluster>(&command)) {
      // Else the script is the cluster; what it is told is in the records.
      if (pacemaker_) pacemaker_->told(index, told->word);
    } else if (const auto* feed = std::get_if<agent::FeedUntil>(&command)) {
      node.agent->fed_until = *feed;
    } else if (const auto* phase = std::get_if<agent::SetPhase>(&command)) {
      node.agent->phase = phase->phase;
      if (node.ccm && node.ccm->slot) set_phase(index, phase->phase);
    } else {
      node.record_corrupt = false;
      node.record_reset = true;
      put_on_disk(index, std::nullopt, true);
    }
  }
  if (output.persist) write(index, *output.persist);
  if (output.publish) {
    node.agent->block = node.agent->engine.block();
    for (const auto& checker : checkers_) checker->on_published(*this, index, *node.agent->block);
  }
}

void World::put_on_disk(NodeIndex index, std::optional<agent::DurableState> state, bool reported) {
  Node& node = nodes_[index];
  node.disk = std::move(state);
  for (const auto& checker : checkers_) checker->on_disk(*this, index, node.relied_on);
  if (reported) node.relied_on = node.disk;
}

void World::write(NodeIndex index, const agent::PersistRequest& request) {
  Node& node = nodes_[index];
  node.agent->disk_free_at = std::max(node.agent->disk_free_at, now_) + vary(kWriteTime);
  const std::uint64_t life = node.agent_life;
  schedule(node.agent->disk_free_at - now_, Scope::node, index, [this, index, request, life] {
    const bool orphaned = nodes_[index].agent_life != life;
    const bool failed = nodes_[index].disk_fails;
    if (orphaned && !options_.write_survives) return;
    if (!failed || options_.failed_write_lands) put_on_disk(index, request.state, !failed);
    if (orphaned) return;
    schedule(Duration{}, Scope::agent, index, [this, index, request, failed] {
      if (failed) {
        step(index, agent::NotDurable{request.generation, "no space left on device"});
      } else {
        step(index, agent::Durable{request.generation});
      }
    });
  });
}

// A start that has begun may use the pool's disk at once; a stop frees it when it has ended.
void World::act(NodeIndex index, const agent::RunResource& action) {
  for (const auto& checker : checkers_) checker->on_action(*this, index, action);
  Node& node = nodes_[index];
  Resource& resource = node.pools[action.resource.pool][action.resource.resource];
  const agent::ResourcePlan& plan = plans_[action.resource.pool].resources[action.resource.resource];
  resource.busy = action.action;
  if (action.action == ResourceAction::start && resource.state == RealState::stopped) {
    resource.state = RealState::broken;
  }
  const bool hangs = resource.hangs[static_cast<std::size_t>(action.action)];
  const Duration time = hangs ? timeout_of(plan, action.action) : vary(time_of(plan, action.action));
  const std::uint64_t life = node.agent_life;
  schedule(time, Scope::node, index, [this, index, action, life, hangs, time] {
    if (nodes_[index].agent_life != life) return;
    finish_action(index, action, hangs, time);
  });
}

void World::finish_action(NodeIndex index, const agent::RunResource& action, bool hung, Duration time) {
  Node& node = nodes_[index];
  Resource& resource = node.pools[action.resource.pool][action.resource.resource];
  resource.busy.reset();
  ActionResult result;
  result.took = time;
  if (hung) {
    result.outcome = ActionOutcome::timed_out;
    result.reason = "ended at its timeout";
    const bool nothing = resource.state == RealState::stopped;  // a stop makes no part of what was not there
    if (action.action != ResourceAction::monitor && !nothing) resource.state = RealState::broken;
  } else if (resource.fails[static_cast<std::size_t>(action.action)]) {
    result.outcome = ActionOutcome::failed;
    result.code = 1;
    result.reason = "the agent says: generic error";
  } else if (action.action == ResourceAction::monitor) {
    result.outcome = resource.state == RealState::running   ? ActionOutcome::succeeded
                     : resource.state == RealState::stopped ? ActionOutcome::not_running
                                                            : ActionOutcome::failed;
    if (resource.state == RealState::broken) result.reason = "the agent says: only a part of it is there";
    result.code = resource.state == RealState::running ? 0 : resource.state == RealState::stopped ? 7 : 1;
  } else {
    result.outcome = ActionOutcome::succeeded;
    resource.state = action.action == ResourceAction::start ? RealState::running : RealState::stopped;
  }
  schedule(Duration{}, Scope::agent, index,
           [this, index, action, result] { step(index, agent::ActionDone{action.resource, action.action, result}); });
}

// The device acts at the end of its time, if whoever asked still runs then.
// Set by whoever sets clocks, at each boot, where a seed makes the world.
agent::WallTime World::wall(NodeIndex node) const {
  return agent::WallTime(1'800'000'000'000) + nodes_[node].wall_error +
         std::chrono::duration_cast<agent::WallTime>(now_ - Instant(seconds(1000)));
}

void World::ask_vetoes(NodeIndex index, agent::PoolIndex pool) {
  schedule(vary(milliseconds(50)), Scope::agent, index, [this, index, pool] {
    agent::VetoDone done{.pool = pool, .said = {}};
    if (const std::string& said = nodes_[index].vetoes[pool]; !said.empty()) done.said = {"mirror says: " + said};
    step(index, done);
  });
}

void World::fence(NodeIndex asker) {
  for (const auto& checker : checkers_) checker->on_fence(*this, asker);
  Node& node = nodes_[asker];
  const FenceBehaviour behaviour = node.fence.front();
  if (node.fence.size() > 1) node.fence.pop_front();
  const std::uint64_t life = node.agent_life;
  const std::uint64_t round = ++node.fence_rounds;
  if (behaviour == FenceBehaviour::poison) return poison(asker);
  const Duration time = vary(kFenceTime);
  schedule(time, Scope::node, asker, [this, asker, life, round, behaviour, time] {
    if (nodes_[asker].agent_life != life || nodes_[asker].fence_rounds != round) return;
    agent::FenceReport report;
    report.device = "ipmi";
    report.took = time;
    switch (behaviour) {
      case FenceBehaviour::confirmed:
        power_off(1 - asker);
        report.result = FenceResult::confirmed;
        break;
      case FenceBehaviour::confirmed_but_lies:
        fence_lied_ = true;
        report.result = FenceResult::confirmed;
        break;
      case FenceBehaviour::failed:
        report.result = FenceResult::failed;
        report.reason = "the device refused";
        break;
      case FenceBehaviour::unknown:
        report.reason = "no answer from the device";
        break;
      case FenceBehaviour::poison:
        break;
      case FenceBehaviour::unknown_but_done:
        power_off(1 - asker);
        report.reason = "no answer from the device";
        break;
    }
    schedule(Duration{}, Scope::agent, asker, [this, asker, report] { step(asker, agent::FenceDone{report}); });
  });
}

}  // namespace hapair::world
