// The partner's leases: arms against them, and claims that their expiry proves. Why this is safe: agent/core/lease.h.
#include <fmt/core.h>

#include <algorithm>

#include "agent/core/engine.h"
#include "agent/core/lease.h"

namespace hapair::agent {

// The record is armed against the owner's epoch while the owner says that it serves under a lease.
void Engine::follow_arms(PoolIndex index) {
  const PartnerPool* partner = partner_pool(index);
  const PoolDurable& mine = wanted_.pools[index];
  const bool holds = partner == nullptr || (partner->leased && partner->owner == PoolOwner::publisher &&
                                            partner_->lease_over <= mine.lease_over);
  if (mine.armed.value() != 0 && (mine.owner != config_.partner || mine.armed != mine.epoch || !holds)) {
    PoolDurable& record = draft(index);
    record.armed = Epoch();
    record.lease_over = {};
    record.mailbox = 0;
  }
  if (!may_arm(index)) return;
  const Lease& lease = pools_[index].lease;
  const bool decided = lease.learnt && lease.known && lease.known->value.owner == ccm::other(own_side_) &&
                       lease.known->value.epoch >= partner->epoch;
  if (by_quorum() ? !partner_in_ring() : !decided) return;
  PoolDurable& record = draft(index);
  record.armed = partner->epoch;
  record.lease_over = partner_->lease_over;
  record.mailbox = ground_.mailbox;
}

// All that is known without the disks, or Corosync, lets this node be armed, and it is not.
bool Engine::may_arm(PoolIndex index) const {
  const PartnerPool* partner = partner_pool(index);
  const PoolDurable& mine = wanted_.pools[index];
  return pools_[index].state == PoolState::elsewhere && partner != nullptr && partner->leased &&
         partner->owner == PoolOwner::publisher && partner_may_arm() && partner_->lease_over.count() > 0 &&
         mine.owner == config_.partner && mine.epoch == partner->epoch && mine.armed != partner->epoch;
}

// The partner can be waited for: what is on disk says so, and what is on its way there too.
bool Engine::expiry_possible(PoolIndex index) const {
  const auto armed = [this](const PoolDurable& record) {
    return record.owner == config_.partner && record.armed.value() != 0 && record.armed == record.epoch;
  };
  return one_mailbox() && same_mailbox(ground_.mailbox, durable(index).mailbox) && armed(durable(index)) &&
         armed(wanted_.pools[index]);
}

// A claim of it may come to a proof without an operator, or is for a life of the partner that is proved to be over.
bool Engine::provable(PoolIndex index) const {
  return config_.policy.fences || expiry_possible(index) || partner_down_proven_ || operator_word_holds();
}

void Engine::refuse_unprovable(Instant now, PoolIndex index) {
  Pool& pool = pools_[index];
  pool.takeover_refused = true;
  pool.reason = fmt::format(
      "there is no fence device, and {} does not serve it under a lease that this node could wait "
      "for",
      config_.partner.view());
  record(
      now, Severity::error, "needs-operator", index, partner_decision_,
      fmt::format("{}: not taken over: {}. When it is seen to boot that is a proof; whoever sees that it has no power "
                  "runs here: hapair confirm-down {}",
                  plan(index).name.view(), pool.reason, config_.partner.view()));
}

void Engine::take_claim(Instant now, PoolIndex index) {
  Pool& pool = pools_[index];
  const ccm::OwnershipDecision& decided = *pool.lease.known;
  if (pool.state != PoolState::fencing || decided.value.owner != own_side_ ||
      decided.value.epoch < durable(index).claim) {
    return;
  }
  pool.lease.claim_decided = decided;
  pool.lease.claim_decided_at = now;
  const Duration wait = expiry_wait(durable(index).lease_over);
  record(
      now, Severity::notice, "claim-decided", index, pool.decision,
      fmt::format("{}: the claim of epoch {} is decided on the mailbox disks; {} sees it there, and its lease is over "
                  "in {:.0f} ms at the latest",
                  plan(index).name.view(), decided.value.epoch.value(), config_.partner.view(), ms_of(wait)),
      {{"wait_ms", fmt::format("{:.0f}", ms_of(wait))}});
}

std::optional<Instant> Engine::expiry_at(PoolIndex index) const {
  if (by_quorum()) return vigil_over(index);
  const Lease& lease = pools_[index].lease;
  if (pools_[index].state != PoolState::fencing || !lease.claim_decided || !expiry_possible(index)) return std::nullopt;
  return lease.claim_decided_at + expiry_wait(durable(index).lease_over);
}

bool Engine::take_expiry(Instant now, PoolIndex index) {
  const auto at = expiry_at(index);
  if (!at || now < *at) return false;
  // The last look of a vigil is yet to come.
  if (by_quorum() && pools_[index].lease.vigil->newest < *at) return false;
  if (!fire(now, index, PoolEvent::lease_expired, pools_[index].decision)) return false;
  // No device is to switch off a machine that has stopped what is taken from it, and may be on its way back.
  const bool more = std::ranges::any_of(pools_, [](const Pool& pool) { return pool.state == PoolState::fencing; });
  if (more || !fence_in_flight_) return true;
  fence_in_flight_ = false;
  doubted_fence_.reset();
  out_.commands.emplace_back(AbandonFence{});
  return true;
}

}  // namespace hapair::agent
