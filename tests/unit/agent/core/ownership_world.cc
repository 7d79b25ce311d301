#include "tests/unit/agent/core/ownership_world.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace hapair::agent {
namespace {

using ccm::OwnershipDecision;
using ccm::OwnershipSlot;
using ccm::OwnershipValue;
using ccm::PairSide;

void put(std::string& out, std::uint64_t value) { out.push_back(static_cast<char>(value)); }
void put(std::string& out, const OwnershipValue& value) {
  put(out, value.epoch.value());
  put(out, static_cast<std::uint64_t>(value.owner));
}
void put(std::string& out, const OwnershipSlot& slot) {
  put(out, slot.founded ? 1U : 0U);
  put(out, slot.instance);
  put(out, slot.ballot);
  put(out, slot.voted_in);
  put(out, slot.vote);
  put(out, slot.decided.instance);
  put(out, slot.decided.value);
}

}  // namespace

void OwnershipBallotInspector::put_words(const OwnershipBallot& machine, std::string& out) {
  put(out, static_cast<std::uint64_t>(machine.phase_));
  if (machine.busy()) {
    put(out, machine.proposal_ ? 1 + static_cast<std::uint64_t>(machine.proposal_->owner) : 0U);
    put(out, machine.proposal_ && machine.proposal_->rests_on ? 1 + *machine.proposal_->rests_on : 0U);
    put(out, machine.put_up_.value_or(OwnershipValue{}));
  }
  put(out, (machine.recovered_ ? 1U : 0U) | (machine.saw_founded_ ? 2U : 0U) | (machine.partner_founded_ ? 4U : 0U));
  put(out, machine.own_);
  put(out, machine.decided_.instance);
  put(out, machine.decided_.value);
  put(out, machine.highest_epoch_.value());
  put(out, machine.partner_instance_);
  put(out, machine.partner_ballot_);
  put(out, machine.partner_vote_.ballot);
  put(out, machine.partner_vote_.value);
}

void OwnershipBallotInspector::put_words(const OwnershipBallot& machine, std::size_t disk, std::string& out) {
  const auto& on = machine.disks_.at(disk);
  put(out, on.asked == 0 ? 0U : (on.asked == machine.round_ ? 1U : 2U));
  // What a round has gathered counts until the round is over.
  const bool counts = machine.phase_ != OwnershipBallot::Phase::idle;
  put(out, counts ? 1 + static_cast<std::uint64_t>(on.state) : 0U);
  put(out, counts ? (on.own_blank ? 1U : 0U) | (on.partner_blank ? 2U : 0U) : 0U);
}

namespace model {
namespace {

PairSide side_of(std::size_t n) { return n == 0 ? PairSide::lower : PairSide::upper; }
const Instant kNow{std::chrono::seconds(1)};
const Instant kLate{std::chrono::hours(1)};

}  // namespace

World::World(std::size_t disks) : disks_(disks) {
  (void)start(0);
  (void)start(1);
}

bool World::start(std::size_t n) {
  Node& node = nodes_.at(n);
  if (node.machine) return false;
  ++node.lives;
  node.machine.emplace(BallotSettings{.own = side_of(n),
                                      .disks = disks_,
                                      .life = 2 * node.lives + n,
                                      .patience = std::chrono::seconds(5),
                                      .backoff = std::chrono::milliseconds(10)});
  return true;
}

bool World::begin(std::size_t n, Wish wish, std::optional<std::uint64_t> rests_on) {
  Node& node = nodes_.at(n);
  if (!node.machine || node.machine->busy()) return false;
  node.outcome.reset();
  std::optional<Proposal> proposal;
  if (wish != Wish::nothing) {
    const PairSide own = side_of(n);
    proposal = Proposal{.epoch = Epoch(1), .owner = wish == Wish::self ? own : ccm::other(own), .rests_on = rests_on};
  }
  apply(n, node.machine->begin(kNow, proposal));
  return true;
}

DiskSight World::sight(std::size_t n, std::size_t disk) const {
  const auto seen = [&](std::size_t of) {
    const auto& slot = slots_.at(disk).at(of);
    return slot ? SlotSight{SlotSight::State::written, *slot} : SlotSight{SlotSight::State::blank, {}};
  };
  return {seen(n), seen(1 - n)};
}

bool World::finish(std::size_t n, std::size_t disk) {
  Node& node = nodes_.at(n);
  Pending& pending = node.pending.at(disk);
  if (pending.request == DiskRequest::none || pending.hung) return false;
  const Pending done = std::exchange(pending, {});
  if (done.request == DiskRequest::write) {
    slots_.at(disk).at(n) = done.slot;
    apply(n, node.machine->wrote(disk, done.round));
  } else {
    apply(n, node.machine->read(disk, done.round, sight(n, disk)));
  }
  return true;
}

bool World::fail(std::size_t n, std::size_t disk, Fate fate) {
  Node& node = nodes_.at(n);
  Pending& pending = node.pending.at(disk);
  if (pending.request == DiskRequest::none || pending.hung) return false;
  if (pending.request == DiskRequest::read && fate == Fate::landed) return false;
  const Pending done = std::exchange(pending, {});
  if (fate == Fate::landed) slots_.at(disk).at(n) = done.slot;
  apply(n, node.machine->failed(disk, done.round));
  return true;
}

bool World::hang(std::size_t n, std::size_t disk) {
  Node& node = nodes_.at(n);
  Pending& pending = node.pending.at(disk);
  if (pending.request != DiskRequest::write || pending.hung) return false;
  pending.hung = true;
  apply(n, node.machine->failed(disk, pending.round));
  return true;
}

bool World::end_late(std::size_t n, std::size_t disk, Fate fate) {
  Pending& pending = nodes_.at(n).pending.at(disk);
  if (!pending.hung) return false;
  if (fate == Fate::landed) slots_.at(disk).at(n) = pending.slot;
  pending = {};
  return true;
}

bool World::give_up(std::size_t n) {
  Node& node = nodes_.at(n);
  if (!busy(n)) return false;
  apply(n, node.machine->tick(kLate));
  return true;
}

bool World::crash(std::size_t n, unsigned landed) {
  Node& node = nodes_.at(n);
  if (!node.machine) return false;
  for (std::size_t disk = 0; disk < disks_; ++disk) {
    Pending& pending = node.pending.at(disk);
    const bool lands = (landed >> disk & 1U) != 0;
    if (lands && pending.request != DiskRequest::write) return false;
  }
  for (std::size_t disk = 0; disk < disks_; ++disk) {
    Pending& pending = node.pending.at(disk);
    if ((landed >> disk & 1U) != 0) slots_.at(disk).at(n) = pending.slot;
    pending = {};
  }
  node.machine.reset();
  node.outcome.reset();
  return true;
}

bool World::forget(std::size_t disk) {
  auto& slots = slots_.at(disk);
  if (!slots[0] && !slots[1]) return false;
  slots = {};
  return true;
}

bool World::writing(std::size_t n, std::size_t disk) const {
  return nodes_.at(n).pending.at(disk).request == DiskRequest::write;
}

bool World::reads(std::size_t n, std::size_t disk) const {
  return nodes_.at(n).pending.at(disk).request == DiskRequest::read;
}

void World::apply(std::size_t n, BallotOutput out) {
  Node& node = nodes_.at(n);
  if (out.outcome) {
    if (node.outcome) broken_ = "one proposal has two outcomes";
    node.outcome = out.outcome;
  }
  std::vector<std::pair<std::size_t, std::uint64_t>> refused;
  for (std::size_t disk = 0; disk < disks_; ++disk) {
    if (out.requests.at(disk) == DiskRequest::none) continue;
    Pending& pending = node.pending.at(disk);
    if (pending.request != DiskRequest::none) {
      if (!pending.hung) broken_ = "two requests of a node are out at one disk";
      refused.emplace_back(disk, out.round);
      continue;
    }
    pending = {out.requests.at(disk), false, out.round, out.slot};
  }
  learn(n);
  for (const auto& [disk, round] : refused) apply(n, node.machine->failed(disk, round));
}

void World::learn(std::size_t n) {
  const OwnershipDecision& said = nodes_.at(n).machine->decided();
  if (said.instance == 0) return;
  if (said.instance >= kMostInstances) {
    broken_ = "more instances than the model has room for";
    return;
  }
  OwnershipValue& known = decided_.at(said.instance);
  if (known.owner != PairSide::none && known != said.value) {
    broken_ = "instance " + std::to_string(said.instance) + " is decided twice";
  }
  known = said.value;
  newest_ = std::max(newest_, said.instance);
  const auto rises = [this](std::uint64_t earlier) {
    const OwnershipValue& one = decided_.at(earlier);
    const OwnershipValue& next = decided_.at(earlier + 1);
    return one.owner == PairSide::none || next.owner == PairSide::none || one.epoch < next.epoch;
  };
  if (!rises(said.instance - 1) || (said.instance + 1 < kMostInstances && !rises(said.instance))) {
    broken_ = "the epoch does not rise to or from instance " + std::to_string(said.instance);
  }
}

// `n` looks at those disks; it does not remember what it saw before.
void World::look(std::size_t n, unsigned disks) {
  OwnershipLook look(disks_, side_of(n));
  for (std::size_t disk = 0; disk < disks_; ++disk) {
    if ((disks >> disk & 1U) != 0) look.take(disk, kNow, sight(n, disk));
  }
  const bool partners = decided_.at(newest_).owner != side_of(n);
  const std::uint64_t mine = partners ? newest_ - 1 : newest_;
  const auto seen = look.newest({mine, decided_.at(mine)});
  if (!seen) return;
  if (partners && seen->shows != ClaimSight::voted && seen->shows != ClaimSight::decided) {
    broken_ = "a complete look at disks " + std::to_string(disks) + " does not show the decision of instance " +
              std::to_string(newest_) + " for the partner, but " + std::string(text_of(seen->shows));
  }
  if (!partners && seen->shows == ClaimSight::forgotten) {
    broken_ = "a complete look at disks " + std::to_string(disks) + " does not show what this node owns";
  }
}

void World::look_around() {
  if (newest_ == 0) return;
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}}) {
    for (unsigned disks = 1; disks < 1U << disks_; ++disks) look(n, disks);
  }
}

void World::settle() {
  bool moved = true;
  while (moved && broken_.empty()) {
    moved = false;
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}}) {
      for (std::size_t disk = 0; disk < disks_; ++disk) {
        if (end_late(n, disk, Fate::landed) || finish(n, disk)) moved = true;
      }
    }
  }
}

bool World::can_decide(std::size_t n) const {
  World calm = *this;
  (void)calm.start(n);
  (void)calm.start(1 - n);
  calm.settle();
  // Whoever has nothing to propose still writes its slot where a disk has forgotten it.
  (void)calm.begin(1 - n, Wish::nothing);
  calm.settle();
  for (int attempt = 0; attempt < 3; ++attempt) {
    (void)calm.begin(n, Wish::self);
    calm.settle();
    const auto& outcome = calm.outcome(n);
    if (outcome && outcome->kind == BallotOutcome::Kind::decided) return calm.broken_rule().empty();
  }
  return false;
}

void World::put_disk(std::size_t disk, std::string& out) const {
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}}) {
    const Node& node = nodes_.at(n);
    const auto& slot = slots_.at(disk).at(n);
    const OwnershipSlot* own = node.machine ? &OwnershipBallotInspector::own(*node.machine) : nullptr;
    const auto put_slot = [&](const OwnershipSlot& one) {
      put(out, own != nullptr && one == *own ? 1U : 0U);
      put(out, one);
    };
    if (slot) put_slot(*slot);
    const Pending& pending = node.pending.at(disk);
    put(out, 128 + 2 * static_cast<std::uint64_t>(pending.request) + (pending.hung ? 1U : 0U));
    if (pending.request == DiskRequest::write) put_slot(pending.slot);
    if (node.machine) OwnershipBallotInspector::put_words(*node.machine, disk, out);
    put(out, 255);
  }
}

// The disks in an order of their contents: they differ in nothing but their numbers.
std::string World::words() const {
  std::string out;
  for (const Node& node : nodes_) {
    put(out, node.machine ? 1U : 0U);
    if (node.machine) OwnershipBallotInspector::put_words(*node.machine, out);
  }
  for (std::uint64_t i = 1; i <= newest_; ++i) put(out, decided_.at(i));
  std::array<std::string, ccm::kMaxOwnershipDisks> disks;
  for (std::size_t disk = 0; disk < disks_; ++disk) put_disk(disk, disks.at(disk));
  std::sort(disks.begin(), disks.begin() + static_cast<std::ptrdiff_t>(disks_));
  for (const std::string& disk : disks) out += disk;
  return out;
}

}  // namespace model
}  // namespace hapair::agent
