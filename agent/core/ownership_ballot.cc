#include "agent/core/ownership_ballot.h"

#include <algorithm>
#include <span>

#include "ccm/base/check.h"

namespace hapair::agent {
namespace {

using ccm::OwnershipSlot;
using ccm::OwnershipValue;
using ccm::PairSide;
using State = SlotSight::State;

constexpr int kMostDoublings = 4;

// The lowest number of this side's that is above `floor`.
std::uint64_t number_above(std::uint64_t floor, PairSide side) {
  const std::uint64_t next = floor + 1;
  return next % 2 == (side == PairSide::lower ? 1U : 0U) ? next : next + 1;
}

// Between a half and one and a half of `base`, doubled for each loss before.
Duration wait_after(int losses, Duration base, std::uint64_t luck) {
  constexpr std::uint64_t kParts = 1024;
  const auto parts = static_cast<Duration::rep>(kParts / 2 + luck % kParts);
  return base * (1 << std::min(losses - 1, kMostDoublings)) * parts / static_cast<Duration::rep>(kParts);
}

}  // namespace

std::string_view text_of(BallotOutcome::Kind kind) {
  switch (kind) {
    case BallotOutcome::Kind::decided:
      return "decided";
    case BallotOutcome::Kind::known:
      return "known";
    case BallotOutcome::Kind::overtaken:
      return "overtaken";
    case BallotOutcome::Kind::lost:
      return "lost";
    case BallotOutcome::Kind::no_majority:
      return "no-majority";
    case BallotOutcome::Kind::unfounded:
      return "unfounded";
  }
  return "unknown";
}

OwnershipBallot::OwnershipBallot(const BallotSettings& settings) : settings_(settings) {
  HAPAIR_CHECK(settings.disks == 1 || settings.disks == ccm::kMaxOwnershipDisks, "the configuration was checked");
  HAPAIR_CHECK(settings.own != PairSide::none && settings.life != 0, "this node has a side and a life");
}

BallotOutput OwnershipBallot::begin(Instant now, const std::optional<Proposal>& proposal) {
  HAPAIR_CHECK(!busy(), "one proposal after the other");
  BallotOutput out;
  proposal_ = proposal;
  put_up_.reset();
  deadline_ = now + settings_.patience;
  if (recovered_ && proposal_) {
    go_on(out);
  } else {
    begin_round(Phase::reading, out);
  }
  return finish(out);
}

BallotOutput OwnershipBallot::wrote(std::size_t disk, std::uint64_t round) {
  BallotOutput out;
  if (!answers_this_round(disk, round, out)) return finish(out);
  if (phase_ == Phase::preparing || phase_ == Phase::voting) {
    disks_.at(disk).asked = round_;
    out.requests.at(disk) = DiskRequest::read;
    return finish(out);
  }
  disks_.at(disk).state = Disk::State::done;
  advance(out);
  return finish(out);
}

BallotOutput OwnershipBallot::read(std::size_t disk, std::uint64_t round, const DiskSight& sight) {
  BallotOutput out;
  note(sight);
  if (!answers_this_round(disk, round, out)) return finish(out);
  if (phase_ == Phase::reading) {
    read_at_start(disks_.at(disk), sight);
    advance(out);
  } else {
    read_in_ballot(disks_.at(disk), sight, out);
  }
  return finish(out);
}

BallotOutput OwnershipBallot::failed(std::size_t disk, std::uint64_t round) {
  BallotOutput out;
  if (!answers_this_round(disk, round, out)) return finish(out);
  disks_.at(disk).state = Disk::State::failed;
  advance(out);
  return finish(out);
}

BallotOutput OwnershipBallot::tick(Instant now) {
  BallotOutput out;
  if (busy() && now >= deadline_) give_up(out);
  return finish(out);
}

std::optional<Instant> OwnershipBallot::next_wake() const {
  if (!busy()) return std::nullopt;
  return deadline_;
}

BallotOutput OwnershipBallot::finish(BallotOutput out) const {
  out.round = round_;
  out.slot = own_;
  return out;
}

void OwnershipBallot::begin_round(Phase phase, BallotOutput& out) {
  phase_ = phase;
  ++round_;
  if (phase != Phase::reading) own_.sequence = round_;
  for (std::size_t i = 0; i < settings_.disks; ++i) {
    Disk& disk = disks_.at(i);
    disk.state = Disk::State::open;
    disk.own_blank = false;
    disk.partner_blank = false;
    if (disk.asked == 0) ask(i, out);
  }
}

void OwnershipBallot::ask(std::size_t disk, BallotOutput& out) {
  disks_.at(disk).asked = round_;
  out.requests.at(disk) = phase_ == Phase::reading ? DiskRequest::read : DiskRequest::write;
}

// The end of an earlier round's request only makes way for this round's first.
bool OwnershipBallot::answers_this_round(std::size_t disk, std::uint64_t round, BallotOutput& out) {
  Disk& on = disks_.at(disk);
  HAPAIR_CHECK(on.asked == round && round != 0, "one request a disk, and each ends once");
  on.asked = 0;
  if (phase_ == Phase::idle) return false;
  if (round == round_) return true;
  ask(disk, out);
  return false;
}

void OwnershipBallot::note_decision(const ccm::OwnershipDecision& decision) {
  highest_epoch_ = std::max(highest_epoch_, decision.value.epoch);
  if (decision.instance > decided_.instance) decided_ = decision;
}

// What is true whenever it was read.
void OwnershipBallot::note(const DiskSight& sight) {
  for (const SlotSight* slot : {&sight.own, &sight.partner}) {
    if (slot->state != State::written) continue;
    note_decision(slot->slot.decided);
    highest_epoch_ = std::max(highest_epoch_, slot->slot.vote.epoch);
  }
  if (sight.partner.state != State::written) return;
  partner_founded_ = partner_founded_ || sight.partner.slot.founded;
  const OwnershipSlot& partner = sight.partner.slot;
  if (partner.instance < partner_instance_) return;
  if (partner.instance > partner_instance_) {
    partner_instance_ = partner.instance;
    partner_ballot_ = 0;
    partner_vote_ = {};
  }
  partner_ballot_ = std::max(partner_ballot_, partner.ballot);
  if (partner.voted_in > partner_vote_.ballot) partner_vote_ = {partner.voted_in, partner.vote};
}

// Gathers what this node's own slots say: of the latest instance the highest ballot and the highest vote.
void OwnershipBallot::read_at_start(Disk& disk, const DiskSight& sight) {
  if (sight.own.state == State::unreadable || sight.partner.state == State::unreadable) {
    disk.state = Disk::State::failed;
    return;
  }
  disk.state = Disk::State::done;
  disk.own_blank = sight.own.state == State::blank;
  disk.partner_blank = sight.partner.state == State::blank;
  if (recovered_ || disk.own_blank) return;
  const OwnershipSlot& slot = sight.own.slot;
  saw_founded_ = saw_founded_ || slot.founded;
  if (slot.instance > own_.instance) {
    own_.instance = slot.instance;
    own_.ballot = 0;
    own_.voted_in = 0;
    own_.vote = {};
  }
  if (slot.instance < own_.instance) return;
  own_.ballot = std::max(own_.ballot, slot.ballot);
  if (slot.voted_in > own_.voted_in) {
    own_.voted_in = slot.voted_in;
    own_.vote = slot.vote;
  }
}

void OwnershipBallot::read_in_ballot(Disk& disk, const DiskSight& sight, BallotOutput& out) {
  if (decided_.instance >= own_.instance) return settle(false, out);
  if (lost_to_partner()) return lose(out);
  const bool counts =
      sight.own.state == State::written && sight.own.slot == own_ && sight.partner.state != State::unreadable;
  disk.state = counts ? Disk::State::done : Disk::State::failed;
  disk.partner_blank = sight.partner.state == State::blank;
  advance(out);
}

// A round that is complete leads to the next; one that can no longer be is given up.
void OwnershipBallot::advance(BallotOutput& out) {
  if (counted() >= needed()) {
    switch (phase_) {
      case Phase::reading:
        return recover(out);
      case Phase::founding:
        recovered_ = true;
        own_.founded = true;
        // All disks were read, but for this node's own slots alone.
        return proposal_ ? go_on(out) : begin_round(Phase::reading, out);
      case Phase::preparing:
        return vote(out);
      case Phase::voting:
        note_decision({own_.instance, own_.vote});
        return settle(true, out);
      case Phase::telling:
        phase_ = Phase::idle;
        return;
      case Phase::idle:
        return;
    }
  }
  if (count(Disk::State::open) > 0) return;
  if (phase_ == Phase::telling) {
    phase_ = Phase::idle;
  } else {
    give_up(out);
  }
}

void OwnershipBallot::recover(BallotOutput& out) {
  if (recovered_) return go_on(out);
  own_.life = settings_.life;
  take_decision_along();
  own_.founded = saw_founded_;
  if (!saw_founded_) return begin_round(Phase::founding, out);
  recovered_ = true;
  go_on(out);
}

void OwnershipBallot::go_on(BallotOutput& out) {
  if (!proposal_) return end(BallotOutcome::Kind::known, out);
  if (proposal_->rests_on && decided_.instance > *proposal_->rests_on) {
    return end(BallotOutcome::Kind::overtaken, out);
  }
  begin_ballot(out);
}

void OwnershipBallot::begin_ballot(BallotOutput& out) {
  take_decision_along();
  if (own_.instance == decided_.instance) {
    ++own_.instance;
    own_.ballot = 0;
    own_.voted_in = 0;
    own_.vote = {};
  }
  const std::uint64_t partners = partner_instance_ == own_.instance ? partner_ballot_ : 0;
  own_.ballot = number_above(std::max(own_.ballot, partners), settings_.own);
  begin_round(Phase::preparing, out);
}

void OwnershipBallot::vote(BallotOutput& out) {
  const Vote& partners = partner_vote_;
  if (partner_instance_ == own_.instance && partners.ballot > own_.voted_in) {
    own_.vote = partners.value;
  } else if (own_.voted_in == 0) {
    put_up_ = {std::max(proposal_->epoch, highest_epoch_.next()), proposal_->owner};
    own_.vote = *put_up_;
    highest_epoch_ = own_.vote.epoch;
  }
  own_.voted_in = own_.ballot;
  begin_round(Phase::voting, out);
}

// The instance is decided, by this node's ballot or, as a slot told, by another.
void OwnershipBallot::settle(bool by_this_node, BallotOutput& out) {
  losses_ = 0;
  if (fulfilled(by_this_node)) return end(BallotOutcome::Kind::decided, out);
  go_on(out);
}

// A decision that was only read may be an old one, so it fulfils the proposal only where it is this very proposal.
bool OwnershipBallot::fulfilled(bool by_this_node) const {
  const bool fits = decided_.value.owner == proposal_->owner && decided_.value.epoch >= proposal_->epoch;
  return fits && (by_this_node || (put_up_ == decided_.value && decided_.instance == own_.instance));
}

bool OwnershipBallot::lost_to_partner() const {
  return partner_instance_ == own_.instance && partner_ballot_ > own_.ballot;
}

void OwnershipBallot::lose(BallotOutput& out) {
  phase_ = Phase::idle;
  ++losses_;
  out.outcome = {.kind = BallotOutcome::Kind::lost,
                 .decided = decided_,
                 .vote = std::nullopt,
                 .wait = wait_after(losses_, settings_.backoff, proposal_->luck)};
}

void OwnershipBallot::end(BallotOutcome::Kind kind, BallotOutput& out) {
  take_decision_along();
  out.outcome = {.kind = kind, .decided = decided_, .vote = std::nullopt, .wait = {}};
  // The vote of the highest ballot, where both have voted.
  const std::uint64_t next = decided_.instance + 1;
  std::uint64_t highest = 0;
  if (own_.instance == next && own_.voted_in > 0) {
    highest = own_.voted_in;
    out.outcome->vote = own_.vote;
  }
  if (partner_instance_ == next && partner_vote_.ballot > highest) out.outcome->vote = partner_vote_.value;
  begin_round(Phase::telling, out);
}

void OwnershipBallot::give_up(BallotOutput& out) {
  const bool founding = phase_ == Phase::founding || (phase_ == Phase::reading && !recovered_ && !saw_founded_);
  const bool most_answer = count(Disk::State::done) >= majority();
  phase_ = Phase::idle;
  out.outcome = {.kind = founding && most_answer ? BallotOutcome::Kind::unfounded : BallotOutcome::Kind::no_majority,
                 .decided = decided_,
                 .vote = std::nullopt,
                 .wait = {}};
}

void OwnershipBallot::take_decision_along() {
  own_.decided = decided_;
  if (own_.instance >= decided_.instance) return;
  own_.instance = decided_.instance;
  own_.ballot = 0;
  own_.voted_in = 0;
  own_.vote = {};
}

std::size_t OwnershipBallot::count(Disk::State state) const {
  const auto disks = std::span(disks_).first(settings_.disks);
  return static_cast<std::size_t>(std::ranges::count(disks, state, &Disk::state));
}

// Rule 3.
bool OwnershipBallot::remembers(const Disk& disk) const {
  if (phase_ == Phase::reading && !recovered_) {
    if (!saw_founded_) return true;  // all disks are waited for
    if (disk.own_blank) return false;
  }
  if (!disk.partner_blank) return true;
  return !partner_founded_ && count(Disk::State::done) == settings_.disks;
}

std::size_t OwnershipBallot::counted() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(std::span(disks_).first(settings_.disks),
                            [this](const Disk& disk) { return disk.state == Disk::State::done && remembers(disk); }));
}

std::size_t OwnershipBallot::needed() const {
  const bool all = phase_ == Phase::founding || phase_ == Phase::telling ||
                   (phase_ == Phase::reading && !recovered_ && !saw_founded_);
  return all ? settings_.disks : majority();
}

}  // namespace hapair::agent
