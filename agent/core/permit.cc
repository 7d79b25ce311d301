#include "agent/core/permit.h"

#include <fmt/core.h>

#include <algorithm>

#include "agent/core/lease.h"

namespace hapair::agent {
namespace {

// Above everything that anyone has seen for the pool.
Epoch next_epoch(const PoolDurable& mine, const PartnerPool& partner) {
  return std::max({mine.epoch, mine.claim, partner.epoch, partner.claim}).next();
}

std::string told_over(std::string_view channel) {
  return channel.empty() ? std::string() : fmt::format(", and says so over {}", channel);
}

}  // namespace

std::string_view text_of(PermitKind kind) {
  switch (kind) {
    case PermitKind::released:
      return "released";
    case PermitKind::fenced:
      return "fenced";
    case PermitKind::rebooted:
      return "rebooted";
    case PermitKind::held:
      return "held";
    case PermitKind::ordered:
      return "ordered";
    case PermitKind::expired:
      return "expired";
  }
  return "unknown";
}

std::optional<TakeoverPermit> TakeoverPermit::from_release(const PoolDurable& mine, const PartnerPool& partner,
                                                           std::string_view channel) {
  const bool offered =
      partner.owner == PoolOwner::publisher && partner.released && partner.state == PoolState::released;
  // An offer below an epoch that this node has held itself is an old one.
  const bool current = mine.owner.empty() || partner.epoch >= mine.epoch;
  if (!offered || !current) return std::nullopt;
  return TakeoverPermit(
      PermitKind::released, mine.pool, next_epoch(mine, partner),
      fmt::format("the partner stopped it and released it at epoch {}{}", partner.epoch.value(), told_over(channel)));
}

std::optional<TakeoverPermit> TakeoverPermit::from_disclaimer(const PoolDurable& mine, const PartnerPool& partner,
                                                              const PartnerView& view, std::uint64_t own_life,
                                                              std::uint64_t asked_serial, std::string_view channel) {
  const bool answered = view.saw_life == own_life && asked_serial != 0 && view.saw_serial >= asked_serial;
  // One that still counts on an earlier lease of this node's could let it run out, and be right.
  if (!answered || !holds_nothing(partner) || partner.armed) return std::nullopt;
  return TakeoverPermit(PermitKind::released, mine.pool, next_epoch(mine, partner),
                        "the partner was asked and answers that it neither has nor claims it" + told_over(channel));
}

std::optional<TakeoverPermit> TakeoverPermit::from_fence(const PoolDurable& durable, const FenceReport& report) {
  if (report.result != FenceResult::confirmed || durable.claim.value() == 0) return std::nullopt;
  if (report.by_operator) {
    return TakeoverPermit(
        PermitKind::fenced, durable.pool, durable.claim,
        fmt::format("{} confirmed that the partner is down, and nothing was seen of it", report.device));
  }
  if (report.by_partner) {
    return TakeoverPermit(
        PermitKind::fenced, durable.pool, durable.claim,
        fmt::format("the partner, told by {}, answered after {:.0f} ms that it has stopped every pool", report.device,
                    ms_of(report.took)));
  }
  return TakeoverPermit(PermitKind::fenced, durable.pool, durable.claim,
                        fmt::format("fence device {} confirmed that the partner is down, after {:.0f} ms",
                                    report.device, ms_of(report.took)));
}

bool rebooted_since(const PoolDurable& durable, const NodeName& partner, const heartbeat::Sighting& seen) {
  const bool was_there = durable.owner == partner && durable.partner_boot.known();
  const bool another_life = seen.boot_id.known() && seen.boot_id != durable.partner_boot;
  return was_there && another_life && (ccm::before_storage(seen.phase) || seen.phase == ccm::BootPhase::panicked);
}

std::optional<TakeoverPermit> TakeoverPermit::from_reboot(const PoolDurable& durable, const NodeName& partner,
                                                          const heartbeat::Sighting& seen, Instant claimed_at) {
  const bool claimed = durable.claim.value() != 0 && seen.when > claimed_at;
  if (!claimed || !rebooted_since(durable, partner, seen)) return std::nullopt;
  return TakeoverPermit(
      PermitKind::rebooted, durable.pool, durable.claim,
      fmt::format("the partner held it under boot id {} and was seen under {} in phase {}, after the claim was durable",
                  durable.partner_boot.text(), seen.boot_id.text(), text_of(seen.phase)));
}

std::optional<TakeoverPermit> TakeoverPermit::from_expiry(const PoolDurable& durable, const NodeName& partner,
                                                          const ccm::OwnershipDecision& decided, Instant decided_at,
                                                          Instant now) {
  const bool claimed = durable.claim.value() != 0 && decided.value.epoch >= durable.claim;
  const bool armed = durable.owner == partner && durable.armed.value() != 0 && durable.armed == durable.epoch;
  const Duration wait = expiry_wait(durable.lease_over);
  if (!claimed || !armed || of_quorum(durable.mailbox) || now - decided_at < wait) return std::nullopt;
  return TakeoverPermit(
      PermitKind::expired, durable.pool, decided.value.epoch,
      fmt::format("the claim is decided on the mailbox disks for {:.0f} ms, and within {:.0f} ms of that the partner's "
                  "lease was over: it has stopped the pool or was reset by its watchdog",
                  ms_of(now - decided_at), ms_of(wait)));
}

std::optional<TakeoverPermit> TakeoverPermit::from_quorum(const PoolDurable& durable, const NodeName& partner,
                                                          const QuorumVigil& vigil) {
  const bool armed = durable.owner == partner && durable.armed.value() != 0 && durable.armed == durable.epoch;
  const Duration wait = vigil_wait(vigil.slack, durable.lease_over);
  if (durable.claim.value() == 0 || !armed || !of_quorum(durable.mailbox) || vigil.newest - vigil.since < wait) {
    return std::nullopt;
  }
  return TakeoverPermit(
      PermitKind::expired, durable.pool, durable.claim,
      fmt::format(
          "this node has had quorum without the partner for {:.0f} ms, in Corosync's ring {}, and within "
          "{:.0f} ms of its beginning the partner's lease was over: it has stopped the pool or was reset by its "
          "watchdog",
          ms_of(vigil.newest - vigil.since), vigil.ring, ms_of(wait)));
}

std::optional<TakeoverPermit> TakeoverPermit::from_order(const PoolDurable& durable, std::string_view not_heard) {
  if (durable.claim.value() == 0) return std::nullopt;
  return TakeoverPermit(PermitKind::ordered, durable.pool, durable.claim,
                        fmt::format("the cluster promoted it here, and the partner, which is {}, cannot be asked: the "
                                    "cluster has had it stopped there, or that node fenced",
                                    not_heard));
}

std::optional<TakeoverPermit> TakeoverPermit::from_possession(const DurableState& durable, const PoolName& pool,
                                                              const NodeName& self, const BootId& boot_id) {
  if (!boot_id.known() || durable.boot_id != boot_id) return std::nullopt;
  const auto it = std::ranges::find(durable.pools, pool, &PoolDurable::pool);
  if (it == durable.pools.end() || it->owner != self || !it->held || it->released) return std::nullopt;
  return TakeoverPermit(
      PermitKind::held, pool, it->epoch,
      fmt::format("this node held it at epoch {} in this life of its kernel and never gave it up", it->epoch.value()));
}

}  // namespace hapair::agent
