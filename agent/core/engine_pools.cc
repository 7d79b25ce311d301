// The transition table at work: which events hold for a pool now, which row they take, and what entering a state does.
#include <fmt/core.h>

#include <algorithm>

#include "agent/core/engine.h"
#include "ccm/base/check.h"

namespace hapair::agent {
namespace {

using heartbeat::Verdict;

// What a request may take besides the partner's own stop timeouts.
constexpr Duration kRequestMargin = std::chrono::seconds(5);
// How much longer a node whose own link is down waits before it claims: the time of a partner's verdict and fence.
constexpr Duration kOwnLinkDownHold = std::chrono::seconds(2);

// States in which what the partner's page says begins something; in the others it belongs to what is under way. That
// the partner has taken a released pool is the end of the release.
bool begins_a_decision(PoolState from) {
  return from == PoolState::unsettled || from == PoolState::elsewhere || from == PoolState::serving ||
         from == PoolState::failed;
}

}  // namespace

bool Engine::fire(Instant now, PoolIndex index, PoolEvent event, std::uint64_t decision) {
  Pool& pool = pools_[index];
  const auto rows = transitions();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Transition& row = rows[i];
    if (row.from != pool.state || row.event != event || !holds(row.guard, index)) continue;
    const bool needs_permit =
        row.to == PoolState::acquiring ||
        (row.from == PoolState::probing && (row.to == PoolState::starting || row.to == PoolState::serving));
    if (row.from == PoolState::probing && row.to == PoolState::starting && inhibited(Inhibited::maintenance) &&
        !pool.start_wanted) {
      pool.held_back = true;
      pool.reason = "it is this node's and does not run as a whole: left as it is, for this node is in maintenance";
      record(now, Severity::warning, "held-back", index, decision,
             fmt::format("{}: {}. It is started when that ends: hapair maintenance off", plan(index).name.view(),
                         pool.reason));
      return false;
    }
    if (row.from == PoolState::probing && row.to == PoolState::starting && bound(index) && now >= pool.lease.until) {
      pool.lease.awaited = true;
      pool.reason = by_quorum() ? "it is this node's and does not run as a whole: it is started when its lease is seen "
                                  "to go on, or by the partner's word"
                                : "it is this node's and does not run as a whole: it is started under a lease of the "
                                  "mailbox disks";
      return false;
    }
    if (needs_permit && !make_permit(now, index, event)) return false;
    ++rows_taken_[i];
    if ((begins_a_decision(row.from) || row.from == PoolState::released) && pool.decision != decision) {
      pool.decision = decision;
      pool.decided_at = now;
    }
    if (row.to == PoolState::claiming) {
      const bool decided = event == PoolEvent::operator_takeover || row.from == PoolState::requesting;
      pool.claim_cause = event == PoolEvent::operator_force ? ClaimCause::force
                         : decided                          ? ClaimCause::operator_
                                                            : ClaimCause::verdict;
    }
    // What ran here at the end of this agent's last life was ordered then, and the cluster says so if it is no longer.
    const bool goes_on = row.from == PoolState::probing && needs_permit;
    if (goes_on && config_.policy.cluster_decides) pool.ordered = !pool.unwanted;
    if (row.to == PoolState::stopping) {
      pool.ordered = false;
      pool.order_until.reset();
      pool.stop_cause = event == PoolEvent::poisoned        ? StopCause::poison
                        : event == PoolEvent::partner_wants ? StopCause::request
                        : event == PoolEvent::giveback_due || event == PoolEvent::operator_giveback
                            ? StopCause::giveback
                        : event == PoolEvent::shutdown                                            ? StopCause::shutdown
                        : event == PoolEvent::cluster_demote || row.guard == Guard::clusters_held ? StopCause::cluster
                        : event == PoolEvent::lease_lost                                          ? StopCause::lease
                        : event == PoolEvent::superseded || row.guard == Guard::runs_above ? StopCause::superseded
                        : row.from == PoolState::probing                                   ? StopCause::stray
                                                                                           : StopCause::failure;
    }
    leave(index);
    // It was served a moment ago: no maintenance keeps it from going on.
    if (row.guard == Guard::taker_is_deaf) pool.start_wanted = true;
    if (row.to != row.from) {
      pool.fence_over = false;
      pool.lease.learnt = false;
      pool.lease.claim_decided.reset();
      pool.lease.vigil.reset();
    }
    if (row.to != PoolState::fencing) uncount_fence(index);
    pool.state = row.to;
    pool.since = now;
    pool.reason = row.sentence;
    record_transition(now, index, row);
    tell_channel(now, index, row);
    enter(now, index);
    return true;
  }
  return false;
}

// The proof for the states that need one; true where none is needed or it was made.
bool Engine::make_permit(Instant now, PoolIndex index, PoolEvent event) {
  Pool& pool = pools_[index];
  const PartnerPool* partner = partner_pool(index);
  std::optional<TakeoverPermit> permit;
  switch (pool.state) {
    case PoolState::unsettled:
    case PoolState::elsewhere:
    case PoolState::requesting:
    case PoolState::released:
      if (event == PoolEvent::partner_released && partner)
        permit = TakeoverPermit::from_release(wanted_.pools[index], *partner, partner_channel_);
      break;
    case PoolState::asking:
      if (!partner) break;
      permit = event == PoolEvent::partner_released
                   ? TakeoverPermit::from_release(wanted_.pools[index], *partner, partner_channel_)
                   : TakeoverPermit::from_disclaimer(wanted_.pools[index], *partner, *partner_, config_.life,
                                                     pool.asked_serial, partner_channel_);
      break;
    case PoolState::fencing:
      if (event == PoolEvent::fence_confirmed && last_fence_)
        permit = TakeoverPermit::from_fence(durable(index), *last_fence_);
      if (event == PoolEvent::cluster_vouches && cluster_vouches(index))
        permit = TakeoverPermit::from_order(durable(index), heartbeat::text_of(assessment_.verdict));
      if (event == PoolEvent::reboot_proved && sighting_)
        permit = TakeoverPermit::from_reboot(durable(index), config_.partner, *sighting_, pool.claimed_at);
      if (event == PoolEvent::lease_expired && pool.lease.vigil)
        permit = TakeoverPermit::from_quorum(durable(index), config_.partner, *pool.lease.vigil);
      if (event == PoolEvent::lease_expired && pool.lease.claim_decided)
        permit = TakeoverPermit::from_expiry(durable(index), config_.partner, *pool.lease.claim_decided,
                                             pool.lease.claim_decided_at, now);
      break;
    case PoolState::claiming:
      if (event != PoolEvent::reboot_proved) return true;
      if (sighting_) permit = TakeoverPermit::from_reboot(durable(index), config_.partner, *sighting_, pool.claimed_at);
      break;
    case PoolState::probing:
      permit = TakeoverPermit::from_possession(confirmed_, names_[index], config_.self, boot_id_);
      break;
    case PoolState::acquiring:
    case PoolState::starting:
    case PoolState::serving:
    case PoolState::stopping:
    case PoolState::releasing:
    case PoolState::failed:
      return true;
  }
  if (permit) pool.permit = std::move(permit);
  return pool.permit.has_value();
}

bool Engine::holds(Guard guard, PoolIndex index) const {
  const Pool& pool = pools_[index];
  const PoolDurable& record = wanted_.pools[index];
  const bool owner_here = record.owner == config_.self && record.epoch.value() != 0;
  const bool by_cluster = config_.policy.cluster_decides;
  const bool may_take = !shutting_down_ && !pool.failed_here && !poisoned() && (!by_cluster || pool.ordered);
  switch (guard) {
    case Guard::always:
      return true;
    case Guard::held_here:
      return owner_here && record.held && !record.released;
    case Guard::offered_here:
      return owner_here && record.released && !record.earlier_life;
    case Guard::partners_by_record:
      return record.owner == config_.partner && !record.earlier_life;
    case Guard::runs_above:
      return partner_runs_above(index);
    case Guard::home_or_owner_here:
      return (at_home(index) || owner_here || by_cluster) && may_take;
    case Guard::owner_here:
      return owner_here;
    case Guard::may_take:
      return may_take;
    case Guard::automatic_may_take:
      return config_.policy.automatic_takeover && may_take && !takeover_inhibited();
    case Guard::partner_alive:
      return hears_partner();
    case Guard::hands_over:
      return hands_over();
    case Guard::was_superseded:
      return pool.stop_cause == StopCause::superseded;
    case Guard::was_stray:
      return pool.stop_cause == StopCause::stray;
    case Guard::was_poisoned:
      return pool.stop_cause == StopCause::poison;
    case Guard::by_partner:
      return last_fence_ && last_fence_->by_partner;
    case Guard::lease_may_return:
      return pool.stop_cause == StopCause::lease && !pool.lease.taken && bound(index) && !shutting_down_;
    case Guard::lease_awaited:
      return pool.lease.awaited && !anything_runs(index);
    case Guard::give_back_home:
      return may_take;
    case Guard::taker_is_deaf:
      // Not by whether it is ready: one that asks and is not would have it stopped again and again.
      return (pool.stop_cause == StopCause::giveback || pool.stop_cause == StopCause::request) && may_take &&
             !hears_partner() && !(bound(index) && taken_by_partner(index));
    case Guard::clusters_held:
      return by_cluster && owner_here && record.held && !record.released;
    case Guard::cluster_decides:
      return by_cluster;
    case Guard::clusters_to_give:
      return by_cluster && !pool.ordered && owner_here;
  }
  return false;
}

void Engine::leave(PoolIndex index) {
  Pool& pool = pools_[index];
  pool.bound.reset();
  pool.awaits_generation = 0;
  pool.asked_serial = 0;
  pool.vetoes_request = false;
  pool.veto.clear();
  pool.veto_until.reset();
  pool.held_back = false;
  pool.start_wanted = false;
  pool.lease.awaited = false;
}

void Engine::enter(Instant now, PoolIndex index) {
  Pool& pool = pools_[index];
  switch (pool.state) {
    case PoolState::probing:
      pool.failed_here = false;
      take_sequence(now, index, pool.sequence.probe(now));
      return;
    case PoolState::unsettled:
      pool.permit.reset();
      return;
    case PoolState::failed:
      return;
    case PoolState::asking:
      pool.failed_here = false;
      pool.asked_serial = serial_ + 1;  // the publication at the end of this step carries the question
      return;
    case PoolState::elsewhere:
      pool.permit.reset();
      if (wanted_.pools[index].claim.value() != 0) draft(index).claim = Epoch();
      follow_partner_record(index);
      return;
    case PoolState::requesting:
      pool.asked_serial = serial_ + 1;
      pool.bound = now + plan(index).vetoes_time + stop_bound(index) + kRequestMargin;
      return;
    case PoolState::claiming: {
      draft(index).claim = epoch_to_claim(index);
      if (config_.policy.fences && pool.claim_cause == ClaimCause::verdict && !reboot_awaited(index) &&
          !fence_counted() && !fence_under_way()) {
        pool.fence_counted = true;
        count_fence(now);
      }
      pool.awaits_generation = generation_ + 1;
      return;
    }
    case PoolState::fencing:
      pool.lease.trouble_told = false;  // what was told of looks before says nothing of this claim
      if (std::ranges::count(pools_, PoolState::fencing, &Pool::state) == 1 && !fence_in_flight_ && !fence_retry_at_) {
        fence_tries_ = 0;
      }
      pool.lease.ballot_at = now;
      fence_if_wanted(now);
      // A round that began before this claim was durable proves nothing for it; one of this very step does.
      pool.fence_round = fence_in_flight_ && fence_round_step_ == steps_ ? fence_round_ : fence_round_ + 1;
      return;
    case PoolState::acquiring: {
      HAPAIR_CHECK(pool.permit.has_value(), "no way into this state without a permit");
      PoolDurable& entry = draft(index);
      pool.order_until.reset();
      entry.epoch = pool.permit->epoch();
      entry.owner = config_.self;
      entry.released = false;
      entry.partner_boot = BootId();
      entry.claim = Epoch();
      entry.held = true;
      entry.earlier_life = false;
      entry.leased = false;
      entry.armed = Epoch();
      entry.lease_over = {};
      entry.mailbox = 0;
      pool.awaits_generation = generation_ + 1;
      record(now, Severity::notice, "permit", index, pool.decision,
             fmt::format("{}: permit by {} for epoch {}: {}", plan(index).name.view(), text_of(pool.permit->kind()),
                         pool.permit->epoch().value(), pool.permit->proof()),
             {{"permit", std::string(text_of(pool.permit->kind()))},
              {"epoch", std::to_string(pool.permit->epoch().value())}});
      return;
    }
    case PoolState::starting:
      HAPAIR_CHECK(pool.permit.has_value(), "no way into this state without a permit");
      take_sequence(now, index, pool.sequence.start(now, *pool.permit));
      return;
    case PoolState::serving:
      record_serving(now, index);
      if (pool.permit->kind() == PermitKind::held) {
        take_sequence(now, index, pool.sequence.adopt(now, *pool.permit));
      }
      return;
    case PoolState::stopping:
      if (pool.stop_cause == StopCause::failure) pool.failed_here = true;
      // From here on the record says so too: an agent that restarts must not start it again.
      if (pool.stop_cause == StopCause::superseded) follow_partner_record(index);
      take_sequence(now, index, pool.sequence.stop(now));
      return;
    case PoolState::releasing: {
      pool.permit.reset();
      PoolDurable& entry = draft(index);
      entry.released = true;
      entry.held = false;
      entry.earlier_life = false;
      pool.awaits_generation = generation_ + 1;
      return;
    }
    case PoolState::released:
      if (config_.policy.cluster_decides) return;  // it is offered until the cluster wants it somewhere
      pool.bound = now + config_.policy.giveback_bound;
      return;
  }
}

// Events that are states of the world, looked at after every step until nothing more follows from them.
void Engine::settle(Instant now) {
  end_inhibitions(now);
  tell_heard(now);
  obey_poison(now);
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    int rounds = 0;
    while (settle_pool(now, i)) HAPAIR_CHECK(++rounds < 16, "the transition table runs in a circle");
    note_asking_life(i);
  }
  obey_poison(now);
  heed_operator(now);
  fence_if_wanted(now);
  for (PoolIndex i = 0; i < pools_.size(); ++i) ask_disks(now, i);
  ask_quorum(now);
  feed();
  tell_cluster(now);
  tell_left_bound(now);
  tell_what_is_waited_for(now);
}

bool Engine::settle_pool(Instant now, PoolIndex index) {
  Pool& pool = pools_[index];
  if (settle_lease(now, index)) return true;
  if (look_at_partner(now, index) || look_for_reboot(now, index) || follow_cluster(now, index)) return true;
  if (shutting_down_ && fire(now, index, PoolEvent::shutdown, pool.decision)) return true;
  const std::optional<Instant> down = down_at();
  // One that answers although it counts as down has its bound to answer in.
  const bool asked = pool.state == PoolState::asking || pool.state == PoolState::requesting;
  const bool waits = asked && hears_partner();
  const bool by_itself = takes_by_itself(pool.state);
  if (down && now >= *down && !waits && !(by_itself && pool.takeover_refused)) {
    if (by_itself && holds(Guard::automatic_may_take, index) && !provable(index)) {
      refuse_unprovable(now, index);
    } else if (by_itself && holds(Guard::automatic_may_take, index) && !fence_under_way() && !fence_counted() &&
               fence_limit_reached(now) && !expiry_possible(index)) {
      refuse_fence(now, index);
    } else if (fire(now, index, PoolEvent::partner_down, partner_decision_)) {
      return true;
    }
  }
  // Cut off, and not heard over a disk: the question is not answered by that, and an operator is to know.
  if (pool.state == PoolState::asking && assessment_.verdict == Verdict::interconnect_lost && !waits &&
      fire(now, index, PoolEvent::partner_down, partner_decision_)) {
    return true;
  }
  const bool claims = pool.state == PoolState::claiming || pool.state == PoolState::fencing;
  if (claims && !fence_in_flight_ && !claim_carried(now, index) &&
      fire(now, index, PoolEvent::partner_back, pool.decision)) {
    return true;
  }
  if (take_expiry(now, index)) return true;
  // One that shuts down waits for no disk.
  const bool only_lease = pool.state == PoolState::fencing && (pool.fence_over || !config_.policy.fences);
  if (shutting_down_ && only_lease && !pool.lease.claim_decided &&
      fire(now, index, PoolEvent::fence_given_up, pool.decision)) {
    return true;
  }
  if (pool.bound && now >= *pool.bound) {
    pool.bound.reset();
    if (pool.state == PoolState::released) pool.giveback_refused = true;
    if (fire(now, index, PoolEvent::bound_passed, pool.decision)) return true;
    if (pool.state == PoolState::released) {
      record(
          now, Severity::error, "needs-operator", index, pool.decision,
          fmt::format("{}: stopped and released, and {} did not take it: nobody serves it. Repair the cause, then run: "
                      "hapair takeover {}",
                      plan(index).name.view(), config_.partner.view(), plan(index).name.view()));
    }
  }
  const std::optional<Instant> giveback = giveback_at(index);
  if (!giveback || now < *giveback) return false;
  if (pool.move || giveback_limit_reached(now, index)) return false;
  const std::uint64_t decision = new_decision();
  if (!vetted(index, {PoolEvent::giveback_due, decision, false})) return false;
  pool.givebacks.push_back(now);
  return fire(now, index, PoolEvent::giveback_due, decision);
}

// A pool that comes back each time it is given back is better off where it stays.
bool Engine::giveback_limit_reached(Instant now, PoolIndex index) {
  Pool& pool = pools_[index];
  const EnginePolicy& policy = config_.policy;
  std::erase_if(pool.givebacks, [&](Instant when) { return now - when >= policy.giveback_window; });
  const auto given = static_cast<int>(pool.givebacks.size());
  if (policy.giveback_limit == 0 || given < policy.giveback_limit) return false;
  pool.giveback_refused = true;
  record(
      now, Severity::warning, "giveback-limit", index, 0,
      fmt::format("{} was given back to {} by itself {} within {:.0f} min, and is here again: it stays "
                  "here. See why {} does not keep it, then run: hapair giveback {}",
                  plan(index).name.view(), config_.partner.view(), given == 1 ? "once" : fmt::format("{} times", given),
                  ms_of(policy.giveback_window) / 60'000, config_.partner.view(), plan(index).name.view()));
  return true;
}

bool Engine::partner_runs_above(PoolIndex index) const {
  const PartnerPool* partner = partner_pool(index);
  if (partner == nullptr || partner->owner != PoolOwner::publisher) return false;
  if (partner->state != PoolState::starting && partner->state != PoolState::serving) return false;
  const Epoch mine = wanted_.pools[index].epoch;
  // Equal epochs of two that run: the home node goes on.
  return partner->epoch > mine || (partner->epoch == mine && !at_home(index));
}

// Whether what a claim was made for still holds.
bool Engine::claim_carried(Instant now, PoolIndex index) const {
  const Verdict verdict = assessment_.verdict;
  if (config_.policy.cluster_decides) return pools_[index].ordered && !hears_partner();
  if (reboot_awaited(index)) return true;
  switch (pools_[index].claim_cause) {
    case ClaimCause::force:
      // Without a fence there is only the end of its lease, and that never comes while it renews it in the same ring.
      return !by_quorum() || (config_.policy.fences && !pools_[index].fence_over) || !hears_partner() ||
             !partner_in_ring();
    case ClaimCause::operator_:
      return !hears_partner() && verdict != Verdict::rebooted;
    case ClaimCause::verdict:
      break;
  }
  const bool down = verdict == Verdict::unreachable || verdict == Verdict::hung || verdict == Verdict::panicked;
  const std::optional<Instant> due = down_at();
  return down || (due && now >= *due);
}

bool Engine::look_at_partner(Instant now, PoolIndex index) {
  const PartnerPool* partner = partner_pool(index);
  if (partner == nullptr) return false;
  Pool& pool = pools_[index];
  // What runs of it must stop, maintenance or not: the table says so for what a new look finds.
  if (pool.held_back && partner_runs_above(index)) {
    pool.held_back = false;
    take_sequence(now, index, pool.sequence.probe(now));
    return true;
  }
  const bool must_stop = pool.state == PoolState::starting || pool.state == PoolState::serving ||
                         (pool.state == PoolState::failed && now >= pool.since + kStopAgain);
  if (must_stop && partner_runs_above(index) && fire(now, index, PoolEvent::superseded, new_decision())) {
    return true;
  }
  if (pool.state == PoolState::elsewhere || pool.state == PoolState::unsettled) follow_partner_record(index);
  const Epoch mine = wanted_.pools[index].epoch;
  const bool remembers_more =
      partner->epoch > mine || (partner->epoch == mine && partner->owner == PoolOwner::publisher);
  if (pool.state == PoolState::serving && remembers_more && !partner_runs_above(index) && bound(index)) {
    set_offered(now, index, false, "its epoch must rise above what the partner remembers");
  } else if (pool.state == PoolState::serving && remembers_more && !partner_runs_above(index)) {
    // The partner remembers more than this node does: this node's record was lost once. It has the pool by proof, so
    // its epoch goes above.
    draft(index).epoch = partner->epoch.next();
  }
  const std::uint64_t decision = begins_a_decision(pool.state) ? next_decision_ : pool.decision;
  const auto try_event = [&](bool condition, PoolEvent event) {
    if (!condition || !fire(now, index, event, decision)) return false;
    if (decision == next_decision_) ++next_decision_;
    return true;
  };
  const bool alive = hears_partner();
  // Where a cluster's word moves pools too, what the partner said last may be untrue by now.
  const bool counts = alive || !config_.policy.cluster_decides;
  const bool offered = counts && TakeoverPermit::from_release(wanted_.pools[index], *partner).has_value();
  if (try_event(offered, PoolEvent::partner_released)) return true;
  if (try_event(counts && !offered && partner_holds(index), PoolEvent::partner_holds)) return true;
  // Both were ordered: the home node's question goes first, as between two that ask.
  const bool asks_first = config_.policy.cluster_decides && partner->state == PoolState::asking && !at_home(index);
  const bool vacant = alive && !offered && !partner_holds(index) && partner->claim.value() == 0 &&
                      !inhibited(Inhibited::maintenance) && !poisoned() && !asks_first;
  if (try_event(vacant, PoolEvent::partner_vacant)) return true;
  const bool answered =
      pool.state == PoolState::asking &&
      TakeoverPermit::from_disclaimer(wanted_.pools[index], *partner, *partner_, config_.life, pool.asked_serial)
          .has_value();
  if (try_event(answered, PoolEvent::partner_answered)) return true;
  const bool replied = partner_->saw_life == config_.life && partner_->saw_serial >= pool.asked_serial;
  if (try_event(pool.state == PoolState::requesting && partner->vetoes && replied, PoolEvent::partner_vetoes)) {
    return true;
  }
  // The cluster has told this node so, or is about to: of two orders the older one stands.
  const bool wanted = alive && wants_pool(*partner) && !(config_.policy.cluster_decides && pool.ordered);
  const bool now_at_once = partner->request == PoolRequest::hand_over_now;
  if (!wanted || now_at_once) pool.vetoes_request = false;
  if (pool.state != PoolState::serving) return try_event(wanted, PoolEvent::partner_wants);
  const bool asked_already = pool.move && (pool.move->ignore_vetoes || !now_at_once);
  if (!wanted || asked_already || pool.vetoes_request) return false;
  if (!vetted(index, {PoolEvent::partner_wants, decision, now_at_once})) {
    if (decision == next_decision_) ++next_decision_;
    return false;
  }
  return try_event(wanted, PoolEvent::partner_wants);
}

bool Engine::partner_holds(PoolIndex index) const {
  const PartnerPool& partner = partner_->pools[index];
  const PoolDurable& mine = wanted_.pools[index];
  if (may_run(partner)) return true;
  if (partner.state == PoolState::claiming || partner.state == PoolState::fencing) return true;
  // Both ask at once: the newer ownership goes first, then the home node.
  if (partner.state == PoolState::asking && pools_[index].state == PoolState::asking) {
    const Epoch theirs = partner.owner == PoolOwner::publisher ? partner.epoch : Epoch();
    const Epoch ours = durable(index).owner == config_.self ? durable(index).epoch : Epoch();
    return theirs > ours || (theirs == ours && !at_home(index));
  }
  if (partner.owner != PoolOwner::publisher || partner.released) return false;
  if (mine.owner != config_.self) return true;
  return partner.epoch > mine.epoch || (partner.epoch == mine.epoch && !at_home(index));
}

// What the partner proves to know about the ownership and this node does not is made durable here too.
void Engine::follow_partner_record(PoolIndex index) {
  const PartnerPool* partner = partner_pool(index);
  if (partner == nullptr || partner->owner != PoolOwner::publisher || !partner_holds(index)) return;
  const PoolDurable& mine = wanted_.pools[index];
  const Epoch epoch = std::max(mine.epoch, partner->epoch);
  const bool known =
      mine.owner == config_.partner && mine.epoch == epoch && !mine.released && !mine.held && !mine.earlier_life;
  if (known && mine.partner_boot == partner_boot_) return;
  PoolDurable& record = draft(index);
  record.owner = config_.partner;
  record.partner_boot = partner_boot_;
  record.epoch = epoch;
  record.released = false;
  record.held = false;
  record.earlier_life = false;
}

// When the verdict has stood long enough to cost a takeover; nothing where it never may.
std::optional<Instant> Engine::down_at() const {
  const EnginePolicy& policy = config_.policy;
  switch (assessment_.verdict) {
    case Verdict::unreachable:
      // With its own link down this node may be the one that is cut off: a partner that still has its link goes first.
      return assessment_.since +
             std::max(policy.takeover_hold, went_down_with_pools_ ? policy.reboot_silent : Duration{}) +
             (assessment_.own_link_down ? kOwnLinkDownHold : Duration{});
    case Verdict::hung:
    case Verdict::panicked:
      return assessment_.since + policy.takeover_hold;
    case Verdict::agent_hung:
      if (assessment_.agent_left) return std::nullopt;  // an operator stopped it on purpose; its pools run on
      return assessment_.since + policy.agent_silent;
    case Verdict::ccm_restarted:  // and its agent has not come back to it
      return assessment_.since + policy.agent_silent;
    case Verdict::ccm_gone:
      return assessment_.since + std::max(policy.ccm_silent, went_down_with_pools_ ? policy.reboot_silent : Duration{});
    case Verdict::storage_stalled:
      if (!policy.storage_stalled) return std::nullopt;
      return assessment_.since + *policy.storage_stalled;
    case Verdict::unknown:
    case Verdict::unproven:
    case Verdict::alive:
    case Verdict::rebooted:  // it boots: it is never fenced for that, and it asks before it serves
    case Verdict::leaving:   // it hands over, or goes dark and becomes unreachable
    case Verdict::interconnect_lost:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Instant> Engine::giveback_at(PoolIndex index) const {
  const Pool& pool = pools_[index];
  const PartnerPool* partner = partner_pool(index);
  if (pool.state != PoolState::serving || at_home(index) || !config_.policy.automatic_giveback ||
      giveback_inhibited() || shutting_down_ || pool.giveback_refused || !partner_able() || partner == nullptr ||
      partner->failed_there || partner->state != PoolState::elsewhere) {
    return std::nullopt;
  }
  const Instant due = std::max(assessment_.since, pool.since) + config_.policy.giveback_stable;
  return pool.veto_until ? std::max(due, *pool.veto_until) : due;
}

// A partner that went down in an orderly way and keeps its pools says so first; what it does after it is dark.
void Engine::note_going_down(Verdict before) {
  switch (assessment_.verdict) {
    case Verdict::unreachable:
    case Verdict::ccm_gone:
    case Verdict::unproven:
    case Verdict::interconnect_lost:  // its interfaces go down one after the other
      if (before == Verdict::leaving) {
        went_down_with_pools_ =
            partner_ && partner_->keeps_pools && sighting_ && sighting_->phase == ccm::BootPhase::shutting_down;
      }
      return;
    case Verdict::unknown:
    case Verdict::alive:
    case Verdict::storage_stalled:
    case Verdict::agent_hung:
    case Verdict::hung:
    case Verdict::rebooted:
    case Verdict::ccm_restarted:
    case Verdict::leaving:
    case Verdict::panicked:
      went_down_with_pools_ = false;
      return;
  }
}

// The longest that an orderly stop of the pool may take: resources may have to stop one after the other.
Duration Engine::stop_bound(PoolIndex index) const {
  Duration bound{};
  for (const ResourcePlan& resource : plan(index).resources) bound += resource.stop_timeout;
  return bound;
}

}  // namespace hapair::agent
