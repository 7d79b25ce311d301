// Poison, of the node that is told to stop: what its agent does from the order to its answer. Why that is safe:
// ccm/poison/taker.h.
//
// While an order is not answered nothing is begun here that could end in a start: no claim, no question, no acceptance
// of an offer. What was begun before is undone: claims are withdrawn, and the record holds no pool any more, so an
// agent that comes after this one stops what it finds. What the partner published before the order is forgotten; the
// shell hands on no page that was read before it.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/core/engine.h"

namespace hapair::agent {

void Engine::on(Instant now, const Poisoned& event) {
  if (event.order == poison_known_) return;
  poison_known_ = event.order;
  poison_ = event.order;
  poison_decision_ = new_decision();
  poison_failed_ = false;
  partner_.reset();
  unheeded_.reset();
  for (Pool& pool : pools_) pool.stopped_again = false;
  record(now, Severity::error, "poisoned", std::nullopt, poison_decision_,
         fmt::format("{} poisons this node (order {}): it claims a pool and has this node stop every one. Nothing is "
                     "started here before that is done and answered; then by a new proof only. See hapair why on {}",
                     config_.partner.view(), event.order.serial, config_.partner.view()));
  if (started_ && offline_) answer_poison(now);
}

// What was stopped for it is settled as after a start: by the partner's word, which no longer claims it, or not at all.
void Engine::on(Instant now, const PoisonOver& event) {
  if (event.order != poison_known_) return;
  poison_known_ = {};  // told again it is obeyed again
  if (!std::exchange(poison_, std::nullopt)) return;
  poison_failed_ = false;
  record(now, Severity::notice, "poison-over", std::nullopt, poison_decision_,
         fmt::format("{} waits no more for what it told this node to do: what has stopped here is settled with it anew",
                     config_.partner.view()));
}

// Again and again until it is answered: what is under way leads to states in which there is more to undo.
void Engine::obey_poison(Instant now) {
  if (!poisoned()) return;
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    Pool& pool = pools_[i];
    if (wanted_.pools[i].held) draft(i).held = false;
    if (pool.state == PoolState::stopping && pool.stop_cause != StopCause::superseded) {
      pool.stop_cause = StopCause::poison;
    }
    // It is left as it was found, or waits for a lease: it is looked at anew, and what runs of it is stopped.
    if (pool.state == PoolState::probing && (pool.held_back || pool.lease.awaited)) {
      pool.held_back = pool.lease.awaited = false;
      take_sequence(now, i, pool.sequence.probe(now));
    }
    if (pool.state == PoolState::failed && std::exchange(pool.stopped_again, true)) continue;
    fire(now, i, PoolEvent::poisoned, poison_decision_);
  }
  const bool claims = std::ranges::any_of(pools_, [](const Pool& pool) { return pool.state == PoolState::fencing; });
  if (!claims) {
    fence_retry_at_.reset();
    doubted_fence_.reset();
    if (std::exchange(fence_in_flight_, false)) out_.commands.emplace_back(AbandonFence{});
  }
  answer_poison(now);
}

// By the state of the pool, by what is on disk, and by what is on its way there.
bool Engine::holds_nothing_here(PoolIndex index) const {
  switch (pools_[index].state) {
    case PoolState::unsettled:
    case PoolState::elsewhere:
      break;
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
    case PoolState::released:
    case PoolState::failed:
      return false;
  }
  return !durable(index).held && durable(index).claim.value() == 0 && !wanted_.pools[index].held;
}

// Why it cannot be obeyed: nothing may be touched, or a resource did not stop, twice. Empty: it can.
std::string Engine::poison_fails() const {
  if (offline_) return offline_reason_;
  if (!unlisted_.empty()) return fmt::format("{} was started here, and the configuration no longer has it", unlisted_);
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    const Pool& pool = pools_[i];
    if (pool.state != PoolState::failed || !pool.stopped_again) continue;
    const std::string failure = pool.sequence.failure();
    return fmt::format("{} did not stop{}", plan(i).name.view(), failure.empty() ? "" : ": " + failure);
  }
  return {};
}

void Engine::answer_poison(Instant now) {
  const std::string_view partner = config_.partner.view();
  if (const std::string why = poison_fails(); !why.empty()) {
    const ccm::PoisonOrder order = *poison_;
    // It stands all the same: nothing is started here.
    if (!std::exchange(poison_failed_, true)) {
      record(now, Severity::error, "poison-not-obeyed", std::nullopt, poison_decision_,
             fmt::format("{} has this node stop every pool, and that cannot be done ({}): its ccmd resets it, where it "
                         "can (ccm.poison.reset); else stop what runs here by hand",
                         partner, why));
      out_.commands.emplace_back(AnswerPoison{order, false});
    }
    return;
  }
  bool nothing = !in_flight_ && !dirty_ && !doubtful_;
  for (PoolIndex i = 0; i < pools_.size(); ++i) nothing = nothing && holds_nothing_here(i);
  if (!nothing) return;
  record(now, Severity::notice, "poison-obeyed", std::nullopt, poison_decision_,
         fmt::format("nothing of any pool runs here, and this node's record holds none: {} is told so", partner));
  out_.commands.emplace_back(AnswerPoison{*std::exchange(poison_, std::nullopt), true});
}

}  // namespace hapair::agent
