#include "agent/core/ownership_look.h"

#include <algorithm>
#include <span>

namespace hapair::agent {
namespace {

using State = SlotSight::State;

// Of a slot that was written at or after `mine` was decided, in the slots by which it was, or later.
bool shows_what_is(const SlotSight& slot, const ccm::OwnershipDecision& mine) {
  if (slot.state != State::written) return false;
  const ccm::OwnershipSlot& in = slot.slot;
  return in.decided.instance >= mine.instance || in.instance > mine.instance ||
         (in.instance == mine.instance && in.voted_in > 0 && in.vote == mine.value);
}

}  // namespace

std::string_view text_of(ClaimSight sight) {
  switch (sight) {
    case ClaimSight::none:
      return "none";
    case ClaimSight::ballot:
      return "ballot";
    case ClaimSight::voted:
      return "voted";
    case ClaimSight::decided:
      return "decided";
    case ClaimSight::forgotten:
      return "forgotten";
  }
  return "unknown";
}

void OwnershipLook::take(std::size_t disk, Instant began, const DiskSight& sight) {
  own_founded_ = own_founded_ || (sight.own.state == State::written && sight.own.slot.founded);
  partner_founded_ = partner_founded_ || (sight.partner.state == State::written && sight.partner.slot.founded);
  if (sight.own.state == State::unreadable || sight.partner.state == State::unreadable) return;
  Seen& seen = seen_.at(disk);
  if (seen.readable && began < seen.began) return;
  seen = {true, began, sight};
}

ClaimSight OwnershipLook::claim_in(const ccm::OwnershipSlot& slot, const ccm::OwnershipDecision& mine) const {
  const ccm::PairSide partner = ccm::other(own_);
  const bool another = slot.decided.instance > mine.instance ||
                       (slot.decided.instance == mine.instance && slot.decided.value != mine.value);
  if (another && slot.decided.value.owner == partner) return ClaimSight::decided;
  if (slot.instance <= mine.instance || slot.instance == slot.decided.instance) return ClaimSight::none;
  if (slot.voted_in > 0) return slot.vote.owner == partner ? ClaimSight::voted : ClaimSight::none;
  return slot.ballot > 0 ? ClaimSight::ballot : ClaimSight::none;
}

std::optional<CompleteLook> OwnershipLook::newest(const ccm::OwnershipDecision& mine) const {
  std::array<const Seen*, ccm::kMaxOwnershipDisks> counted{};
  std::size_t n = 0;
  std::size_t needed = disks_ / 2 + 1;
  ClaimSight worst = ClaimSight::none;
  for (const Seen& seen : std::span(seen_).first(disks_)) {
    if (!seen.readable) continue;
    for (const SlotSight* slot : {&seen.sight.own, &seen.sight.partner}) {
      if (slot->state == State::written) worst = std::max(worst, claim_in(slot->slot, mine));
    }
    // Rule 3 of ownership_ballot.h.
    const bool own_blank = seen.sight.own.state == State::blank;
    const bool partner_blank = seen.sight.partner.state == State::blank;
    if ((own_blank && own_founded_) || (partner_blank && partner_founded_)) continue;
    if (own_blank || partner_blank) needed = disks_;
    // The newest first.
    std::size_t at = n++;
    for (; at > 0 && counted.at(at - 1)->began < seen.began; --at) counted.at(at) = counted.at(at - 1);
    counted.at(at) = &seen;
  }
  if (n < needed) return std::nullopt;
  const auto newest = std::span(counted).first(n);
  const bool shown = std::ranges::any_of(newest.first(needed), [&](const Seen* seen) {
    return shows_what_is(seen->sight.own, mine) || shows_what_is(seen->sight.partner, mine);
  });
  return CompleteLook{newest[needed - 1]->began, shown || worst >= ClaimSight::voted ? worst : ClaimSight::forgotten};
}

}  // namespace hapair::agent
