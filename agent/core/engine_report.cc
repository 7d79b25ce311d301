// What others see of the engine: records, the published block, the node's state.
#include <fmt/core.h>

#include <algorithm>

#include "agent/core/engine.h"

namespace hapair::agent {

using heartbeat::Verdict;

namespace {

std::string_view advice_for(heartbeat::StrainCause cause) {
  switch (cause) {
    case heartbeat::StrainCause::none:
      return "nothing is to be done";
    case heartbeat::StrainCause::suspended:
      return "keep it from being suspended (its hypervisor, systemctl mask suspend.target)";
    case heartbeat::StrainCause::late:
      return "see what keeps its processors busy, and whether ccmd says that it has no real-time priority";
    case heartbeat::StrainCause::stolen:
      return "its hypervisor is overbooked: reserve processor time for it";
    case heartbeat::StrainCause::memory:
      return "see what uses its memory";
    case heartbeat::StrainCause::io:
      return "see what keeps its disks busy, and whether they answer";
  }
  return "";
}

}  // namespace

void Engine::record(Instant now, Severity severity, std::string kind, std::optional<PoolIndex> pool,
                    std::uint64_t decision, std::string text, std::vector<std::pair<std::string, std::string>> fields) {
  out_.records.push_back({now, severity, std::move(kind), pool ? names_[*pool] : PoolName{}, decision, std::move(text),
                          std::move(fields)});
}

void Engine::record_transition(Instant now, PoolIndex index, const Transition& row) {
  const Pool& pool = pools_[index];
  const bool bad = row.to == PoolState::failed || row.event == PoolEvent::superseded ||
                   row.event == PoolEvent::fence_given_up || row.event == PoolEvent::resource_lost ||
                   row.event == PoolEvent::start_failed;
  std::string text =
      fmt::format("{}: {} -> {}: {}", plan(index).name.view(), text_of(row.from), text_of(row.to), row.sentence);
  const bool by_resource = row.event == PoolEvent::start_failed || row.event == PoolEvent::stop_failed ||
                           row.event == PoolEvent::resource_lost;
  if (by_resource) text += fmt::format(" ({})", pool.sequence.failure());
  const Severity severity = bad                                      ? Severity::error
                            : row.event == PoolEvent::partner_vetoes ? Severity::warning
                                                                     : Severity::notice;
  record(now, severity, "pool-state", index, pool.decision, std::move(text),
         {{"from", std::string(text_of(row.from))},
          {"to", std::string(text_of(row.to))},
          {"event", std::string(text_of(row.event))},
          {"epoch", std::to_string(wanted_.pools[index].epoch.value())}});
}

void Engine::record_notes(Instant now, PoolIndex index, const PoolSequence::Output& output) {
  for (const ResourceNote& note : output.notes) {
    const ResourcePlan& resource = plan(index).resources[note.resource];
    const std::string what = fmt::format("{}/{}", plan(index).name.view(), resource.name);
    const std::string took = fmt::format("{:.3f}", ms_of(note.result.took));
    std::string kind;
    std::string text;
    Severity severity = Severity::info;
    switch (note.kind) {
      case ResourceNote::Kind::started:
        kind = "resource-started";
        text = fmt::format("{} started in {:.0f} ms", what, ms_of(note.result.took));
        break;
      case ResourceNote::Kind::recovered:
        kind = "resource-recovered";
        text = fmt::format("{} runs again, restarted in {:.0f} ms", what, ms_of(note.result.took));
        severity = Severity::notice;
        break;
      case ResourceNote::Kind::stopped:
        kind = "resource-stopped";
        text = fmt::format("{} stopped in {:.0f} ms", what, ms_of(note.result.took));
        break;
      case ResourceNote::Kind::probed:
        kind = "resource-probed";
        text = fmt::format("{} was looked at: {}{}{}", what, text_of(note.result.outcome),
                           note.result.reason.empty() ? "" : ": ", note.result.reason);
        break;
      case ResourceNote::Kind::failed:
        kind = "resource-failed";
        text = fmt::format("{}: {} {}{}{}", what, text_of(note.action), text_of(note.result.outcome),
                           note.result.reason.empty() ? "" : ": ", note.result.reason);
        severity = Severity::error;
        break;
      case ResourceNote::Kind::restarting:
        kind = "resource-restarting";
        text = fmt::format("{} does not run ({}{}{}): it and what depends on it are restarted, attempt {} of {}", what,
                           text_of(note.result.outcome), note.result.reason.empty() ? "" : ": ", note.result.reason,
                           pools_[index].sequence.status(note.resource).restarts_used, resource.restarts);
        severity = Severity::warning;
        break;
      case ResourceNote::Kind::ignored:
        kind = "resource-failure-ignored";
        text = fmt::format("{} does not run ({}); ignored, as configured (on_failure ignore)", what,
                           text_of(note.result.outcome));
        severity = Severity::warning;
        break;
    }
    record(now, severity, std::move(kind), index, pools_[index].decision, std::move(text),
           {{"resource", resource.name},
            {"action", std::string(text_of(note.action))},
            {"took_ms", took},
            {"outcome", std::string(text_of(note.result.outcome))}});
  }
}

void Engine::record_serving(Instant now, PoolIndex index) {
  const Pool& pool = pools_[index];
  const std::string took = fmt::format("{:.3f}", ms_of(now - pool.decided_at));
  const bool held = pool.permit->kind() == PermitKind::held;
  record(now, Severity::notice, "pool-serving", index, pool.decision,
         fmt::format("{} is served here at epoch {}, permit by {}{}", plan(index).name.view(),
                     wanted_.pools[index].epoch.value(), text_of(pool.permit->kind()),
                     held ? "" : fmt::format(", {:.0f} ms after it was decided", ms_of(now - pool.decided_at))),
         {{"permit", std::string(text_of(pool.permit->kind()))}, {"took_ms", took}});
}

void Engine::record_assessment(Instant now, const heartbeat::Assessment& assessment) {
  for (const heartbeat::Evidence& evidence : assessment.because) {
    record(evidence.when, Severity::info, "evidence", std::nullopt, partner_decision_,
           fmt::format("{}: {}", evidence.channel, evidence.fact), {{"channel", evidence.channel}});
  }
  const bool good = assessment.verdict == Verdict::alive;
  record(assessment.since, good ? Severity::notice : Severity::warning, "verdict", std::nullopt, partner_decision_,
         fmt::format("{} is {}", config_.partner.view(), heartbeat::text_of(assessment.verdict)),
         {{"verdict", std::string(heartbeat::text_of(assessment.verdict))},
          {"decided_ms_later", fmt::format("{:.3f}", ms_of(now - assessment.since))}});
  record(now, Severity::info, "implication", std::nullopt, partner_decision_, implication());
}

void Engine::on(Instant now, const LocalStrained& event) {
  const heartbeat::Strain& strain = event.strain;
  strain_ = strain.factor;
  strain_fact_ = strain.fact;
  if (strain.cause == heartbeat::StrainCause::none) {
    return record(now, Severity::notice, "local-health", std::nullopt, 0,
                  "this node is well again: its usual limits are in force", {{"cause", "none"}, {"factor", "1"}});
  }
  record(now, Severity::warning, "local-health", std::nullopt, 0,
         fmt::format("this node {}: what it misses of {} may be its own doing, so silence must last {} times the usual "
                     "limits (up to heartbeat.ceiling_ms); {}",
                     strain.fact, config_.partner.view(), strain.factor, advice_for(strain.cause)),
         {{"cause", std::string(text_of(strain.cause))}, {"factor", std::to_string(strain.factor)}});
}

// What the verdict means for this node's next act, in one sentence.
std::string Engine::implication() const {
  const EnginePolicy& policy = config_.policy;
  if (policy.cluster_decides) return "the cluster decides what follows from it";
  // A claim under way is of a pool that is served there too; this verdict may withdraw it.
  const bool settled = std::ranges::any_of(pools_, [](const Pool& p) {
    return p.state == PoolState::elsewhere || p.state == PoolState::claiming || p.state == PoolState::fencing;
  });
  const auto after = [](Duration bound) {
    return bound.count() == 0 ? std::string("at once") : fmt::format("if it stays so for {:.0f} ms", ms_of(bound));
  };
  const std::string automatic = takeover_inhibited() ? inhibition_text() + ": its pools are taken only by an operator"
                                : !policy.automatic_takeover
                                    ? "takeover waits for an operator (takeover.automatic is false)"
                                : !settled ? "no pool of the partner is known to be served there: nothing to take over"
                                           : std::string();
  switch (assessment_.verdict) {
    case Verdict::unknown:
      return "this node cannot see its partner through its own CCM: it blames nobody and takes nothing";
    case Verdict::unproven:
      return "what answers has not proved to be the partner: no takeover, no release to it";
    case Verdict::alive:
      return "nothing to do";
    case Verdict::storage_stalled:
      if (!policy.storage_stalled) {
        return "everything of it but its storage works: whether its pools are fenced away is an operator's decision "
               "(hapair takeover --force; takeover.storage_stalled_ms makes it a rule)";
      }
      return automatic.empty() ? fmt::format("everything of it but its storage works: its pools are fenced away {}",
                                             after(*policy.storage_stalled))
                               : automatic;
    case Verdict::agent_hung:
      if (assessment_.agent_left) return "its agent was stopped on purpose and its pools run on: no takeover";
      return fmt::format("its pools run on: no takeover while its agent may be restarted; its pools are taken {}",
                         automatic.empty() ? after(policy.agent_silent) : "only by an operator");
    case Verdict::ccm_gone:
      return fmt::format(
          "says nothing about its storage: no takeover while its CCM may be restarted; its pools are taken {}",
          automatic.empty() ? after(policy.ccm_silent) : "only by an operator");
    case Verdict::panicked:
    case Verdict::rebooted:
      if (std::ranges::any_of(pools_, [](const Pool& p) { return p.state == PoolState::elsewhere; }) &&
          automatic.empty() && any_rebooted()) {
        return "the life of it that had its pools is over: they are claimed, and started on its next page; no fence";
      }
      if (assessment_.verdict == Verdict::rebooted) return "it boots: it is not fenced, and it asks before it serves";
      return automatic.empty() ? fmt::format("its pools are claimed {}; they start when a fence is confirmed",
                                             after(policy.takeover_hold))
                               : automatic;
    case Verdict::unreachable:
    case Verdict::hung:
      if (automatic.empty() && !policy.fences) {
        return fmt::format(
            "its pools are claimed {}; they start when its lease must be over, where it serves under one",
            after(policy.takeover_hold));
      }
      if (went_down_with_pools_ && automatic.empty()) {
        return fmt::format(
            "it went down in an orderly way and keeps its pools: they are taken when it is seen to boot, "
            "or by a fence {}",
            after(policy.reboot_silent));
      }
      return automatic.empty() ? fmt::format("its pools are claimed {}; they start when a fence is confirmed",
                                             after(policy.takeover_hold))
                               : automatic;
    case Verdict::ccm_restarted:
      return fmt::format(
          "says nothing about its storage: no takeover while its agent may come back; its pools are taken {}",
          automatic.empty() ? after(policy.agent_silent) : "only by an operator");
    case Verdict::leaving:
      return "it hands over what it releases; until then it may still serve";
    case Verdict::interconnect_lost:
      return hearing() == Hearing::both
                 ? "it is heard elsewhere: no takeover by itself; by command pools are moved over the mailbox disk"
                 : "it is heard elsewhere: no takeover";
  }
  return {};
}

PublishedView Engine::published(Instant now) const {
  PublishedView view;
  view.node_state = node_state();
  view.leaving = shutting_down_;
  view.keeps_pools = shutting_down_ && !hands_over();
  view.maintenance_left_s = view.node_state == NodeState::maintenance ? maintenance_left_s(now) : 0;
  view.lease_over = lease_over();
  view.mailbox = config_.policy.lease_arbiter != LeaseArbiter::none ? ground_.mailbox : 0;
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    const Pool& pool = pools_[i];
    const PoolDurable& record = confirmed_.pools[i];
    PublishedPool entry;
    entry.name = names_[i];
    entry.epoch = record.epoch;
    entry.claim = record.claim;
    entry.owner = record.owner == config_.self      ? PoolOwner::publisher
                  : record.owner == config_.partner ? PoolOwner::reader
                                                    : PoolOwner::nobody;
    entry.state = pool.state;
    // An offer is withdrawn the moment this node asks for the pool itself.
    entry.released = record.released && pool.state == PoolState::released;
    entry.request = pool.state == PoolState::requesting
                        ? (pool.requests_now ? PoolRequest::hand_over_now : PoolRequest::hand_over)
                    : pool.state == PoolState::asking ? PoolRequest::answer
                                                      : PoolRequest::none;
    entry.failed_here = pool.failed_here;
    entry.vetoes = pool.vetoes_request;
    entry.leased = pool.lease.offered && record.leased && wanted_.pools[i].leased;
    entry.unleased = bound(i) && pool.lease.freeing;
    // Until a record that is not is on disk.
    entry.armed = record.armed.value() != 0 || wanted_.pools[i].armed.value() != 0 ||
                  (in_flight_ && in_flight_->state.pools[i].armed.value() != 0);
    view.pools.push_back(entry);
  }
  return view;
}

// Publishes what changed. A node that is asked for an answer answers by saying what it has seen; otherwise what it has
// seen is no reason to publish, or the two would publish at each other for ever.
void Engine::publish_changes(Instant now) {
  PublishedView view = published(now);
  const bool safe = may_answer(view);
  const bool tells = partner_ && !offline_ && started_ && !doubtful_;
  const bool deaf = deaf_since_ && now >= *deaf_since_ + kOneWayTold;
  const bool asked =
      tells && safe && !deaf && (partner_->serial != shown_saw_serial_ || partner_->life != shown_saw_life_) &&
      std::ranges::any_of(partner_->pools,
                          [](const PartnerPool& p) { return p.request != PoolRequest::none || p.unleased; });
  // So it knows whether it is heard (engine_notices.cc). That it is not needs no record that can be relied on, nor that
  // anything of it is remembered.
  const std::uint64_t heard_life = deaf ? 0 : partner_ && !doubtful_ ? partner_->life : shown_saw_life_;
  const bool met = started_ && !offline_ && heard_life != shown_saw_life_;
  if (view == shown_ && !asked && !met) return;
  shown_ = std::move(view);
  ++serial_;
  if (!offline_) shown_saw_life_ = heard_life;
  if (partner_ && !offline_ && !doubtful_) shown_saw_serial_ = partner_->serial;
  if (!safe || deaf) shown_saw_serial_ = 0;
  out_.publish = true;
}

ccm::AgentBlockLayout Engine::block() const {
  return write_block(shown_, serial_, config_.life, config_.shared_config_hash, shown_saw_serial_, shown_saw_life_);
}

void Engine::set_phase() {
  const auto any = [this](auto condition) { return std::ranges::any_of(pools_, condition); };
  const auto in = [](PoolState state) { return [state](const Pool& p) { return p.state == state; }; };
  ccm::BootPhase phase = phase_.value_or(ccm::BootPhase::unknown);
  if (shutting_down_ && hands_over()) {
    phase = ccm::BootPhase::storage_stopping;
  } else if (any(in(PoolState::serving))) {
    phase = ccm::BootPhase::storage_active;
  } else if (any(in(PoolState::acquiring)) || any(in(PoolState::starting)) || any(in(PoolState::asking))) {
    phase = ccm::BootPhase::storage_starting;
  } else if (any(in(PoolState::elsewhere)) && !any(in(PoolState::probing)) && !any(in(PoolState::unsettled)) &&
             !any(in(PoolState::stopping))) {
    phase = ccm::BootPhase::awaiting_giveback;
  }
  if (phase == ccm::BootPhase::unknown || phase_ == phase) return;
  phase_ = phase;
  out_.commands.emplace(out_.commands.begin(), SetPhase{phase});
}

NodeState Engine::node_state() const {
  if (offline_) return NodeState::offline;
  if (inhibited(Inhibited::maintenance)) return NodeState::maintenance;
  const auto any = [this](auto condition) {
    for (PoolIndex i = 0; i < pools_.size(); ++i) {
      if (condition(i, pools_[i].state)) return true;
    }
    return false;
  };
  if (any([this](PoolIndex i, PoolState s) { return s == PoolState::failed || pools_[i].failed_here; })) {
    return NodeState::failed;
  }
  const bool blind = assessment_.verdict == Verdict::unreachable || assessment_.verdict == Verdict::unknown ||
                     assessment_.verdict == Verdict::unproven || assessment_.verdict == Verdict::interconnect_lost;
  const bool by_cluster = config_.policy.cluster_decides;
  if (any([&](PoolIndex i, PoolState s) { return s == PoolState::unsettled && (!by_cluster || pools_[i].ordered); })) {
    return blind && assessment_.verdict != Verdict::unknown ? NodeState::isolated : NodeState::joining;
  }
  if (any([this](PoolIndex i, PoolState s) {
        const bool on_the_way = s == PoolState::requesting || s == PoolState::claiming || s == PoolState::fencing ||
                                ((s == PoolState::acquiring || s == PoolState::starting) && !at_home(i));
        return on_the_way;
      })) {
    return NodeState::taking_over;
  }
  if (any([by_cluster](PoolIndex, PoolState s) {
        return s == PoolState::stopping || s == PoolState::releasing || (s == PoolState::released && !by_cluster);
      })) {
    return NodeState::giving_back;
  }
  if (any([](PoolIndex, PoolState s) {
        return s == PoolState::probing || s == PoolState::asking || s == PoolState::acquiring ||
               s == PoolState::starting;
      })) {
    return NodeState::joining;
  }
  const bool own = any([this](PoolIndex i, PoolState s) { return s == PoolState::serving && at_home(i); });
  const bool other = any([this](PoolIndex i, PoolState s) { return s == PoolState::serving && !at_home(i); });
  const bool waits =
      !by_cluster && any([this](PoolIndex i, PoolState s) { return s == PoolState::elsewhere && at_home(i); });
  if (other) return NodeState::serving_both;
  if (waits) return NodeState::waiting_for_giveback;
  return own ? NodeState::serving : NodeState::standby;
}

// A node that serves nothing because it cannot prove that its partner does not tells that once, not only in its status.
void Engine::tell_what_is_waited_for(Instant now) {
  if (config_.policy.cluster_decides) return;
  const bool unsettled = std::ranges::any_of(pools_, [](const Pool& p) { return p.state == PoolState::unsettled; });
  const bool waits = unsettled && node_state() == NodeState::isolated;
  if (!unsettled) told_to_wait_ = false;
  if (!waits || told_to_wait_) return;
  told_to_wait_ = true;
  std::string names;
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    if (pools_[i].state == PoolState::unsettled) names += (names.empty() ? "" : ", ") + plan(i).name.text();
  }
  record(now, Severity::warning, "waits-for-partner", std::nullopt, partner_decision_,
         fmt::format("{}: not served here, because nothing proves that {} does not serve it: {}", names,
                     config_.partner.view(), node_reason().text()));
}

NodeReason Engine::node_reason() const {
  const std::string_view partner = config_.partner.view();
  if (dropped_) return {offline_reason_, "put it back into the file and start hapaird again"};
  if (offline_) {
    return {offline_reason_, "when it is certain which node serves the pools, run: hapair reset-state --yes"};
  }
  if (poisoned()) {
    const std::string why = poison_fails();
    return {fmt::format("{} poisons this node: every pool stops here{}", partner, why.empty() ? "" : ", and " + why),
            why.empty() ? fmt::format("see hapair why on {}", partner)
                        : fmt::format("stop what runs here by hand, or see hapair why on {}", partner)};
  }
  if (inhibited(Inhibited::maintenance)) {
    return {"an operator has it leave everything as it is", "when the work is done, run: hapair maintenance off"};
  }
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    const Pool& pool = pools_[i];
    if (pool.state != PoolState::failed && !pool.failed_here) continue;
    const std::string failure = pool.sequence.failure();
    return {
        fmt::format("{} failed here{} and is {} now: {}", plan(i).name.view(),
                    failure.empty() ? "" : " (" + failure + ")", text_of(pool.state), pool.reason),
        config_.policy.cluster_decides
            ? std::string("repair the cause; the cluster tries it here again when its failure is forgotten (crm or pcs "
                          "resource cleanup)")
            : fmt::format("repair the cause, then run here: hapair takeover {}", plan(i).name.view())};
  }
  if (const NodeReason waits = cluster_reason(); config_.policy.cluster_decides) return waits;
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    if (!pools_[i].takeover_refused) continue;
    return {
        fmt::format("{} is not taken over: {}", plan(i).name.view(), pools_[i].reason),
        fmt::format("repair the cause (hapair why shows it), then run here: hapair takeover {}", plan(i).name.view())};
  }
  const NodeState state = node_state();
  if (state == NodeState::isolated && assessment_.verdict == Verdict::unproven) {
    return {fmt::format("what answers as {} has not proved to be it: no pool is settled with it", partner),
            "make key_file, pair, node names and releases agree on both nodes (\"refused\" in hapair status says which "
            "differs)"};
  }
  if ((state == NodeState::isolated || state == NodeState::joining) && !hears_partner()) {
    return {
        fmt::format("waits for {} (now {}) to say who serves what", partner, heartbeat::text_of(assessment_.verdict)),
        fmt::format("if {} is down for good, run: hapair takeover", partner)};
  }
  return {};
}

PoolReport Engine::pool_report(PoolIndex index) const {
  const Pool& pool = pools_[index];
  const PoolDurable& record = confirmed_.pools[index];
  return {.state = pool.state,
          .since = pool.since,
          .owner = record.owner,
          .epoch = record.epoch,
          .claim = record.claim,
          .reason = pool.reason,
          .failed_here = pool.failed_here,
          .giveback_due = pool.veto.empty() ? giveback_at(index) : std::nullopt,
          .leased = bound(index),
          .lease_over = lease_over_at(index),
          .armed = expiry_possible(index),
          .expiry = expiry_at(index),
          .ordered = pool.ordered,
          .may_be_held = doubtful_ || record.held || wanted_.pools[index].held ||
                         (in_flight_ && in_flight_->state.pools[index].held),
          .highest = known_epoch(index)};
}

}  // namespace hapair::agent
