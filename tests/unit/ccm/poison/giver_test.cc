#include "ccm/poison/giver.h"

#include <gtest/gtest.h>

namespace hapair::ccm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Incarnation kOwn(7);
constexpr Duration kAgain = milliseconds(100);

class APoisonGiver : public ::testing::Test {
 protected:
  APoisonGiver() {
    partner_.incarnation = Incarnation(70);
    partner_.boot_id.bytes[0] = 1;
    partner_.capabilities = kCapabilityPoison | kCapabilityPoisonReset;
  }
  // The serial of an order that is to be written.
  std::optional<std::uint64_t> advance(bool connected = true) {
    const auto write = giver_.advance(now_, connected);
    return write && !write->withdrawn ? std::optional(write->serial) : std::nullopt;
  }
  void answers(PoisonState state, std::uint64_t serial, Incarnation from = kOwn) {
    partner_.answer.from_incarnation = from.value();
    partner_.answer.serial = serial;
    partner_.answer.state = static_cast<std::uint8_t>(state);
    giver_.sees(partner_);
  }
  // Up to an order that is written. Its serial.
  std::uint64_t give(std::uint64_t number) {
    giver_.ask(number);
    giver_.sees(partner_);
    const auto serial = advance();
    EXPECT_TRUE(serial);
    return serial.value_or(0);
  }

  Instant now_ = Instant(seconds(100));
  PoisonGiver giver_{kOwn, kAgain};
  PoisonSight partner_;
};

TEST_F(APoisonGiver, GivesNothingUnasked) {
  giver_.sees(partner_);
  EXPECT_FALSE(advance());
  EXPECT_FALSE(giver_.pending());
}

TEST_F(APoisonGiver, WaitsForAPageThatSaysWhomItIsFor) {
  giver_.ask(1);
  EXPECT_FALSE(advance());
  EXPECT_TRUE(giver_.pending());
  giver_.sees(partner_);
  EXPECT_TRUE(advance());
  EXPECT_EQ(giver_.progress(), PoisonProgress::written);
}

TEST_F(APoisonGiver, WritesAgainUntilItIsTaken) {
  const std::uint64_t serial = give(1);
  now_ += kAgain - Duration(1);
  EXPECT_FALSE(advance());
  now_ += Duration(1);
  EXPECT_EQ(advance(), serial);
  answers(PoisonState::accepted, serial);
  now_ += seconds(10);
  EXPECT_FALSE(advance());
  EXPECT_EQ(giver_.progress(), PoisonProgress::accepted);
}

TEST_F(APoisonGiver, IsAnsweredByWhatNamesItsOrderAlone) {
  const std::uint64_t serial = give(1);
  answers(PoisonState::stopped, serial - 1);
  answers(PoisonState::stopped, serial + 1);
  answers(PoisonState::stopped, serial, Incarnation(8));
  EXPECT_EQ(giver_.progress(), PoisonProgress::written);
  answers(PoisonState::resetting, serial);
  EXPECT_EQ(giver_.progress(), PoisonProgress::resetting);
  EXPECT_TRUE(giver_.pending());
  answers(PoisonState::stopped, serial);
  EXPECT_EQ(giver_.progress(), PoisonProgress::stopped);
  EXPECT_FALSE(giver_.pending());
}

TEST_F(APoisonGiver, AnotherOrderHasAnotherSerialAndAnEarlierAnswerIsNone) {
  const std::uint64_t first = give(1);
  answers(PoisonState::stopped, first);
  const std::uint64_t second = give(2);
  EXPECT_GT(second, first);
  EXPECT_EQ(giver_.progress(), PoisonProgress::written);
  giver_.ask(0);
  EXPECT_EQ(giver_.asked(), 0U);
  answers(PoisonState::stopped, second);
  EXPECT_EQ(giver_.progress(), PoisonProgress::none) << "it was withdrawn";
}

TEST_F(APoisonGiver, WithdrawsWhatItNoLongerWaitsForUntilThePartnerKnows) {
  const std::uint64_t serial = give(1);
  answers(PoisonState::accepted, serial);
  giver_.ask(0);
  EXPECT_EQ(giver_.advance(now_, true), (PoisonWrite{serial, true}));
  EXPECT_EQ(giver_.advance(now_, true), std::nullopt);
  now_ += kAgain;
  EXPECT_EQ(giver_.advance(now_, false), std::nullopt);
  EXPECT_EQ(giver_.advance(now_, true), std::nullopt) << "nothing has been seen of the session that stands now";
  answers(PoisonState::cannot, serial);
  EXPECT_EQ(giver_.advance(now_, true), (PoisonWrite{serial, true}));
  answers(PoisonState::none, serial);
  now_ += kAgain;
  EXPECT_EQ(giver_.advance(now_, true), std::nullopt);
  answers(PoisonState::accepted, serial);
  EXPECT_EQ(giver_.advance(now_, true), std::nullopt) << "once it is over it is over";
}

TEST_F(APoisonGiver, WithdrawsNothingThatWasObeyedOrNeverWritten) {
  giver_.ask(1);
  giver_.ask(0);
  giver_.sees(partner_);
  EXPECT_EQ(giver_.advance(now_, true), std::nullopt);
  answers(PoisonState::stopped, give(2));
  giver_.ask(0);
  EXPECT_EQ(giver_.advance(now_, true), std::nullopt);
}

TEST_F(APoisonGiver, GivesItsNextOrderWithoutWithdrawingTheLast) {
  const std::uint64_t first = give(1);
  const std::uint64_t second = give(2);
  EXPECT_GT(second, first);
  now_ += kAgain;
  EXPECT_EQ(giver_.advance(now_, true), (PoisonWrite{second, false}));
}

TEST_F(APoisonGiver, AStateThatItDoesNotKnowChangesNothing) {
  const std::uint64_t serial = give(1);
  partner_.answer.from_incarnation = kOwn.value();
  partner_.answer.serial = serial;
  partner_.answer.state = 200;
  giver_.sees(partner_);
  EXPECT_EQ(giver_.progress(), PoisonProgress::written);
}

TEST_F(APoisonGiver, IsRefusedAtOnceByAPartnerThatDoesNotKnowPoison) {
  partner_.capabilities = 0;
  giver_.ask(1);
  giver_.sees(partner_);
  EXPECT_FALSE(advance());
  EXPECT_EQ(giver_.progress(), PoisonProgress::not_known);
}

TEST_F(APoisonGiver, ToldApartIsWhatWasNeverWrittenFromWhatHasNoAnswer) {
  giver_.ask(1);
  EXPECT_FALSE(advance(false));
  EXPECT_EQ(giver_.progress(), PoisonProgress::no_rail);
  (void)give(2);
  EXPECT_FALSE(advance(false));
  EXPECT_EQ(giver_.progress(), PoisonProgress::lost);
  advance();
  EXPECT_EQ(giver_.progress(), PoisonProgress::lost) << "whatever comes later";
}

TEST_F(APoisonGiver, AnotherLifeOfTheCcmAndOneOfTheKernelAreToldApart) {
  std::uint64_t serial = give(1);
  partner_.incarnation = Incarnation(71);
  answers(PoisonState::stopped, serial);
  EXPECT_EQ(giver_.progress(), PoisonProgress::restarted) << "who answers was never told";
  serial = give(2);
  partner_.incarnation = Incarnation(72);
  partner_.boot_id.bytes[0] = 2;
  giver_.sees(partner_);
  EXPECT_EQ(giver_.progress(), PoisonProgress::rebooted);
}

TEST_F(APoisonGiver, TellsWhyThePartnerCannot) {
  const std::uint64_t serial = give(1);
  partner_.answer.reason = static_cast<std::uint8_t>(PoisonReason::no_watchdog);
  partner_.answer.error = 5;
  answers(PoisonState::cannot, serial);
  EXPECT_EQ(giver_.progress(), PoisonProgress::cannot);
  EXPECT_EQ(giver_.partner_reason(), static_cast<std::uint8_t>(PoisonReason::no_watchdog));
  EXPECT_EQ(giver_.partner_error(), 5);
}

TEST_F(APoisonGiver, OrdersAResetWhichNoStoppedPoolEnds) {
  giver_.ask(1 | kPoisonResets);
  giver_.sees(partner_);
  const auto write = giver_.advance(now_, true);
  ASSERT_TRUE(write);
  EXPECT_TRUE(write->resets);
  EXPECT_FALSE(write->withdrawn);
  answers(PoisonState::accepted, write->serial);
  EXPECT_EQ(giver_.progress(), PoisonProgress::accepted);
  answers(PoisonState::stopped, write->serial);
  EXPECT_TRUE(giver_.pending()) << "that its pools have stopped is no proof that the node has";
  answers(PoisonState::resetting, write->serial);
  EXPECT_EQ(giver_.progress(), PoisonProgress::resetting);
  EXPECT_FALSE(giver_.advance(now_, false));
  EXPECT_EQ(giver_.progress(), PoisonProgress::resetting) << "its rails go with the node";
  giver_.sees(partner_);
  EXPECT_FALSE(giver_.advance(now_, true));
  EXPECT_EQ(giver_.progress(), PoisonProgress::resetting) << "it is not reset yet";
  partner_.boot_id.bytes[0] = 2;
  giver_.sees(partner_);
  EXPECT_EQ(giver_.progress(), PoisonProgress::rebooted);
}

TEST_F(APoisonGiver, LosesAnOrderToResetThatWasNotTaken) {
  give(1 | kPoisonResets);
  EXPECT_FALSE(giver_.advance(now_, false));
  EXPECT_EQ(giver_.progress(), PoisonProgress::lost);
  EXPECT_FALSE(giver_.pending());
}

TEST_F(APoisonGiver, OrdersNoResetOfOneThatWouldOnlyStopItsPools) {
  partner_.capabilities = kCapabilityPoison;
  giver_.ask(1 | kPoisonResets);
  giver_.sees(partner_);
  EXPECT_FALSE(giver_.advance(now_, true));
  EXPECT_EQ(giver_.progress(), PoisonProgress::not_known);
}

}  // namespace
}  // namespace hapair::ccm
