#include "agent/shell/ownership_disks.h"

#include <algorithm>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::agent {

OwnershipDisks::OwnershipDisks(sd_event* loop, const OwnershipDisksSettings& settings, Events events)
    : loop_(loop), events_(std::move(events)) {
  HAPAIR_CHECK(settings.pools.size() <= ccm::kMaxPools, "the configuration was checked");
  const ccm::PairSide own = ccm::side_of(settings.of.node, settings.of.partner);
  const std::size_t n = settings.devices.size();
  for (std::size_t i = 0; i < settings.pools.size(); ++i) {
    pools_.push_back({.ballot = OwnershipBallot({.own = own,
                                                 .disks = n,
                                                 .life = settings.life,
                                                 .patience = settings.patience,
                                                 .backoff = settings.backoff}),
                      .look = OwnershipLook(n, own),
                      .outcome = std::nullopt});
  }
  for (std::size_t disk = 0; disk < n; ++disk) {
    const OwnershipDiskSettings one{.device = settings.devices[disk],
                                    .place = static_cast<std::uint8_t>(disk),
                                    .disks = static_cast<std::uint8_t>(n),
                                    .of = settings.of,
                                    .pools = settings.pools,
                                    .key = ccm::slot_key(settings.pair_key),
                                    .deadline = settings.disk_deadline,
                                    .lock = settings.lock};
    disks_.push_back(
        std::make_unique<OwnershipDisk>(loop, one, [this, disk](const DiskAnswer& answer) { answered(disk, answer); }));
  }
  timer_ = call_at(loop, Instant::max(), on_deadline, this);
}

OwnershipDisks::~OwnershipDisks() = default;

void OwnershipDisks::begin(PoolIndex pool, const std::optional<Proposal>& proposal) {
  carry_out(pool, pools_.at(pool).ballot.begin(SystemClock().now(), proposal));
}

bool OwnershipDisks::busy(PoolIndex pool) const {
  const Pool& of = pools_.at(pool);
  return of.ballot.busy() || of.outcome.has_value();
}

void OwnershipDisks::look(PoolIndex pool) {
  for (std::size_t disk = 0; disk < disks_.size(); ++disk) {
    if (std::exchange(pools_.at(pool).looking.at(disk), true)) continue;
    disks_[disk]->ask({.kind = DiskJob::Kind::look, .pool = pool, .round = 0, .slot = {}});
  }
}

std::optional<CompleteLook> OwnershipDisks::newest_look(PoolIndex pool, const ccm::OwnershipDecision& mine) const {
  return pools_.at(pool).look.newest(mine);
}

const ccm::OwnershipDecision& OwnershipDisks::decided(PoolIndex pool) const { return pools_.at(pool).ballot.decided(); }

std::vector<std::optional<ccm::DiskAreaId>> OwnershipDisks::areas() const {
  std::vector<std::optional<ccm::DiskAreaId>> areas;
  areas.reserve(disks_.size());
  for (const auto& disk : disks_) areas.push_back(disk->area());
  return areas;
}

std::vector<std::string> OwnershipDisks::troubles() const {
  std::vector<std::string> troubles;
  for (const auto& disk : disks_) {
    if (std::string trouble = disk->trouble(); !trouble.empty()) troubles.push_back(std::move(trouble));
  }
  return troubles;
}

void OwnershipDisks::answered(std::size_t disk, const DiskAnswer& answer) {
  const PoolIndex pool = answer.job.pool;
  Pool& of = pools_.at(pool);
  const bool was_read = answer.error == 0 && answer.job.kind != DiskJob::Kind::write;
  if (was_read) of.look.take(disk, answer.began, answer.sight);
  if (answer.job.kind == DiskJob::Kind::look) {
    of.looking.at(disk) = false;
  } else if (answer.error != 0) {
    carry_out(pool, of.ballot.failed(disk, answer.job.round));
  } else if (answer.job.kind == DiskJob::Kind::write) {
    carry_out(pool, of.ballot.wrote(disk, answer.job.round));
  } else {
    carry_out(pool, of.ballot.read(disk, answer.job.round, answer.sight));
  }
  if (was_read && events_.seen) events_.seen(pool);
}

void OwnershipDisks::carry_out(PoolIndex pool, const BallotOutput& out) {
  for (std::size_t disk = 0; disk < disks_.size(); ++disk) {
    const DiskRequest request = out.requests.at(disk);
    if (request == DiskRequest::none) continue;
    const auto kind = request == DiskRequest::write ? DiskJob::Kind::write : DiskJob::Kind::read;
    disks_[disk]->ask({.kind = kind, .pool = pool, .round = out.round, .slot = out.slot});
  }
  if (out.outcome) {
    pools_.at(pool).outcome = out.outcome;
    outcomes_ = call_soon(loop_, on_outcomes, this);
  }
  watch_deadlines();
}

void OwnershipDisks::watch_deadlines() {
  Instant first = Instant::max();
  for (const Pool& pool : pools_) first = std::min(first, pool.ballot.next_wake().value_or(Instant::max()));
  call_again_at(timer_, first);
}

int OwnershipDisks::on_deadline(sd_event_source*, std::uint64_t, void* context) {
  auto* self = static_cast<OwnershipDisks*>(context);
  const Instant now = SystemClock().now();
  for (PoolIndex pool = 0; pool < self->pools_.size(); ++pool) {
    self->carry_out(pool, self->pools_[pool].ballot.tick(now));
  }
  return 0;
}

int OwnershipDisks::on_outcomes(sd_event_source*, void* context) {
  static_cast<OwnershipDisks*>(context)->tell_outcomes();
  return 0;
}

void OwnershipDisks::tell_outcomes() {
  for (PoolIndex pool = 0; pool < pools_.size(); ++pool) {
    if (const auto outcome = std::exchange(pools_[pool].outcome, std::nullopt)) events_.outcome(pool, *outcome);
  }
}

}  // namespace hapair::agent
