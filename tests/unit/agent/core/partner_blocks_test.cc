#include "agent/core/partner_blocks.h"

#include <gtest/gtest.h>

namespace hapair::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kHeardFor = milliseconds(500);

class Blocks : public testing::Test {
 protected:
  static Instant at(int ms) { return Instant(seconds(100)) + milliseconds(ms); }
  static ccm::AgentBlockLayout block(std::uint64_t serial, std::uint64_t life = 9) {
    ccm::AgentBlockLayout block{};
    block.serial = serial;
    block.agent_life = life;
    return block;
  }
  BlockReading reading(int from, int until, std::uint64_t beat, std::uint64_t incarnation = 1) const {
    return {Incarnation(incarnation), beat, boot_, at(from), at(until)};
  }
  AgentBeat agent(std::uint64_t beat) const { return {ccm::ClientState::registered, beat, 4}; }
  NoticeFate notice(const BlockReading& seen, std::uint64_t serial, std::uint64_t life = 9) {
    return blocks_.take_notice(seen, agent(seen.ccm_beat), block(serial, life), true);
  }

  BootId boot_{{1}};
  PartnerBlocks blocks_{kHeardFor};
};

TEST_F(Blocks, APageIsHandedOnOnceAndAgainWhereItWasForgotten) {
  EXPECT_TRUE(blocks_.take_page(reading(0, 1, 10), block(1)));
  EXPECT_FALSE(blocks_.take_page(reading(10, 11, 11), block(1)));
  blocks_.forget_told();
  EXPECT_TRUE(blocks_.take_page(reading(20, 21, 12), block(1)));
  EXPECT_FALSE(blocks_.take_page(reading(30, 31, 13), block(0))) << "nothing is published yet";
}

TEST_F(Blocks, APageOfAnotherRailThatTookLongerIsNotHandedOn) {
  EXPECT_TRUE(blocks_.take_page(reading(10, 11, 11), block(5)));
  EXPECT_FALSE(blocks_.take_page(reading(0, 12, 10), block(4)));
  EXPECT_TRUE(blocks_.take_page(reading(20, 21, 12), block(1, 10))) << "another life of its agent";
}

// Whichever came first: no life of the partner's agent is refused for good.
TEST_F(Blocks, PagesOfALifeThatWasTakenForTheOlderOneAreHandedOn) {
  EXPECT_TRUE(blocks_.take_page(reading(10, 11, 11), block(1, 10)));
  EXPECT_TRUE(blocks_.take_page(reading(0, 12, 10), block(6, 9))) << "over another rail; the engine knows the order";
  EXPECT_TRUE(blocks_.take_page(reading(20, 21, 12), block(1, 10)));
  blocks_.forget_told();
  EXPECT_TRUE(blocks_.take_page(reading(30, 31, 13), block(1, 10)));
}

TEST_F(Blocks, ANoticeCountsOnlyWhereTheRailsAreSilent) {
  blocks_.take_page(reading(0, 1, 10), block(1));
  EXPECT_EQ(blocks_.take_notice(reading(50, 90, 20), agent(1), block(2), false), NoticeFate::rails_tell);
  EXPECT_EQ(blocks_.take_notice(reading(50, 90, 20), agent(1), block(2), true), NoticeFate::handed_on);
  EXPECT_EQ(blocks_.count(NoticeFate::rails_tell), 1U);
}

TEST_F(Blocks, ANoticeThatMayBeOlderThanTheLastPageDoesNotCount) {
  blocks_.take_page(reading(0, 1, 10), block(5));
  blocks_.take_page(reading(40, 41, 14), block(6));
  // However late it comes, and whatever it says of itself: it was made after 41 only where it answers a beat sent then.
  EXPECT_EQ(notice(reading(40, 900, 12), 5), NoticeFate::before_page);
  EXPECT_EQ(notice(reading(41, 900, 99), 7), NoticeFate::before_page);
  EXPECT_EQ(notice(reading(42, 900, 15), 7), NoticeFate::handed_on);
}

TEST_F(Blocks, ANoticeOfALifeOfTheKernelThatNoPageShowedDoesNotCount) {
  EXPECT_EQ(notice(reading(50, 90, 20), 1), NoticeFate::no_page);
  blocks_.take_page(reading(0, 1, 10), block(1));
  boot_ = BootId{{2}};
  EXPECT_EQ(notice(reading(50, 90, 20, 2), 1), NoticeFate::no_page);
}

TEST_F(Blocks, NoticesOfOneLifeOfTheCcmAreInTheOrderOfItsBeats) {
  blocks_.take_page(reading(0, 1, 10), block(1));
  EXPECT_EQ(notice(reading(50, 90, 20), 3), NoticeFate::handed_on);
  EXPECT_EQ(notice(reading(50, 95, 20), 3), NoticeFate::out_of_order) << "the same beat on another disk";
  EXPECT_EQ(notice(reading(60, 99, 19), 2), NoticeFate::out_of_order) << "a slower disk";
  // Overlapping in time, which says nothing within one life.
  EXPECT_EQ(notice(reading(55, 100, 21), 3), NoticeFate::nothing_new);
}

TEST_F(Blocks, ANoticeOfAnotherLifeOfTheCcmCountsWhereItWasMadeAfterTheLastCame) {
  blocks_.take_page(reading(0, 1, 10), block(1));
  EXPECT_EQ(notice(reading(50, 90, 20), 3), NoticeFate::handed_on);
  EXPECT_EQ(notice(reading(90, 200, 500, 2), 1, 10), NoticeFate::out_of_order);
  EXPECT_EQ(notice(reading(91, 200, 1, 2), 1, 10), NoticeFate::handed_on);
  EXPECT_EQ(notice(reading(150, 300, 600, 1), 4), NoticeFate::out_of_order) << "the life before";
}

TEST_F(Blocks, APageThatMayBeOlderThanANoticeIsNotHandedOn) {
  blocks_.take_page(reading(0, 1, 10), block(1));
  EXPECT_EQ(notice(reading(50, 90, 20), 3), NoticeFate::handed_on);
  EXPECT_FALSE(blocks_.take_page(reading(30, 95, 19), block(2))) << "a read that was under way";
  EXPECT_FALSE(blocks_.take_page(reading(90, 96, 1, 2), block(1, 10))) << "of another life, posted before";
  EXPECT_TRUE(blocks_.take_page(reading(30, 97, 20), block(4))) << "of the same life its beat orders it";
  EXPECT_TRUE(blocks_.take_page(reading(98, 99, 1, 2), block(1, 10)));
}

TEST_F(Blocks, APageThatWasNotHandedOnHoldsNoticesAllTheSame) {
  blocks_.take_page(reading(0, 1, 10), block(1));
  notice(reading(50, 90, 20), 3);
  blocks_.take_page(reading(30, 95, 19), block(2));
  EXPECT_EQ(notice(reading(94, 120, 22), 4), NoticeFate::before_page);
  EXPECT_EQ(notice(reading(96, 121, 23), 4), NoticeFate::handed_on);
}

TEST_F(Blocks, NothingFromBeforeAnOrderCountsByWhateverWayItComes) {
  blocks_.take_page(reading(0, 1, 10), block(1));
  blocks_.poisoned_at(at(60));
  blocks_.forget_told();
  EXPECT_EQ(notice(reading(60, 90, 20), 3), NoticeFate::before_poison) << "a read of the disk that was under way";
  EXPECT_FALSE(blocks_.take_page(reading(59, 91, 21), block(3)));
  EXPECT_EQ(notice(reading(92, 120, 22), 3), NoticeFate::handed_on);
}

TEST_F(Blocks, TheAgentIsHeardWhileItsBeatMovesOnTheDisk) {
  blocks_.take_page(reading(0, 1, 10), block(1));
  notice(reading(50, 90, 20), 1);
  EXPECT_FALSE(blocks_.agent_heard(at(90), true)) << "one beat has not moved";
  notice(reading(60, 140, 25), 1);
  EXPECT_TRUE(blocks_.agent_heard(at(140), true));
  EXPECT_FALSE(blocks_.agent_heard(at(140), false)) << "the rails tell";
  EXPECT_TRUE(blocks_.agent_heard(at(640), true));
  EXPECT_FALSE(blocks_.agent_heard(at(641), true));
}

TEST_F(Blocks, AnAgentThatHangsOrLeftIsNotHeard) {
  blocks_.take_page(reading(0, 1, 10), block(1));
  notice(reading(50, 90, 20), 1);
  notice(reading(60, 140, 25), 1);
  blocks_.take_notice(reading(70, 500, 30), agent(25), block(1), true);
  EXPECT_FALSE(blocks_.agent_heard(at(641), true)) << "its beat stands";
  blocks_.take_notice(reading(80, 650, 35), agent(26), block(1), true);
  EXPECT_TRUE(blocks_.agent_heard(at(650), true));
  const AgentBeat left{ccm::ClientState::left, 27, 4};
  EXPECT_EQ(blocks_.take_notice(reading(90, 660, 36), left, block(2), true), NoticeFate::handed_on)
      << "what it published last is read all the same";
  EXPECT_FALSE(blocks_.agent_heard(at(660), true));
}

TEST_F(Blocks, AnAgentThatWasHeardBeforeAPageIsNotHeardByThat) {
  blocks_.take_page(reading(0, 1, 10), block(1));
  notice(reading(50, 90, 20), 1);
  notice(reading(60, 140, 25), 1);
  blocks_.take_page(reading(150, 151, 30), block(1));
  EXPECT_FALSE(blocks_.agent_heard(at(160), true));
}

}  // namespace
}  // namespace hapair::agent
