#include "agent/daemon/mailbox_arbiter.h"

#include <algorithm>
#include <span>
#include <utility>

#include "agent/core/lease.h"

namespace hapair::agent {
namespace {

constexpr int kDeadlinesALease = 8;
constexpr Duration kShortestDeadline = std::chrono::milliseconds(100);
// A ballot asks each disk some four times.
constexpr int kDeadlinesABallot = 5;
constexpr Duration kBackoff = std::chrono::milliseconds(100);

}  // namespace

Duration disk_deadline(const AgentConfig& config) {
  return std::max(config.lease.duration / kDeadlinesALease, kShortestDeadline);
}

MailboxArbiter::MailboxArbiter(sd_event* loop, const AgentConfig& config, Parts parts,
                               std::function<void(const Event&)> step,
                               std::function<const std::optional<ccm::OwnershipDecision>&(PoolIndex)> mine)
    : step_(std::move(step)), mine_(std::move(mine)) {
  const Duration deadline = disk_deadline(config);
  OwnershipDisksSettings settings{.devices = deciding_disks(config.pair),
                                  .of = {config.pair.pair, config.pair.node, config.pair.partner},
                                  .pools = {},
                                  .pair_key = parts.pair_key,
                                  .life = parts.life,
                                  .disk_deadline = deadline,
                                  .patience = kDeadlinesABallot * deadline,
                                  .backoff = kBackoff,
                                  .lock = std::move(parts.lock)};
  for (const PoolConfig& pool : config.pools) settings.pools.push_back(pool.name);
  disks_ = std::make_unique<OwnershipDisks>(
      loop, settings,
      OwnershipDisks::Events{
          .outcome = [this](PoolIndex pool, const BallotOutcome& outcome) { step_(BallotDone{pool, outcome}); },
          .seen = [this](PoolIndex pool) { seen(pool); }});
}

void MailboxArbiter::run(const RunBallot& command) {
  std::optional<Proposal> proposal = command.proposal;
  if (proposal) random_.fill(std::as_writable_bytes(std::span(&proposal->luck, 1)));
  disks_->begin(command.pool, proposal);
}

void MailboxArbiter::seen(PoolIndex pool) {
  if (const std::uint64_t mailbox = mailbox_digest(disks_->areas()); mailbox != ground_.mailbox) {
    ground_.mailbox = mailbox;
    step_(ground_);
  }
  const std::optional<ccm::OwnershipDecision>& mine = mine_(pool);
  if (!mine) return;
  if (const auto newest = disks_->newest_look(pool, *mine)) step_(OwnershipSeen{pool, *newest});
}

void MailboxArbiter::watchdog_changed(const ccm::WatchdogStanding& standing, const std::optional<Instant>& fed_until) {
  ground_.watchdog = standing.armed;
  ground_.bound = standing.bound;
  ground_.fed_until = fed_until;
  step_(ground_);
}

void MailboxArbiter::look_for_areas() {
  const auto areas = disks_->areas();
  if (!std::ranges::all_of(areas, [](const auto& area) { return area.has_value(); })) disks_->look(0);
}

}  // namespace hapair::agent
