#include "agent/core/ownership_ballot.h"

#include <gtest/gtest.h>

#include "tests/unit/agent/core/ownership_world.h"

namespace hapair::agent {
namespace {

using ccm::PairSide;
using model::Fate;
using model::Wish;
using model::World;
using Kind = BallotOutcome::Kind;

constexpr std::size_t kLower = 0;
constexpr std::size_t kUpper = 1;

// Both nodes have written to all disks, and know it; nothing is decided.
World founded(std::size_t disks) {
  World world(disks);
  for (const std::size_t n : {kLower, kUpper}) {
    EXPECT_TRUE(world.begin(n, Wish::nothing));
    world.settle();
  }
  return world;
}

Kind kind_of(const World& world, std::size_t n) {
  EXPECT_TRUE(world.outcome(n).has_value());
  return world.outcome(n) ? world.outcome(n)->kind : Kind::no_majority;
}

void decide(World& world, std::size_t n, Wish wish = Wish::self) {
  EXPECT_TRUE(world.begin(n, wish));
  world.settle();
  EXPECT_EQ(kind_of(world, n), Kind::decided);
}

// Ends the request of `n` that is out at each of those disks.
void finish(World& world, std::size_t n, std::initializer_list<std::size_t> disks) {
  for (const std::size_t disk : disks) EXPECT_TRUE(world.finish(n, disk)) << "disk " << disk;
}

class Ownership : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Disks, Ownership, testing::Values(1, 3));

TEST_P(Ownership, OfAClaimWithoutARivalIsDecidedForTheClaimant) {
  World world = founded(GetParam());
  decide(world, kUpper);
  EXPECT_EQ(world.newest(), 1U);
  EXPECT_EQ(world.value(1), (ccm::OwnershipValue{Epoch(1), PairSide::upper}));
}

TEST_P(Ownership, RisesInEpochAndInstanceWithEachClaim) {
  World world = founded(GetParam());
  decide(world, kLower);
  decide(world, kUpper);
  decide(world, kUpper, Wish::partner);
  EXPECT_EQ(world.newest(), 3U);
  EXPECT_EQ(world.value(2), (ccm::OwnershipValue{Epoch(2), PairSide::upper}));
  EXPECT_EQ(world.value(3), (ccm::OwnershipValue{Epoch(3), PairSide::lower}));
}

TEST_P(Ownership, IsLearntWithoutABallot) {
  World world = founded(GetParam());
  decide(world, kLower);
  const auto before = world.slot(kUpper, 0)->ballot;
  EXPECT_TRUE(world.begin(kUpper, Wish::nothing));
  world.settle();
  EXPECT_EQ(kind_of(world, kUpper), Kind::known);
  EXPECT_EQ(world.outcome(kUpper)->decided.instance, 1U);
  EXPECT_EQ(world.outcome(kUpper)->vote, std::nullopt);
  EXPECT_EQ(world.slot(kUpper, 0)->ballot, before);
  EXPECT_EQ(world.slot(kUpper, 0)->decided.instance, 1U) << "it passes on what it learnt";
}

TEST_P(Ownership, IsNotTakenByAProposalThatRestsOnWhatIsOvertaken) {
  World world = founded(GetParam());
  decide(world, kLower);
  EXPECT_TRUE(world.begin(kUpper, Wish::self, 0));
  world.settle();
  EXPECT_EQ(kind_of(world, kUpper), Kind::overtaken);
  EXPECT_EQ(world.newest(), 1U);
  EXPECT_TRUE(world.begin(kUpper, Wish::self, 1));
  world.settle();
  EXPECT_EQ(kind_of(world, kUpper), Kind::decided);
}

TEST_P(Ownership, AReadIsAskedForOnlyWhenTheWriteHasFinished) {
  World world = founded(GetParam());
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  for (std::size_t disk = 0; disk < world.disks(); ++disk) {
    EXPECT_TRUE(world.writing(kLower, disk));
    finish(world, kLower, {disk});
    EXPECT_TRUE(world.reads(kLower, disk));
  }
}

TEST(OwnershipOfThreeDisks, NeedsTwoOfThemAndNotTheThird) {
  World world = founded(3);
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  finish(world, kLower, {0, 0});
  EXPECT_TRUE(world.writing(kLower, 1)) << "one disk is no majority";
  EXPECT_FALSE(world.writing(kLower, 0));
  finish(world, kLower, {1, 1});
  EXPECT_TRUE(world.writing(kLower, 0)) << "voting";
  EXPECT_EQ(world.slot(kLower, 0)->voted_in, 0U);
  finish(world, kLower, {0, 0, 1, 1});
  EXPECT_EQ(kind_of(world, kLower), Kind::decided);
}

TEST(OwnershipOfThreeDisks, CannotBeDecidedWhereTwoDisksFail) {
  World world = founded(3);
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  EXPECT_TRUE(world.fail(kLower, 0, Fate::lost));
  EXPECT_TRUE(world.fail(kLower, 1, Fate::landed));
  EXPECT_FALSE(world.outcome(kLower).has_value()) << "one has not answered";
  finish(world, kLower, {2, 2});
  EXPECT_EQ(kind_of(world, kLower), Kind::no_majority);
  decide(world, kUpper);
  decide(world, kLower);
}

TEST_P(Ownership, CannotBeDecidedAfterTheDeadlineAndCanWhenTheDisksAreBack) {
  World world = founded(GetParam());
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  for (std::size_t disk = 0; disk < world.disks(); ++disk) EXPECT_TRUE(world.hang(kLower, disk));
  EXPECT_EQ(kind_of(world, kLower), Kind::no_majority) << "all are called failed";
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  EXPECT_EQ(kind_of(world, kLower), Kind::no_majority) << "nothing can be asked of them";
  world.settle();
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  EXPECT_TRUE(world.give_up(kLower));
  EXPECT_EQ(kind_of(world, kLower), Kind::no_majority);
  world.settle();
  decide(world, kLower);
}

TEST_P(Ownership, IsLostToAHigherBallotOfThePartner) {
  World world = founded(GetParam());
  EXPECT_TRUE(world.begin(kLower, Wish::self));  // ballot 1
  EXPECT_TRUE(world.begin(kUpper, Wish::self));  // ballot 2
  for (std::size_t disk = 0; disk < world.disks(); ++disk) finish(world, kUpper, {disk});
  world.finish(kLower, 0);
  world.finish(kLower, 0);
  EXPECT_EQ(kind_of(world, kLower), Kind::lost);
  EXPECT_GE(world.outcome(kLower)->wait, std::chrono::milliseconds(5));
  EXPECT_LE(world.outcome(kLower)->wait, std::chrono::milliseconds(15));
  world.settle();
  EXPECT_EQ(kind_of(world, kUpper), Kind::decided);
  EXPECT_EQ(world.value(1).owner, PairSide::upper);
}

TEST(OwnershipOfOneDisk, AVoteThatMayBeDecidedIsHelpedToItsEndFirst) {
  World world = founded(1);
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  finish(world, kLower, {0, 0, 0});  // prepared, and the vote is written: it is decided, and nobody knows
  EXPECT_TRUE(world.crash(kLower, 0));
  EXPECT_TRUE(world.begin(kUpper, Wish::nothing));
  world.settle();
  EXPECT_EQ(world.outcome(kUpper)->decided.instance, 0U);
  EXPECT_EQ(world.outcome(kUpper)->vote, (ccm::OwnershipValue{Epoch(1), PairSide::lower}));
  decide(world, kUpper);
  EXPECT_EQ(world.newest(), 2U);
  EXPECT_EQ(world.value(1), (ccm::OwnershipValue{Epoch(1), PairSide::lower}));
  EXPECT_EQ(world.value(2), (ccm::OwnershipValue{Epoch(2), PairSide::upper}));
}

TEST(OwnershipOfOneDisk, ANodeThatStartsAgainKeepsItsOwnVote) {
  World world = founded(1);
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  finish(world, kLower, {0, 0, 0});
  EXPECT_TRUE(world.crash(kLower, 0));
  EXPECT_TRUE(world.start(kLower));
  EXPECT_TRUE(world.begin(kLower, Wish::partner));
  world.settle();
  EXPECT_EQ(kind_of(world, kLower), Kind::decided);
  EXPECT_EQ(world.value(1).owner, PairSide::lower);
  EXPECT_EQ(world.value(2).owner, PairSide::upper);
}

TEST(OwnershipOfThreeDisks, ANodeThatStartsAgainUsesNoBallotNumberTwice) {
  World world = founded(3);
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  finish(world, kLower, {0, 1});
  const auto used = world.slot(kLower, 0)->ballot;
  EXPECT_TRUE(world.crash(kLower, 0));
  EXPECT_TRUE(world.start(kLower));
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  finish(world, kLower, {1, 2});
  finish(world, kLower, {1});
  EXPECT_GT(world.slot(kLower, 1)->ballot, used);
}

TEST(OwnershipOfThreeDisks, TheFirstBallotEverWaitsForAllOfThem) {
  World world(3);
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  finish(world, kLower, {0, 1});
  EXPECT_FALSE(world.outcome(kLower).has_value());
  EXPECT_TRUE(world.fail(kLower, 2, Fate::lost));
  EXPECT_EQ(kind_of(world, kLower), Kind::unfounded);
  EXPECT_EQ(world.slot(kLower, 0), std::nullopt) << "nothing was written";
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  finish(world, kLower, {0, 1, 2});
  EXPECT_TRUE(world.writing(kLower, 0));
  finish(world, kLower, {0, 1});
  EXPECT_FALSE(world.slot(kLower, 0)->founded);
  finish(world, kLower, {2});
  world.settle();
  EXPECT_EQ(kind_of(world, kLower), Kind::decided);
  EXPECT_TRUE(world.slot(kLower, 0)->founded);
}

TEST(OwnershipOfThreeDisks, ANodeThatCrashedWhileItWasFoundedIsFoundedAgain) {
  World world(3);
  EXPECT_TRUE(world.begin(kLower, Wish::nothing));
  finish(world, kLower, {0, 1, 2});
  EXPECT_TRUE(world.crash(kLower, 1));
  decide(world, kUpper);
  EXPECT_TRUE(world.start(kLower));
  decide(world, kLower);
  EXPECT_TRUE(world.slot(kLower, 2)->founded);
}

TEST(OwnershipOfThreeDisks, ADiskThatWasMadeAnewDoesNotSpeakForWhatItForgot) {
  World world = founded(3);
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  // Decided on disks 0 and 1; disk 2 has the founding slot still.
  finish(world, kLower, {0, 0, 1, 1, 0, 0, 1, 1});
  EXPECT_EQ(kind_of(world, kLower), Kind::decided);
  EXPECT_TRUE(world.crash(kLower, 0));
  EXPECT_TRUE(world.forget(0));
  EXPECT_TRUE(world.begin(kUpper, Wish::self));
  finish(world, kUpper, {0, 0, 2, 2});
  EXPECT_TRUE(world.reads(kUpper, 0) || !world.writing(kUpper, 0)) << "disks 0 and 2 are no majority that remembers";
  EXPECT_FALSE(world.outcome(kUpper).has_value());
  EXPECT_EQ(world.slot(kUpper, 2)->voted_in, 0U);
  EXPECT_TRUE(world.fail(kUpper, 1, Fate::lost));
  EXPECT_EQ(kind_of(world, kUpper), Kind::no_majority);
  // The node that it has forgotten writes there again.
  EXPECT_TRUE(world.start(kLower));
  EXPECT_TRUE(world.begin(kLower, Wish::nothing));
  world.settle();
  EXPECT_EQ(world.slot(kLower, 0)->vote, (ccm::OwnershipValue{Epoch(1), PairSide::lower}));
  EXPECT_TRUE(world.begin(kUpper, Wish::self));
  EXPECT_TRUE(world.fail(kUpper, 1, Fate::lost));
  finish(world, kUpper, {0, 0});
  world.settle();
  EXPECT_EQ(kind_of(world, kUpper), Kind::decided);
  EXPECT_EQ(world.newest(), 2U);
}

TEST(OwnershipOfOneDisk, ADiskThatWasMadeAnewIsNoMajorityForWhoKnowsBetter) {
  World world = founded(1);
  decide(world, kUpper);
  decide(world, kLower);
  EXPECT_TRUE(world.forget(0));
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  world.settle();
  EXPECT_EQ(kind_of(world, kLower), Kind::no_majority) << "the partner's slot is gone";
  EXPECT_TRUE(world.begin(kUpper, Wish::nothing));
  world.settle();
  decide(world, kLower);
  EXPECT_EQ(world.newest(), 3U);
}

TEST(OwnershipOfOneDisk, WhatCannotBeReadDoesNotCount) {
  OwnershipBallot machine({.own = PairSide::lower,
                           .disks = 1,
                           .life = 7,
                           .patience = std::chrono::seconds(1),
                           .backoff = std::chrono::milliseconds(10)});
  const Instant now(std::chrono::seconds(10));
  const auto begun = machine.begin(now, Proposal{.epoch = Epoch(1), .owner = PairSide::lower});
  EXPECT_EQ(begun.requests[0], DiskRequest::read);
  EXPECT_EQ(machine.next_wake(), now + std::chrono::seconds(1));
  const SlotSight blank{SlotSight::State::blank, {}};
  const auto out = machine.read(0, begun.round, {blank, {SlotSight::State::unreadable, {}}});
  ASSERT_TRUE(out.outcome.has_value());
  EXPECT_EQ(out.outcome->kind, Kind::no_majority);
  EXPECT_FALSE(machine.busy());
  EXPECT_EQ(machine.next_wake(), std::nullopt);
}

TEST(OwnershipOfOneDisk, AWriteThatIsNotThereWhenItIsReadBackDoesNotCount) {
  World world = founded(1);
  EXPECT_TRUE(world.begin(kLower, Wish::self));
  finish(world, kLower, {0});
  EXPECT_TRUE(world.forget(0));
  finish(world, kLower, {0});
  EXPECT_EQ(kind_of(world, kLower), Kind::no_majority);
}

}  // namespace
}  // namespace hapair::agent
