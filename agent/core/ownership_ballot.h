// Which node owns one pool, decided by the two nodes over 1 or 3 mailbox disks without a word between them: Disk Paxos
// (Gafni, Lamport 2002). Each node has a slot of its own on each disk (ccm/wire/ownership_slot.h), writes only that,
// and reads both. Pure: every call is (now, event) and returns what its shell shall do; no descriptor, clock, thread or
// log.
//
// Ownership is a row of instances. Each decides one value {epoch, owner}; a node begins instance i only when it knows
// what i-1 decided, and its slot says both. In an instance a ballot has two rounds; in each the node writes its slot to
// a disk, and only when that write has finished reads the disk. A round is complete when that was done on a majority.
//   preparing  the slot says "I begin ballot b". Whoever of both slots voted in the highest ballot names the value.
//              Only where nobody has voted does the proposer put up its own, above every epoch that it has seen.
//   voting     the slot says "I vote for v in ballot b". Complete: v is decided.
// A read that shows a higher ballot of the partner ends the proposal (lost); one that shows what the instance decided,
// or a later instance, moves this node on. A value that may have been decided is so never replaced, only helped to its
// end.
//
// Rules, and what rests on them:
//  1 After each start a node reads its own slots on a majority before it uses a ballot number. (It must not vote
//    against a vote of its earlier life: what a majority of its slots has, each majority that it reads shows.)
//  2 A slot that a node reads back is the one it wrote, or the disk does not count in this round.
//  3 Founding: before its first ballot ever a node writes its slot, without a ballot, on *all* disks. Then it is
//    founded, and says so from its next write on. A disk with a blank slot of it has been made anew since, and does not
//    count in a round: what it would say is forgotten. It counts again when that node has written there, which it does
//    in each round of its own, and after it has looked at its slots (begin() without a proposal). A node that no disk
//    shows to be founded may be blank: then a round counts only when all disks have been read in it.
//
// Why at most one value is decided in an instance. Take the lowest ballot b whose voting was completed, with value v,
// by node P, and the first ballot c > b of the instance whose proposer votes for anything. If that is P's own: P knows
// its vote, from its memory or by rule 1. If it is the partner Q's: Q's preparing read P's slot on a majority, so on a
// disk d where P's voting was counted. If P wrote there before Q read, Q saw v at b, the highest vote there is. If not,
// Q's read, hence Q's write of c to d, came before P's write, hence before P's read of d: P saw c > b, and did not
// complete b. So c is for v, and by induction so is each later one. With one disk the majority is that disk.
//
// Failed disks do not answer, and do not count; a majority is needed to go on, none to stay safe. A slow disk is a
// failed one whose write may still come to pass: at most one request of a node is out at each disk, so that a late
// write is over before the next is begun; the shell keeps the node's lock for as long as one is out, so that the next
// life begins after the last write of this one. A torn slot has no valid MAC and does not count. Of forgetful disks at
// most a minority may have been made anew before both nodes wrote there again, so none where there is one disk. The
// argument above needs two majorities to meet in a disk d that has forgotten neither slot. Where the partner is
// founded, a disk that has forgotten its slot is blank and was not counted; what a disk forgets after it was counted,
// the other round finds blank. Where it may not be founded all disks were counted, and without the forgetful minority
// that is still a majority. A disk that goes back to an older state that is not blank (a restored copy) is outside of
// this argument.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "ccm/base/time.h"
#include "ccm/wire/ownership_slot.h"

namespace hapair::agent {

// What a read found in one slot.
struct SlotSight {
  enum class State : std::uint8_t {
    unreadable,  // nothing that counts: torn, of another key, pair, version or place
    blank,
    written,
  };
  State state = State::unreadable;
  ccm::OwnershipSlot slot{};  // of written
};
// Both slots of a pool on one disk.
struct DiskSight {
  SlotSight own;
  SlotSight partner;
};

struct BallotSettings {
  ccm::PairSide own = ccm::PairSide::none;
  std::size_t disks = 0;   // 1 or 3
  std::uint64_t life = 0;  // of this program: drawn at its start, never 0
  Duration patience{};     // what has not come to an outcome for so long ends with no_majority
  Duration backoff{};      // about so long the first loser waits; the more often it loses, the longer
};

struct Proposal {
  Epoch epoch;  // the least; where a higher one was seen, the one above it is put up
  ccm::PairSide owner = ccm::PairSide::none;
  // The instance whose decision led to this proposal: when it turns out that a later one has been decided, the proposal
  // is dropped (overtaken). Nothing: it is put up whatever was decided before.
  std::optional<std::uint64_t> rests_on = std::nullopt;
  std::uint64_t luck = 0;  // random: so the two nodes do not wait equally long
};

struct BallotOutcome {
  enum class Kind : std::uint8_t {
    decided,      // the proposal is: `decided` says at which epoch
    known,        // of begin() without a proposal: what is known to be decided, and `vote`
    overtaken,    // something else is: `decided`
    lost,         // the partner has a higher ballot; begin again after `wait`, if at all
    no_majority,  // too few disks answered, or none that remembers
    unfounded,    // before this node's first ballot all disks are needed (rule 3), and one did not answer
  };
  Kind kind = Kind::no_majority;
  ccm::OwnershipDecision decided;           // the newest that this node knows
  std::optional<ccm::OwnershipValue> vote;  // in the instance after `decided`: it may be decided, nobody knows
  Duration wait{};
};
std::string_view text_of(BallotOutcome::Kind kind);

enum class DiskRequest : std::uint8_t { none, write, read };
struct BallotOutput {
  std::array<DiskRequest, ccm::kMaxOwnershipDisks> requests{};  // one a disk; its end is told with `round`
  std::uint64_t round = 0;
  ccm::OwnershipSlot slot;  // what every write among them writes
  std::optional<BallotOutcome> outcome;
};

class OwnershipBallot {
 public:
  explicit OwnershipBallot(const BallotSettings& settings);

  // Puts a proposal up; without one, learns what is decided. Not while busy().
  BallotOutput begin(Instant now, const std::optional<Proposal>& proposal);
  // What became of the request to `disk` of `round`. A request that the shell has called failed because the disk does
  // not answer may be out for long: until it has ended, each further one to that disk fails.
  BallotOutput wrote(std::size_t disk, std::uint64_t round);
  BallotOutput read(std::size_t disk, std::uint64_t round, const DiskSight& sight);
  BallotOutput failed(std::size_t disk, std::uint64_t round);
  // At `next_wake()`, or at any time.
  BallotOutput tick(Instant now);
  [[nodiscard]] std::optional<Instant> next_wake() const;

  // From begin() to its outcome. Afterwards the slots are still written once, for the partner to know the decision.
  [[nodiscard]] bool busy() const { return phase_ != Phase::idle && phase_ != Phase::telling; }
  [[nodiscard]] const ccm::OwnershipDecision& decided() const { return decided_; }

 private:
  friend struct OwnershipBallotInspector;  // tests

  enum class Phase : std::uint8_t {
    idle,
    reading,   // both slots, nothing is written (phase 0)
    founding,  // writes the first slot to every disk
    preparing,
    voting,
    telling,  // writes what was decided, for others to know; nothing waits for it
  };
  struct Disk {
    enum class State : std::uint8_t { open, done, failed };
    std::uint64_t asked = 0;  // the round of the request that is out; 0: none
    State state = State::open;
    bool own_blank = false;
    bool partner_blank = false;
  };
  struct Vote {
    std::uint64_t ballot = 0;
    ccm::OwnershipValue value;
  };

  void begin_round(Phase phase, BallotOutput& out);
  void ask(std::size_t disk, BallotOutput& out);
  bool answers_this_round(std::size_t disk, std::uint64_t round, BallotOutput& out);
  void note(const DiskSight& sight);
  void note_decision(const ccm::OwnershipDecision& decision);
  void read_at_start(Disk& disk, const DiskSight& sight);
  void read_in_ballot(Disk& disk, const DiskSight& sight, BallotOutput& out);
  void advance(BallotOutput& out);
  void recover(BallotOutput& out);
  void go_on(BallotOutput& out);
  void begin_ballot(BallotOutput& out);
  void vote(BallotOutput& out);
  void settle(bool by_this_node, BallotOutput& out);
  void lose(BallotOutput& out);
  void end(BallotOutcome::Kind kind, BallotOutput& out);
  void give_up(BallotOutput& out);
  void take_decision_along();
  BallotOutput finish(BallotOutput out) const;

  [[nodiscard]] std::size_t majority() const { return settings_.disks / 2 + 1; }
  [[nodiscard]] std::size_t count(Disk::State state) const;
  [[nodiscard]] bool remembers(const Disk& disk) const;
  [[nodiscard]] std::size_t counted() const;
  [[nodiscard]] std::size_t needed() const;
  [[nodiscard]] bool lost_to_partner() const;
  [[nodiscard]] bool fulfilled(bool by_this_node) const;

  BallotSettings settings_;
  Phase phase_ = Phase::idle;
  std::uint64_t round_ = 0;  // of requests; also the sequence number of what they write
  std::array<Disk, ccm::kMaxOwnershipDisks> disks_{};
  std::optional<Proposal> proposal_;
  std::optional<ccm::OwnershipValue> put_up_;  // as this proposal's own
  Instant deadline_;
  int losses_ = 0;  // in a row

  bool recovered_ = false;  // rule 1 is satisfied, and this node is founded
  bool saw_founded_ = false;
  ccm::OwnershipSlot own_;  // what this node writes; before it has recovered, what its slots said
  ccm::OwnershipDecision decided_;
  Epoch highest_epoch_;           // ever seen
  bool partner_founded_ = false;  // any disk has ever shown it
  std::uint64_t partner_instance_ = 0;
  std::uint64_t partner_ballot_ = 0;  // the highest seen, in that instance
  Vote partner_vote_;                 // the highest seen, likewise
};

}  // namespace hapair::agent
