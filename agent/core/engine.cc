#include "agent/core/engine.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::agent {

using heartbeat::Verdict;

namespace {

constexpr Duration kRewriteAfter = std::chrono::seconds(1);

}  // namespace

Engine::Engine(EngineConfig config)
    : config_(std::move(config)),
      own_side_(ccm::side_of(config_.self, config_.partner)),
      next_decision_(config_.first_decision) {
  HAPAIR_CHECK(config_.life != 0, "a life is drawn before the engine is made");
  for (const PoolPlan& pool : config_.pools) {
    names_.push_back(pool.name);
    pools_.emplace_back(pool);
    PoolDurable entry;
    entry.pool = pool.name;
    wanted_.pools.push_back(entry);
  }
  confirmed_ = wanted_;
  rows_taken_.resize(transitions().size());
  shown_ = published(Instant());
}

EngineOutput Engine::step(Instant now, const Event& event) {
  out_ = EngineOutput{};
  ++steps_;
  last_step_ = now;
  std::visit([this, now](const auto& e) { on(now, e); }, event);
  if (started_ && !offline_) settle(now);
  finish(now);
  return std::exchange(out_, EngineOutput{});
}

// What every step ends with: one write for all that changed, the phase, the page.
void Engine::finish(Instant now) {
  const bool awaited = std::ranges::any_of(pools_, [](const Pool& pool) { return pool.awaits_generation != 0; });
  const bool paused = rewrite_at_ && now < *rewrite_at_ && !awaited;
  // Of a record that was not read, or cannot be, nothing is known that could be written in its place.
  if (dirty_ && started_ && !offline_ && !in_flight_ && !paused) {
    dirty_ = false;
    wanted_.boot_id = boot_id_;
    ++generation_;
    in_flight_ = PersistRequest{generation_, wanted_};
    out_.persist = in_flight_;
  }
  if (started_ && !offline_) set_phase();
  publish_changes(now);
}

void Engine::on(Instant now, const Started& event) {
  HAPAIR_CHECK(!started_, "an engine starts once");
  started_ = true;
  started_at_ = now;
  boot_id_ = event.boot_id;
  for (Pool& pool : pools_) pool.since = now;
  const std::uint64_t decision = new_decision();
  if (event.record_problem) {
    offline_ = true;
    offline_reason_ = *event.record_problem;
    for (Pool& pool : pools_) pool.reason = "nothing is looked at or done before the ownership record is decided on";
    record(now, Severity::error, "offline", std::nullopt, decision,
           fmt::format(
               "the ownership record of this node cannot be used: {}. This node touches nothing and claims nothing. "
               "See which node serves the pools, then run: hapair reset-state --yes",
               offline_reason_));
    return;
  }
  std::string dropped;
  if (event.durable) {
    for (const PoolDurable& entry : event.durable->pools) {
      const auto it = std::ranges::find(wanted_.pools, entry.pool, &PoolDurable::pool);
      if (it == wanted_.pools.end()) {  // a pool that the configuration no longer has
        if (event.durable->boot_id != boot_id_) continue;
        if (entry.leased) dropped = entry.pool.text();
        if (entry.held) unlisted_ = entry.pool.text();
        continue;
      }
      *it = entry;
      it->held = entry.held && event.durable->boot_id == boot_id_;
      // While this node was away the partner may have come to the pool in another way than by this node's consent.
      if (event.durable->boot_id != boot_id_) {
        it->earlier_life = true;
        it->partner_boot = BootId();
        it->leased = false;
        it->armed = Epoch();
        it->lease_over = {};
        it->mailbox = 0;
      }
      it->claim = Epoch();  // a claim of an earlier life of this agent has no one who pursues it
    }
  }
  if (!dropped.empty()) return refuse_dropped(now, dropped, decision);
  for (Pool& pool : pools_) pool.lease.past_unknown = !event.durable.has_value();
  if (event.durable) {
    wanted_.boot_id = event.durable->boot_id;
    recall_inhibitions(now, *event.durable);
  }
  confirmed_ = wanted_;
  record(now, Severity::info, "agent-started", std::nullopt, decision,
         event.durable
             ? fmt::format("agent of {} started; its ownership record was read", config_.self.view())
             : fmt::format("agent of {} started without an ownership record: a first start", config_.self.view()));
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    pools_[i].decision = decision;
    pools_[i].decided_at = now;
    pools_[i].reason = "looks which of its resources run here";
    take_sequence(now, i, pools_[i].sequence.probe(now));
  }
}

// Whoever knows nothing of a pool that runs here under a lease cannot stop it when that is over.
void Engine::refuse_dropped(Instant now, const std::string& pool, std::uint64_t decision) {
  offline_ = dropped_ = true;
  offline_reason_ = fmt::format("{} is served here under a lease, and the configuration has no such pool", pool);
  for (Pool& each : pools_) each.reason = "nothing is looked at or done before the configuration is repaired";
  record(
      now, Severity::error, "offline", std::nullopt, decision,
      fmt::format("{}: this node touches nothing, and its watchdog resets it when that lease is over. Put {} back into "
                  "the file and start hapaird again; stop or move a pool before it is taken out",
                  offline_reason_, pool));
}

void Engine::on(Instant now, const PartnerAssessed& event) {
  const Verdict before = assessment_.verdict;
  const auto stalled_before = assessment_.stalled;
  const std::string hung_before = assessment_.hung_client;
  const bool verdict_stands = before == event.assessment.verdict && assessment_.since == event.assessment.since;
  assessment_ = event.assessment;
  record_hung_client(now, hung_before);
  if (verdict_stands) return record_stall(now, stalled_before);
  if (before != assessment_.verdict) operator_word_.reset();
  switch (assessment_.verdict) {
    case Verdict::alive:
    case Verdict::storage_stalled:
    case Verdict::agent_hung:
    case Verdict::rebooted:
    case Verdict::ccm_restarted:
    case Verdict::leaving:
      // A later life of the partner publishes anew; but a partner that beats on was never down.
      if (partner_down_proven_ && heartbeat::answers(assessment_.verdict)) {
        partner_ = unheeded_;
        partner_boot_ = unheeded_boot_;
        partner_channel_.clear();
      }
      unheeded_.reset();
      partner_down_proven_ = false;
      break;
    case Verdict::unknown:
    case Verdict::unproven:
    case Verdict::hung:
    case Verdict::panicked:
    case Verdict::ccm_gone:
    case Verdict::interconnect_lost:
    case Verdict::unreachable:
      break;
  }
  partner_decision_ = new_decision();
  if (before != assessment_.verdict) {
    for (Pool& pool : pools_) {
      pool.giveback_refused = false;
      pool.takeover_refused = false;
    }
  }
  note_going_down(before);
  record_assessment(now, event.assessment);
  record_stall(now, stalled_before);
  note_running(now, before);
  if (doubted_fence_ && blind_since_)
    doubted_until_ = std::max(doubted_until_, *blind_since_ + config_.policy.beats_end);
  if (doubted_fence_ && !partner_runs(now)) take_fence_report(now, FenceReport(*doubted_fence_));
}

void Engine::on(Instant now, const PartnerBlock& event) {
  if (!event.channel.empty()) {
    agent_heard_ = event.heard;
    heard_channel_ = event.channel;
  }
  take_block(now, event);
}

void Engine::take_block(Instant now, const PartnerBlock& event) {
  const auto view = read_block(event.block, names_);
  if (!view) return;
  if (partner_down_proven_) {
    unheeded_ = view;
    unheeded_boot_ = event.boot_id;
    return;
  }
  const bool first = !partner_ || partner_->life != view->life;
  // A read over another rail that took longer.
  const bool replaced = view->life == replaced_life_ && view->serial <= replaced_serial_;
  if (replaced || (!first && view->serial < partner_->serial)) return;
  if (first) {
    if (partner_) {
      replaced_life_ = partner_->life;
      replaced_serial_ = partner_->serial;
    }
    for (Pool& pool : pools_) pool.lease.learnt = false;
  }
  partner_ = view;
  partner_boot_ = event.boot_id;
  partner_channel_ = event.channel;
  note_partner_maintenance(now);
  const bool differs = view->config_hash != config_.shared_config_hash;
  if (differs && (first || !config_differs_)) {
    record(
        now, Severity::warning, "configuration-differs", std::nullopt, 0,
        fmt::format("{} runs with another pair configuration (pools, homes, resources or their order): compare the two "
                    "files and restart the agent whose file is wrong",
                    config_.partner.view()));
  }
  config_differs_ = differs;
}

void Engine::on(Instant now, const Durable& event) {
  if (!in_flight_ || in_flight_->generation > event.generation) return;
  confirmed_ = std::exchange(in_flight_, std::nullopt)->state;
  doubtful_ = false;
  if (rewrite_at_) {
    rewrite_at_.reset();
    record(now, Severity::notice, "record-written", std::nullopt, 0, "the ownership record is written again");
    for (Pool& pool : pools_) {
      if (std::exchange(pool.disk_refused, false)) pool.failed_here = pool.takeover_refused = false;
    }
  }
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    Pool& pool = pools_[i];
    if (pool.awaits_generation == 0 || pool.awaits_generation > event.generation) continue;
    pool.awaits_generation = 0;
    const bool claim = pool.state == PoolState::claiming;
    const std::string_view what = claim                                ? "the claim of epoch"
                                  : pool.state == PoolState::releasing ? "the release of epoch"
                                                                       : "epoch";
    record(now, Severity::info, claim ? "claim-durable" : "epoch-durable", i, pool.decision,
           fmt::format("{}: {} {} is on disk", plan(i).name.view(), what,
                       claim ? durable(i).claim.value() : durable(i).epoch.value()));
    // Whether it is still carried, and whether by a reboot or by a fence, is looked at with the rest of the world.
    if (claim) pools_[i].claimed_at = now;
    if (claim) continue;
    fire(now, i, PoolEvent::durable, pool.decision);
  }
}

void Engine::on(Instant now, const NotDurable& event) {
  // What was not written was never true: what is wanted goes back to what is on disk, in the pools that waited for it.
  if (!in_flight_ || in_flight_->generation > event.generation) return;
  // The failed write may be on the disk all the same; where it said that this node holds a pool, or may wait for the
  // end of the partner's lease, a restarted agent would believe it.
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    const PoolDurable& failed = in_flight_->state.pools[i];
    doubtful_ = doubtful_ || (failed.held && !confirmed_.pools[i].held) ||
                (failed.armed.value() != 0 && confirmed_.pools[i].armed.value() == 0);
  }
  in_flight_.reset();
  const bool told = rewrite_at_.has_value();
  rewrite_at_ = now + kRewriteAfter;
  dirty_ = true;
  if (!told) {
    record(now, Severity::error, "record-not-written", std::nullopt, 0,
           fmt::format(
               "the ownership record could not be written: {}. Nothing that rests on it is done; free or repair the "
               "disk of state_dir. It is tried again every {:.0f} ms",
               event.why, ms_of(kRewriteAfter)));
  }
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    Pool& pool = pools_[i];
    if (pool.awaits_generation == 0 || pool.awaits_generation > event.generation) continue;
    pool.awaits_generation = 0;
    wanted_.pools[i] = confirmed_.pools[i];
    // Not again before the disk works, or it would take an offer and fail as fast as the disk does.
    if (pool.state == PoolState::claiming || pool.state == PoolState::acquiring) {
      pool.disk_refused = pool.takeover_refused = true;
      pool.failed_here = pool.failed_here || pool.state == PoolState::acquiring;
    }
    fire(now, i, PoolEvent::not_durable, pool.decision);
  }
}

void Engine::on(Instant now, const ActionDone& event) {
  if (event.resource.pool >= pools_.size()) return;
  Pool& pool = pools_[event.resource.pool];
  take_sequence(now, event.resource.pool, pool.sequence.done(now, event.resource.resource, event.action, event.result));
}

void Engine::take_sequence(Instant now, PoolIndex index, const PoolSequence::Output& output) {
  for (const RunAction& run : output.runs) {
    out_.commands.emplace_back(RunResource{{index, run.resource}, run.action, run.timeout});
  }
  record_notes(now, index, output);
  if (!output.outcome) return;
  const auto event = [&] {
    switch (*output.outcome) {
      case SequenceOutcome::all_running:
        return PoolEvent::all_running;
      case SequenceOutcome::some_running:
        return PoolEvent::some_running;
      case SequenceOutcome::none_running:
        return PoolEvent::none_running;
      case SequenceOutcome::all_started:
        return PoolEvent::all_started;
      case SequenceOutcome::start_failed:
        return PoolEvent::start_failed;
      case SequenceOutcome::all_stopped:
        return PoolEvent::all_stopped;
      case SequenceOutcome::stop_failed:
        return PoolEvent::stop_failed;
      case SequenceOutcome::resource_lost:
        return PoolEvent::resource_lost;
    }
    return PoolEvent::stop_failed;
  }();
  fire(now, index, event, pools_[index].decision);
}

void Engine::on(Instant now, const OperatorCommand& command) {
  if (refuse_for_cluster(now, command)) return;
  switch (command.kind) {
    case OperatorCommand::Kind::takeover:
      command_takeover(now, command);
      return;
    case OperatorCommand::Kind::giveback:
      command_giveback(now, command);
      return;
    case OperatorCommand::Kind::reset_record:
      command_reset(now, command);
      return;
    case OperatorCommand::Kind::inhibit:
      command_inhibit(now, command);
      return;
    case OperatorCommand::Kind::allow:
      command_allow(now, command);
      return;
    case OperatorCommand::Kind::confirm_down:
      command_confirm_down(now, command);
      return;
    case OperatorCommand::Kind::promote:
      command_promote(now, command);
      return;
    case OperatorCommand::Kind::demote:
      command_demote(now, command);
      return;
  }
}

void Engine::on(Instant now, const ShutdownAsked& /*event*/) {
  if (shutting_down_) return;
  shutting_down_ = true;
  shutdown_at_ = now;
  const std::uint64_t decision = new_decision();
  record(now, Severity::notice, "shutdown", std::nullopt, decision,
         hands_over() ? fmt::format("agent of {} was asked to stop: it stops its pools and hands them to {}",
                                    config_.self.view(), config_.partner.view())
                      : fmt::format("agent of {} was asked to stop; its pools go on running, {}", config_.self.view(),
                                    inhibited(Inhibited::maintenance) ? "for it is in maintenance"
                                    : config_.policy.cluster_decides
                                        ? "and nobody can stop them before it is back: the cluster fences this node "
                                          "when its monitor fails, unless it is in maintenance mode"
                                        : "as configured (shutdown.hand_over false)"));
  for (Pool& pool : pools_) {
    if (pool.state != PoolState::serving && pool.state != PoolState::starting) continue;
    pool.decision = decision;
    pool.decided_at = now;
  }
}

void Engine::on(Instant now, const Tick& /*event*/) {
  if (offline_) return;
  if (doubted_fence_ && now >= doubted_until_) end_doubt(now);
  if (fence_retry_at_ && now >= *fence_retry_at_ && !fence_in_flight_) {
    fence_retry_at_.reset();
    fence_if_wanted(now);
  }
  for (PoolIndex i = 0; i < pools_.size(); ++i) take_sequence(now, i, pools_[i].sequence.tick(now));
}

std::optional<Instant> Engine::next_wakeup() const {
  std::optional<Instant> due;
  const auto consider = [&due](std::optional<Instant> at) {
    if (at && (!due || *at < *due)) due = at;
  };
  if (!started_ || offline_) return due;
  if (!in_flight_) consider(rewrite_at_);
  consider(one_way_at());
  if (const auto tell = tell_cluster_at(); tell && told_cluster_ != assessment_.since) consider(tell);
  if (deaf_since_ && *deaf_since_ + kOneWayTold > last_step_) consider(*deaf_since_ + kOneWayTold);
  for (std::size_t i = 0; i < kInhibited; ++i) consider(end_of(static_cast<Inhibited>(i)));
  // The rest of a maintenance is published anew each minute.
  if (const auto end = end_of(Inhibited::maintenance); end && *end > last_step_) {
    consider(*end - (*end - last_step_ - Duration(1)) / kMinute * kMinute);
  }
  if (!fence_in_flight_) consider(fence_retry_at_);
  if (doubted_fence_) consider(doubted_until_);
  if (shutting_down_ && leaves_bound(last_step_)) consider(shutdown_at_ + kLeaveBound);
  const std::optional<Instant> down = down_at();
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    consider(pools_[i].sequence.next_due());
    consider(pools_[i].bound);
    consider(pools_[i].order_until);
    consider(lease_due(i));
    const Instant again = pools_[i].since + kStopAgain;
    if (pools_[i].state == PoolState::failed && partner_runs_above(i) && again > last_step_) consider(again);
    if (!pools_[i].move) consider(giveback_at(i));
    const bool waits_for_down = pools_[i].state == PoolState::elsewhere || pools_[i].state == PoolState::requesting ||
                                pools_[i].state == PoolState::asking || pools_[i].state == PoolState::released;
    // One that has passed was acted on, or is not to be.
    const bool refused = pools_[i].takeover_refused && takes_by_itself(pools_[i].state);
    if (waits_for_down && !refused && down && *down > last_step_) consider(down);
  }
  return due;
}

bool Engine::may_exit() const {
  if (!shutting_down_) return false;
  // What was forbidden, or seen last, is to be on disk, where the disk works.
  if (!offline_ && started_ && !rewrite_at_ && (in_flight_ || dirty_)) return false;
  if (offline_ || !started_) return true;
  if (poisoned() && !poison_failed_) return false;
  if (leaves_bound(last_step_)) return false;
  if (!hands_over()) return true;
  return std::ranges::all_of(pools_, [this](const Pool& pool) {
    switch (pool.state) {
      case PoolState::unsettled:
      case PoolState::elsewhere:
      case PoolState::failed:
        return true;
      // The partner is given the time to take it, so that its page says so before this node's goes dark.
      case PoolState::released:
        return !partner_can_take() || !pool.bound;
      case PoolState::probing:
      case PoolState::asking:
      case PoolState::requesting:
      case PoolState::claiming:
      case PoolState::fencing:
      case PoolState::acquiring:
      case PoolState::starting:
      case PoolState::serving:
      case PoolState::stopping:
      case PoolState::releasing:
        return false;
    }
    return true;
  });
}

const PartnerPool* Engine::partner_pool(PoolIndex index) const { return partner_ ? &partner_->pools[index] : nullptr; }

bool Engine::partner_able() const { return assessment_.verdict == Verdict::alive && partner_ready(); }

std::uint64_t Engine::new_decision() { return next_decision_++; }

}  // namespace hapair::agent
