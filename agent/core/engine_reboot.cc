// A partner that reboots: what a page of a later life of its kernel means for the pools that its earlier life had,
// which answers may be given to the new one, and what is told of one that gets no further.
#include <fmt/core.h>

#include <algorithm>

#include "agent/core/engine.h"

namespace hapair::agent {

using heartbeat::Verdict;

void Engine::on(Instant /*now*/, const PartnerSeen& event) {
  sighting_ = event.sighting;
  // What an agent of another life of its kernel published is over; its epochs are not.
  if (partner_ && partner_boot_.known() && partner_boot_ != sighting_->boot_id) {
    for (PoolIndex i = 0; i < pools_.size(); ++i) {
      pools_[i].partner_known = std::max({pools_[i].partner_known, partner_->pools[i].epoch, partner_->pools[i].claim});
    }
    partner_.reset();
  }
  if (unheeded_ && unheeded_boot_.known() && unheeded_boot_ != sighting_->boot_id) unheeded_.reset();
}

bool Engine::wants_sighting() const {
  return std::ranges::any_of(
      pools_, [](const Pool& pool) { return pool.state == PoolState::claiming || pool.state == PoolState::fencing; });
}

// By what is on disk, and by what is on its way there, the partner held the pool in an earlier life of its kernel than
// the one in which it is seen now.
bool Engine::partner_rebooted(PoolIndex index) const {
  return sighting_ && rebooted_since(durable(index), config_.partner, *sighting_) &&
         rebooted_since(wanted_.pools[index], config_.partner, *sighting_);
}

bool Engine::any_rebooted() const {
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    if (partner_rebooted(i)) return true;
  }
  return false;
}

// Its pages are read, so one that was read after the claim was durable is at hand in a moment, and nobody is fenced.
bool Engine::reboot_awaited(PoolIndex index) const {
  const Verdict verdict = assessment_.verdict;
  const bool read = verdict == Verdict::rebooted || verdict == Verdict::panicked || heartbeat::answers(verdict);
  return read && partner_rebooted(index);
}

bool Engine::look_for_reboot(Instant now, PoolIndex index) {
  Pool& pool = pools_[index];
  const bool boots = assessment_.verdict == Verdict::rebooted || assessment_.verdict == Verdict::panicked;
  if (boots && !pool.takeover_refused && partner_rebooted(index) &&
      fire(now, index, PoolEvent::partner_rebooted, partner_decision_)) {
    return true;
  }
  const bool claimed =
      (pool.state == PoolState::claiming && pool.awaits_generation == 0) || pool.state == PoolState::fencing;
  if (!claimed) return false;
  if (sighting_ && TakeoverPermit::from_reboot(durable(index), config_.partner, *sighting_, pool.claimed_at) &&
      fire(now, index, PoolEvent::reboot_proved, pool.decision)) {
    return true;
  }
  // Not by a reboot, or not seen any more before its next page: then it takes a fence.
  return pool.state == PoolState::claiming && !reboot_awaited(index) && claim_carried(now, index) &&
         fire(now, index, PoolEvent::durable, pool.decision);
}

// Before the partner is told that this node neither has nor claims a pool, the record names the life of the partner's
// kernel that is told so: from then on a reboot of that one, not of an earlier one, is what must be seen.
bool Engine::may_answer(const PublishedView& view) const {
  const auto of_an_earlier_life = [this](const PoolDurable& record) {
    return record.owner == config_.partner && record.partner_boot.known() && record.partner_boot != partner_boot_;
  };
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    const PublishedPool& shown = view.pools[i];
    if (shown.owner == PoolOwner::publisher || shown.claim.value() != 0) continue;
    // On disk, on the way there, or about to be: a restarted agent may find any of the three.
    const bool on_the_way = in_flight_ && of_an_earlier_life(in_flight_->state.pools[i]);
    if (on_the_way || of_an_earlier_life(durable(i)) || of_an_earlier_life(wanted_.pools[i])) return false;
  }
  return true;
}

void Engine::note_asking_life(PoolIndex index) {
  const Pool& pool = pools_[index];
  const PartnerPool* partner = partner_pool(index);
  const bool idle =
      pool.state == PoolState::unsettled || pool.state == PoolState::elsewhere || pool.state == PoolState::requesting;
  const PoolDurable& record = wanted_.pools[index];
  if (!idle || partner == nullptr || partner->request != PoolRequest::answer) return;
  if (record.owner != config_.partner || !record.partner_boot.known() || record.partner_boot == partner_boot_) return;
  draft(index).partner_boot = partner_boot_;
}

void Engine::record_stall(Instant now, const std::optional<heartbeat::PhaseStall>& before) {
  const auto& stall = assessment_.stalled;
  const std::string_view partner = config_.partner.view();
  const bool same = before && stall && before->boot_id == stall->boot_id && before->phase == stall->phase;
  if (same || (!before && !stall)) return;
  if (before) {
    record(now, Severity::notice, "phase-moved-on", std::nullopt, partner_decision_,
           fmt::format("{} is no longer stalled in phase {}", partner, text_of(before->phase)));
  }
  if (!stall) return;
  record(now, Severity::warning, "phase-stalled", std::nullopt, partner_decision_,
         fmt::format(
             "{} is stalled in phase {} for {:.0f} s (bound {:g} s): it gets no further by itself. It "
             "is not fenced for that{}; look at its console, and repair or reset it",
             partner, text_of(stall->phase), ms_of(stall->in_phase) / 1000, ms_of(stall->bound) / 1000,
             config_.policy.cluster_decides ? " by this node" : ", and its pools stay with the node that has them"),
         {{"phase", std::string(text_of(stall->phase))}, {"bound_ms", fmt::format("{:g}", ms_of(stall->bound))}});
}

// It costs nothing by itself: which pool depends on that client is not known here.
void Engine::record_hung_client(Instant now, const std::string& before) {
  const std::string& hung = assessment_.hung_client;
  if (hung == before) return;
  const std::string_view partner = config_.partner.view();
  if (!before.empty()) {
    record(now, Severity::notice, "client-moves-on", std::nullopt, partner_decision_,
           fmt::format("{}'s client {} beats again, or has ended", partner, before), {{"client", before}});
  }
  if (hung.empty()) return;
  record(
      now, Severity::warning, "client-hung", std::nullopt, partner_decision_,
      fmt::format("{}'s client {} has stopped beating, while its process is there and the agent beats: its pools stay "
                  "there; look at that process on {}",
                  partner, hung, partner),
      {{"client", hung}});
}

}  // namespace hapair::agent
