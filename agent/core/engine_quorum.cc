// Leases on Corosync's quorum: looks at it, this node's renewals by them, and the vigil over a partner that is gone.
// Why this is safe: agent/core/quorum_lease.h.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/core/engine.h"
#include "agent/core/lease.h"

namespace hapair::agent {
namespace {

// A look is three messages over the ring, so they may come often, and a lease outlasts a ring that is formed anew.
constexpr int kLooksALease = 4;
constexpr Duration kLookAtLeast = std::chrono::seconds(1);

}  // namespace

void Engine::on(Instant now, const QuorumSeen& event) {
  const QuorumLook& look = event.look;
  if (!by_quorum() || (quorum_look_ && look.began <= quorum_look_->began)) return;
  quorum_look_ = look;
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    if (keeps_vigil(i)) keep_vigil(now, i, look);
    Lease& lease = pools_[i].lease;
    if (!look.quorate || !may_run_here(i) || look.began <= lease.looked) continue;
    lease.looked = look.began;
    renew_lease(now, i, look.began);
    if (!lease.trouble_told || now - lease.looked >= lease_time() / 2) continue;
    lease.trouble_told = false;
    lease.offer_from = std::max(lease.offer_from, now);
    record(now, Severity::notice, "quorum-back", i, 0,
           fmt::format("{}: this node has quorum again, in Corosync's ring {}", plan(i).name.view(), look.ring));
  }
}

// ---- the owner ---------------------------------------------------------------------------------------------------

// What looks show is of this pool, as it stands here.
bool Engine::looks_count(PoolIndex index) const {
  return by_quorum() ? may_run_here(index) : pools_[index].lease.mine.has_value();
}

// The partner may count its last lease as over, and nothing would show a later one that it has taken the pool since.
bool Engine::lapsed(Instant now, PoolIndex index) const {
  if (!bound(index)) return false;
  const Lease& lease = pools_[index].lease;
  if (lease.until != Instant()) return now >= lease.until;
  // Of an earlier life of this agent. What the watchdog is fed to is the least of all leases of what ran then: of a
  // pool that was stopped because its own was over it says nothing.
  const bool found = pools_[index].state != PoolState::probing || lease.awaited;
  if (!found || !anything_runs(index)) return true;
  return !standing_ || now >= *standing_ - config_.policy.lease_stop;
}

// Why no look renews a lease, or keeps a vigil.
std::string Engine::no_quorum_text(Instant now) const {
  if (!ground_.problem.empty()) return ground_.problem;
  if (!quorum_look_ || now - quorum_look_->began >= lease_time() / 2) {
    return "Corosync completes no look at its ring: it does not run, hangs, or forms a new one";
  }
  if (!quorum_look_->quorate) {
    return fmt::format("this node has no quorum, in Corosync's ring {}", quorum_look_->ring);
  }
  return "no look at Corosync has renewed it";
}

std::string Engine::why_no_quorum_lease(Instant now, PoolIndex index) const {
  const std::string_view partner = config_.partner.view();
  if (!ground_.problem.empty()) return ground_.problem;
  if (ground_.mailbox == 0) return "it is not known yet how Corosync decides here";
  if (partner_->mailbox == 0) {
    return fmt::format("{} takes no leases from Corosync (its arbiter, or its Corosync; see hapair status there)",
                       partner);
  }
  if (other_mailbox(ground_.mailbox, partner_->mailbox)) {
    return fmt::format(
        "{} sees another Corosync cluster, or the same with other nodes, votes or times: make corosync.conf agree on "
        "both nodes, and load it (corosync-cfgtool -R)",
        partner);
  }
  return why_no_lease(now, index);
}

void Engine::tell_quorum_trouble(Instant now, PoolIndex index, const std::string& why) {
  Pool& pool = pools_[index];
  if (std::exchange(pool.lease.trouble_told, true)) return;
  const bool claims = pool.state == PoolState::fencing;
  record(now, Severity::error, "quorum-lost", index, claims ? pool.decision : 0,
         fmt::format("{}: {}: {}. See corosync-quorumtool -s; repair Corosync, or the way to the other nodes and the "
                     "quorum device",
                     plan(index).name.view(), why,
                     claims ? "the lease of its owner cannot be waited for; it is tried again"
                            : "no lease rests on it, so a node that dies is taken over only by a confirmed fence, by "
                              "its reboot or by an operator"));
}

// ---- the claimant ------------------------------------------------------------------------------------------------

// By this node's newest look: its ring is the one that the owner's looks speak of.
bool Engine::partner_in_ring() const {
  return quorum_look_ && quorum_look_->quorate && quorum_look_->partner_member &&
         last_step_ - quorum_look_->began < lease_time();
}

bool Engine::keeps_vigil(PoolIndex index) const {
  return by_quorum() && pools_[index].state == PoolState::fencing && durable(index).claim.value() != 0 &&
         expiry_possible(index);
}

void Engine::keep_vigil(Instant now, PoolIndex index, const QuorumLook& look) {
  Pool& pool = pools_[index];
  std::optional<QuorumVigil>& vigil = pool.lease.vigil;
  const std::string_view partner = config_.partner.view();
  const bool alone = look.quorate && !look.partner_member;
  if (vigil && alone && look.standing == vigil->standing && look.slack <= vigil->slack) {
    vigil->newest = look.began;
    return;
  }
  if (vigil) {
    vigil.reset();
    record(now, Severity::notice, "vigil-broken", index, pool.decision,
           fmt::format("{}: the wait for the end of {}'s lease begins anew: {}", plan(index).name.view(), partner,
                       !look.quorate         ? std::string("this node has no quorum")
                       : look.partner_member ? fmt::format("{} is a member of Corosync's ring {}", partner, look.ring)
                                             : std::string("this node was in another ring, or without quorum, since")));
  }
  if (!alone) return;  // as long as Corosync has not missed the partner too
  vigil = QuorumVigil{
      .since = now, .standing = look.standing, .slack = look.slack, .ring = look.ring, .newest = look.began};
  pool.lease.trouble_told = false;
  const Duration wait = vigil_wait(look.slack, durable(index).lease_over);
  record(
      now, Severity::notice, "vigil", index, pool.decision,
      fmt::format("{}: this node has quorum without {}, in Corosync's ring {}; if that stays so, its lease is over in "
                  "{:.0f} ms at the latest",
                  plan(index).name.view(), partner, look.ring, ms_of(wait)),
      {{"wait_ms", fmt::format("{:.0f}", ms_of(wait))}});
}

void Engine::tell_no_vigil(Instant now, PoolIndex index) {
  Pool& pool = pools_[index];
  if (!quorum_look_ || !quorum_look_->partner_member || now - quorum_look_->began >= lease_time()) {
    return tell_quorum_trouble(now, index, no_quorum_text(now));
  }
  if (std::exchange(pool.lease.trouble_told, true)) return;
  const std::string_view partner = config_.partner.view();
  record(
      now, Severity::warning, "partner-in-ring", index, pool.decision,
      fmt::format("{}: {} is not heard here, and is a member of Corosync's ring {}: it may renew its lease there, so "
                  "that is waited for only when it has left the ring. See the rails, and hapaird and ccmd there",
                  plan(index).name.view(), partner, quorum_look_->ring));
}

// When a claim whose proof is a vigil should long have had one.
std::optional<Instant> Engine::no_vigil_at(PoolIndex index) const {
  if (!keeps_vigil(index) || pools_[index].lease.vigil || pools_[index].lease.trouble_told) return std::nullopt;
  return pools_[index].claimed_at + lease_time();
}

std::optional<Instant> Engine::vigil_over(PoolIndex index) const {
  const auto& vigil = pools_[index].lease.vigil;
  if (!vigil || !keeps_vigil(index)) return std::nullopt;
  return vigil->since + vigil_wait(vigil->slack, durable(index).lease_over);
}

// ---- what is asked of the shell ----------------------------------------------------------------------------------

bool Engine::quorum_wanted() const {
  if (!by_quorum()) return false;
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    if (may_run_here(i) || may_arm(i) || keeps_vigil(i)) return true;
  }
  return false;
}

void Engine::ask_quorum(Instant now) {
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    if (const auto at = no_vigil_at(i); at && now >= *at) tell_no_vigil(now, i);
  }
  if (!quorum_wanted() || now < quorum_look_at_) return;
  quorum_look_at_ = now + std::min(lease_time() / kLooksALease, kLookAtLeast);
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    if (may_run_here(i)) prepare_lease(now, i);
    // The last look of a vigil.
    if (const auto over = vigil_over(i); over && *over > now) quorum_look_at_ = std::min(quorum_look_at_, *over);
  }
  out_.commands.emplace_back(LookAtQuorum{});
}

}  // namespace hapair::agent
