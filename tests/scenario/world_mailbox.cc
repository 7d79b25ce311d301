// The mailbox disks of the world, and the watchdog of each node: what leases rest on.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/core/lease.h"
#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

using agent::DiskRequest;
using agent::SlotSight;

constexpr Duration kRequestTime = milliseconds(2);
constexpr Duration kDiskDeadline = milliseconds(400);
constexpr Duration kPatience = milliseconds(1500);
constexpr Duration kBackoff = milliseconds(40);
constexpr Duration kWatchdogTime = seconds(3);
// Of a device of that time (WatchdogStanding::bound).
constexpr Duration kWatchdogBound = kWatchdogTime * 2 + seconds(1);

}  // namespace

std::unique_ptr<World::Mailbox> World::mailbox_of(NodeIndex index, std::uint64_t life) const {
  auto mailbox = std::make_unique<Mailbox>();
  const ccm::PairSide own = index == 0 ? ccm::PairSide::lower : ccm::PairSide::upper;
  for (std::size_t pool = 0; pool < plans_.size(); ++pool) {
    mailbox->ballots.emplace_back(agent::BallotSettings{
        .own = own, .disks = options_.mailbox_disks, .life = life, .patience = kPatience, .backoff = kBackoff});
    mailbox->looks.emplace_back(options_.mailbox_disks, own);
  }
  return mailbox;
}

void World::run_ballot(NodeIndex index, const agent::RunBallot& run) {
  agent::OwnershipBallot& ballot = nodes_[index].agent->mailbox->ballots[run.pool];
  if (ballot.busy()) {
    violation(fmt::format("{} begins a ballot while one is out", name(index)));
    return;
  }
  auto proposal = run.proposal;
  if (proposal) proposal->luck = random_();
  carry_ballot(index, run.pool, ballot.begin(now_, proposal));
}

void World::carry_ballot(NodeIndex index, agent::PoolIndex pool, const agent::BallotOutput& out) {
  for (std::size_t disk = 0; disk < options_.mailbox_disks; ++disk) {
    if (out.requests.at(disk) == DiskRequest::none) continue;
    request_of_ballot(index, pool, disk, out.requests.at(disk), out.round, out.slot);
  }
  const auto due = nodes_[index].agent->mailbox->ballots[pool].next_wake();
  if (due) {
    schedule(std::max(*due - now_, Duration{}), Scope::agent, index, [this, index, pool, at = *due] {
      agent::OwnershipBallot& ballot = nodes_[index].agent->mailbox->ballots[pool];
      if (ballot.next_wake() == at) carry_ballot(index, pool, ballot.tick(now_));
    });
  }
  if (!out.outcome) return;
  schedule(Duration{}, Scope::agent, index,
           [this, index, pool, outcome = *out.outcome] { step(index, agent::BallotDone{pool, outcome}); });
}

// Requests of one node at one disk come to pass one after the other, also those of an agent that was killed meanwhile:
// the next one of that node waits for the node's lock.
Duration World::disk_time(NodeIndex index, std::size_t disk) {
  Instant& free_at = nodes_[index].mailbox_free_at.at(disk);
  free_at = std::max(free_at, now_) + vary(kRequestTime);
  return free_at - now_;
}

bool World::disk_answers(NodeIndex index, std::size_t disk) const {
  return !disks_.at(disk).lost && !nodes_[index].mailbox_lost.at(disk);
}

void World::request_of_ballot(NodeIndex index, agent::PoolIndex pool, std::size_t disk, DiskRequest request,
                              std::uint64_t round, const ccm::OwnershipSlot& slot) {
  const bool answers = disk_answers(index, disk);
  const Duration time = answers ? disk_time(index, disk) : kDiskDeadline;
  const std::uint64_t life = nodes_[index].agent_life;
  schedule(time, Scope::node, index, [this, index, pool, disk, request, round, slot, answers, life] {
    const bool works = answers && disk_answers(index, disk);
    if (works && request == DiskRequest::write) disks_.at(disk).slots.at(index)[pool] = slot;
    if (nodes_[index].agent_life != life) return;
    const agent::DiskSight sight = sight_of(index, pool, disk);
    schedule(Duration{}, Scope::agent, index, [this, index, pool, disk, request, round, works, sight] {
      agent::OwnershipBallot& ballot = nodes_[index].agent->mailbox->ballots[pool];
      carry_ballot(index, pool,
                   !works                          ? ballot.failed(disk, round)
                   : request == DiskRequest::write ? ballot.wrote(disk, round)
                                                   : ballot.read(disk, round, sight));
    });
  });
}

agent::DiskSight World::sight_of(NodeIndex index, agent::PoolIndex pool, std::size_t disk) const {
  const auto sight = [&](NodeIndex writer) {
    const auto& slots = disks_.at(disk).slots.at(writer);
    const auto slot = slots.find(pool);
    return slot == slots.end() ? SlotSight{SlotSight::State::blank, {}}
                               : SlotSight{SlotSight::State::written, slot->second};
  };
  return {sight(index), sight(1 - index)};
}

void World::look_at_disks(NodeIndex index, agent::PoolIndex pool) {
  for (std::size_t disk = 0; disk < options_.mailbox_disks; ++disk) {
    if (!disk_answers(index, disk)) continue;
    schedule(disk_time(index, disk), Scope::node, index,
             [this, index, pool, disk, began = now_, life = nodes_[index].agent_life] {
               if (!disk_answers(index, disk) || nodes_[index].agent_life != life) return;
               // Read now; told whenever the agent comes to it.
               const agent::DiskSight sight = sight_of(index, pool, disk);
               schedule(Duration{}, Scope::agent, index, [this, index, pool, disk, began, sight] {
                 agent::OwnershipLook& look = nodes_[index].agent->mailbox->looks[pool];
                 look.take(disk, began, sight);
                 const auto& mine = nodes_[index].agent->engine.lease_decision(pool);
                 if (!mine) return;
                 if (const auto newest = look.newest(*mine)) step(index, agent::OwnershipSeen{pool, *newest});
               });
             });
  }
}

// With each beat of the CCM, as ccmd does: it takes what its client has asked for, and feeds before that time only.
void World::feed_watchdog(NodeIndex index) {
  Node& node = nodes_[index];
  if ((options_.mailbox_disks == 0 && !options_.corosync) || node.starved) return;
  if (node.agent && node.agent->fed_until && node.ccm->slot && node.ccm->slot->state == ccm::ClientState::registered) {
    node.fed_until = node.agent->fed_until->until;
  }
  if (!node.fed_until || now_ < *node.fed_until) {
    node.fed_at = now_;
    if (!std::exchange(node.watchdog_runs, true)) watch_watchdog(index);
  }
  if (!node.agent || node.agent_hung || !node.ccm->slot || node.ccm->slot->state != ccm::ClientState::registered) {
    return;
  }
  const std::vector<std::optional<ccm::DiskAreaId>> areas(options_.mailbox_disks, ccm::DiskAreaId{7});
  const agent::LeaseGround ground{
      .watchdog = true,
      .bound = kWatchdogBound,
      .fed_until = node.fed_until,
      .mailbox = options_.corosync ? agent::quorum_digest("the world's") : agent::mailbox_digest(areas)};
  Agent& own = *node.agent;
  if (own.told_ground && own.told_ground->fed_until == ground.fed_until && own.told_ground->watchdog) return;
  own.told_ground = ground;
  step(index, ground);
}

// The device: it stands still for nothing, and starts with the first feed.
void World::watch_watchdog(NodeIndex index) {
  const std::uint64_t life = nodes_[index].power_life;
  const Duration left = nodes_[index].fed_at + kWatchdogTime - now_;
  schedule(left, Scope::world, index, [this, index, life] {
    Node& node = nodes_[index];
    if (!node.powered || node.power_life != life) return;
    if (now_ - node.fed_at < kWatchdogTime) return watch_watchdog(index);
    fault();
    told_.push_back({index, agent::Record{.when = now_,
                                          .severity = agent::Severity::error,
                                          .kind = "watchdog",
                                          .pool = {},
                                          .decision = 0,
                                          .text = fmt::format("(the watchdog resets {})", name(index)),
                                          .fields = {}}});
    reset(index);
  });
}

void World::set_mailbox(NodeIndex node, std::size_t disk, bool works) {
  if (disk >= options_.mailbox_disks) return;
  nodes_[node].mailbox_lost.at(disk) = !works;
  if (!works) fault();
}

void World::set_mailbox_disk(std::size_t disk, bool works) {
  if (disk >= options_.mailbox_disks) return;
  disks_.at(disk).lost = !works;
  if (works) disks_.at(disk).replays = {};
  if (!works) fault();
}

}  // namespace hapair::world
