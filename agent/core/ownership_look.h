// What an owner's lease rests on: complete looks at a pool's slots on the mailbox disks. Pure.
//
// A look is complete when both nodes' slots were read on a majority of the disks, all reads begun at or after one
// instant. The latest such instant is when the look began.
//
// Two sentences, which the lease and the claimant's wait put together (DESIGN.md, section 5):
//   the owner     the lease holds for a bounded time after the beginning of the last complete look that renews it.
//   the claimant  a ballot for this node's claim is decided; each complete look begun after that instant shows it.
// So when the bound, with the drift of the clocks, has passed since a claim was decided, no lease of before it holds.
//
// Why the claimant's sentence holds. Decided means that the voting of a ballot was completed: on a majority of disks
// stood a slot with the vote, written and read back before that instant. A look reads a majority too, so it reads such
// a disk, afterwards. What it finds there is that slot or a later one of the same writer, which tells no less: as long
// as it writes in that instance it keeps the vote (a vote of a higher ballot is for the same value), and what it writes
// in a later one says what was decided. Who writes is the proposer, which is the claimant, or the owner who helped the
// claim to its end: hence both slots are read. A proposer that starts again has its vote from its slots, and what it
// writes for a disk whose vote it had not seen was not one of a completed voting (ownership_ballot.h, rule 1).
// With one disk each read is a look. With three, one that failed or is slow is not waited for, and if it comes back it
// is one of three again. A torn slot is unreadable: its disk does not count. A disk that was made anew is blank, and
// does not count until both nodes have written there again (rule 3), so it does not stand in for what it has forgotten.
// While the partner may not be founded a look takes all disks: of a partner that has decided anything at most a
// minority of them is blank, and the others show it. Where one disk is all there is, and it was made anew, nothing of
// what this node owns is there to be seen: the look says `forgotten` and renews nothing.
//
// A ballot of the partner in which nobody has voted yet does not end the lease: nothing can have been decided by it.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include "agent/core/ownership_ballot.h"
#include "ccm/base/time.h"
#include "ccm/wire/ownership_slot.h"

namespace hapair::agent {

// What a complete look shows against what this node owns.
enum class ClaimSight : std::uint8_t {
  none,
  ballot,     // the partner has begun a ballot for what comes after it; nobody has voted
  voted,      // there is a vote for the partner: it may be decided
  decided,    // the partner owns the pool
  forgotten,  // what this node owns is not to be seen either: the disks were made anew
};
std::string_view text_of(ClaimSight sight);
constexpr bool renews_lease(ClaimSight sight) { return sight == ClaimSight::none || sight == ClaimSight::ballot; }

struct CompleteLook {
  Instant began;
  ClaimSight shows = ClaimSight::none;
};

class OwnershipLook {
 public:
  // `disks`: 1 or 3.
  OwnershipLook(std::size_t disks, ccm::PairSide own) : disks_(disks), own_(own) {}

  // A read of `disk` that was begun at `began` and has ended. One that failed changes nothing, and is not told.
  void take(std::size_t disk, Instant began, const DiskSight& sight);

  // The newest complete look, held against `mine`, a decision for this node. Nothing: there was none yet.
  [[nodiscard]] std::optional<CompleteLook> newest(const ccm::OwnershipDecision& mine) const;

 private:
  struct Seen {
    bool readable = false;  // ever; then the newest such read
    Instant began;
    DiskSight sight;
  };
  [[nodiscard]] ClaimSight claim_in(const ccm::OwnershipSlot& slot, const ccm::OwnershipDecision& mine) const;

  std::size_t disks_;
  ccm::PairSide own_;
  std::array<Seen, ccm::kMaxOwnershipDisks> seen_{};
  bool own_founded_ = false;  // any disk has ever shown it
  bool partner_founded_ = false;
};

}  // namespace hapair::agent
