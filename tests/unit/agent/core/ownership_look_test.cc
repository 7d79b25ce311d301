#include "agent/core/ownership_look.h"

#include <gtest/gtest.h>

namespace hapair::agent {
namespace {

using ccm::OwnershipDecision;
using ccm::OwnershipSlot;
using ccm::PairSide;
using State = SlotSight::State;

Instant at(int ms) { return Instant(std::chrono::milliseconds(ms)); }
const OwnershipDecision kMine{4, {Epoch(9), PairSide::lower}};

SlotSight slot_of(const OwnershipSlot& slot) { return {State::written, slot}; }
OwnershipSlot settled() {
  return {.life = 1,
          .sequence = 1,
          .founded = true,
          .instance = 4,
          .ballot = 1,
          .voted_in = 1,
          .vote = kMine.value,
          .decided = kMine};
}
OwnershipSlot under_way(std::uint64_t voted_in, PairSide vote) {
  OwnershipSlot slot = settled();
  slot.instance = 5;
  slot.ballot = 2;
  slot.voted_in = voted_in;
  slot.vote = voted_in == 0 ? ccm::OwnershipValue{} : ccm::OwnershipValue{Epoch(10), vote};
  return slot;
}
DiskSight calm() { return {slot_of(settled()), slot_of(settled())}; }
DiskSight partner_shows(const OwnershipSlot& slot) { return {slot_of(settled()), slot_of(slot)}; }

ClaimSight shown_by(const DiskSight& sight) {
  OwnershipLook look(1, PairSide::lower);
  look.take(0, at(1), sight);
  const auto seen = look.newest(kMine);
  EXPECT_TRUE(seen.has_value());
  return seen ? seen->shows : ClaimSight::forgotten;
}

TEST(OwnershipLook, OfOneDiskIsCompleteWithEachReadAndBeganWithIt) {
  OwnershipLook look(1, PairSide::lower);
  EXPECT_FALSE(look.newest(kMine).has_value());
  look.take(0, at(5), calm());
  EXPECT_EQ(look.newest(kMine)->began, at(5));
  look.take(0, at(9), calm());
  EXPECT_EQ(look.newest(kMine)->began, at(9));
  look.take(0, at(7), calm());
  EXPECT_EQ(look.newest(kMine)->began, at(9)) << "an older read says nothing new";
  EXPECT_EQ(look.newest(kMine)->shows, ClaimSight::none);
}

TEST(OwnershipLook, OfThreeDisksBeganWithTheSecondNewestOfTheirReads) {
  OwnershipLook look(3, PairSide::lower);
  look.take(0, at(5), calm());
  EXPECT_FALSE(look.newest(kMine).has_value()) << "one of three is no majority";
  look.take(2, at(8), calm());
  EXPECT_EQ(look.newest(kMine)->began, at(5));
  look.take(1, at(7), calm());
  EXPECT_EQ(look.newest(kMine)->began, at(7));
  look.take(0, at(30), calm());
  EXPECT_EQ(look.newest(kMine)->began, at(8));
}

TEST(OwnershipLook, TellsHowFarAClaimOfThePartnerHasCome) {
  EXPECT_EQ(shown_by(calm()), ClaimSight::none);
  EXPECT_EQ(shown_by(partner_shows(under_way(0, PairSide::none))), ClaimSight::ballot);
  EXPECT_EQ(shown_by(partner_shows(under_way(2, PairSide::upper))), ClaimSight::voted);
  EXPECT_EQ(shown_by(partner_shows(under_way(2, PairSide::lower))), ClaimSight::none) << "it is for this node";
  OwnershipSlot taken = settled();
  taken.decided = {5, {Epoch(10), PairSide::upper}};
  taken.instance = 5;
  EXPECT_EQ(shown_by(partner_shows(taken)), ClaimSight::decided);
  taken.decided = {7, {Epoch(12), PairSide::lower}};
  taken.instance = 7;
  EXPECT_EQ(shown_by(partner_shows(taken)), ClaimSight::none) << "it came back";
  EXPECT_TRUE(renews_lease(ClaimSight::none) && renews_lease(ClaimSight::ballot));
  EXPECT_FALSE(renews_lease(ClaimSight::voted) || renews_lease(ClaimSight::decided));
}

TEST(OwnershipLook, SeesAVoteForThePartnerInThisNodesOwnSlotToo) {
  EXPECT_EQ(shown_by({slot_of(under_way(1, PairSide::upper)), slot_of(settled())}), ClaimSight::voted);
}

TEST(OwnershipLook, SeesAClaimOnAnyDiskAlsoOnOneThatTheMajorityDoesNotNeed) {
  OwnershipLook look(3, PairSide::lower);
  look.take(0, at(1), partner_shows(under_way(2, PairSide::upper)));
  look.take(1, at(5), calm());
  look.take(2, at(6), calm());
  EXPECT_EQ(look.newest(kMine)->began, at(5));
  EXPECT_EQ(look.newest(kMine)->shows, ClaimSight::voted);
}

TEST(OwnershipLook, DoesNotCountWhatCannotBeRead) {
  OwnershipLook look(3, PairSide::lower);
  look.take(0, at(1), calm());
  look.take(1, at(2), {slot_of(settled()), {State::unreadable, {}}});
  EXPECT_FALSE(look.newest(kMine).has_value());
  look.take(1, at(3), calm());
  look.take(1, at(9), {{State::unreadable, {}}, slot_of(settled())});
  EXPECT_EQ(look.newest(kMine)->began, at(1)) << "the last one that could be read";
}

TEST(OwnershipLook, DoesNotCountADiskThatHasForgottenWhatAnotherShows) {
  OwnershipLook look(3, PairSide::lower);
  look.take(0, at(1), calm());
  look.take(1, at(2), {slot_of(settled()), {State::blank, {}}});
  EXPECT_FALSE(look.newest(kMine).has_value()) << "the partner's slot is gone there";
  look.take(2, at(3), {{State::blank, {}}, slot_of(settled())});
  EXPECT_FALSE(look.newest(kMine).has_value()) << "this node's is";
  look.take(1, at(4), calm());
  EXPECT_EQ(look.newest(kMine)->began, at(1));
}

TEST(OwnershipLook, TakesAllDisksWhereThePartnerHasNeverUsedABallot) {
  const OwnershipSlot first{.life = 2, .sequence = 1};
  const DiskSight alone{slot_of(settled()), {State::blank, {}}};
  for (const DiskSight& second : {alone, partner_shows(first)}) {
    OwnershipLook look(3, PairSide::lower);
    look.take(0, at(1), alone);
    look.take(1, at(2), second);
    EXPECT_FALSE(look.newest(kMine).has_value());
    look.take(2, at(3), alone);
    EXPECT_EQ(look.newest(kMine)->began, at(1));
    EXPECT_EQ(look.newest(kMine)->shows, ClaimSight::none);
    look.take(1, at(4), calm());
    EXPECT_FALSE(look.newest(kMine).has_value()) << "it has used one: the blank ones have forgotten it";
  }
}

TEST(OwnershipLook, OfDisksThatWereAllMadeAnewRenewsNothing) {
  EXPECT_EQ(shown_by({{State::blank, {}}, {State::blank, {}}}), ClaimSight::forgotten);
  OwnershipSlot anew{.life = 3, .sequence = 4, .founded = true, .instance = 1, .ballot = 2};
  EXPECT_EQ(shown_by({{State::blank, {}}, slot_of(anew)}), ClaimSight::forgotten);
  EXPECT_FALSE(renews_lease(ClaimSight::forgotten));
}

}  // namespace
}  // namespace hapair::agent
