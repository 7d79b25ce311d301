// What a broken or hostile client writes into the memory that it shares with its CCM.
#include <random>

#include "tests/unit/ccm/ports/host_rig.h"

namespace hapair::ccm {
namespace {

// The hostile one has two ports; beside it an honest client has one.
class HostileClient : public TwoPortHosts {
 protected:
  void SetUp() override {
    hostile_ = create(alpha_, 0, 11, 2);
    honest_ = create(alpha_, 1, 12);
    partner_ = create(beta_, 0, 21, 2);
    honest_partner_ = create(beta_, 1, 22);
    join({0, 0}, 11, 21);
    join({0, 1}, 11, 21);
    join({1, 0}, 12, 22);
    turns(20);
  }
  PortChannel& channel() { return hostile_.port().channel(); }
  static void set(std::uint32_t& word, std::uint32_t value) { RawPort::store(word, value); }
  void expect_turned_away() {
    turns(20);
    EXPECT_TRUE(alpha_.told(PortNews::Kind::broken));
    EXPECT_FALSE(alpha_.told(PortNews::Kind::broken)) << "once";
    // Neither of its ports carries anything any more, in either direction.
    hostile_.port(1).write(77, 0, 0, 64);
    partner_.port(1).write(78, 0, 0, 64);
    turns(20);
    EXPECT_FALSE(hostile_.port(1).next());
    const auto answer = partner_.port(1).next();
    ASSERT_TRUE(answer);
    EXPECT_NE(answer->result, static_cast<std::uint32_t>(PortResult::done));
    expect_others_untouched();
  }
  void expect_others_untouched() {
    EXPECT_FALSE(beta_.told(PortNews::Kind::broken));
    honest_.port().write(1, 0, 0, 64);
    expect_result(honest_.port(), 1, PortResult::done);
    honest_.port().send(2, 0);
    expect_result(honest_.port(), 2, PortResult::done);
    EXPECT_EQ(honest_partner_.port().message(completion_of(honest_partner_.port())), 2U);
  }

  RawClient hostile_;
  RawClient honest_;
  RawClient partner_;
  RawClient honest_partner_;
};

TEST_F(HostileClient, SubmittingMoreThanTheRingHoldsIsTurnedAway) {
  set(channel().submitted, kSubmissionSlots + 1);
  expect_turned_away();
}

TEST_F(HostileClient, ACountOfSubmissionsThatGoesBackIsTurnedAway) {
  set(channel().submitted, 0xffff'ffff);
  expect_turned_away();
}

TEST_F(HostileClient, HavingReadMoreThanWasWrittenIsTurnedAway) {
  set(channel().consumed, RawPort::load(channel().completed) + 1);
  expect_turned_away();
}

TEST_F(HostileClient, HavingReadMoreThanWasWrittenWhileSomethingCompletesIsTurnedAway) {
  hostile_.port().write(1, 0, 0, kMemory);
  alpha_.turn();
  set(channel().consumed, 0x8000'0000);
  expect_turned_away();
}

TEST_F(HostileClient, ReleasingMessagesThatItDoesNotHaveIsTurnedAway) {
  set(channel().released, 1);
  expect_turned_away();
}

TEST_F(HostileClient, AnUnknownOperationIsTurnedAway) {
  for (const std::uint32_t operation : {0U, 4U, 0xffff'ffffU}) {
    hostile_.port().submit(
        {.id = 1, .operation = operation, .slot = 0, .local = 0, .remote = 0, .bytes = 64, .standing = 0, .zero = 0});
    turns(5);
  }
  expect_turned_away();
}

TEST_F(HostileClient, SlotsAndLengthsOutOfRangeAreRefused) {
  PortSubmission message{.id = 1,
                         .operation = static_cast<std::uint32_t>(PortOperation::send),
                         .slot = kMessageSlots,
                         .local = 0,
                         .remote = 0,
                         .bytes = 8,
                         .standing = 0,
                         .zero = 0};
  hostile_.port().submit(message);
  expect_result(hostile_.port(), 1, PortResult::outside);
  message.slot = 0xffff'ffff;
  hostile_.port().submit(message);
  expect_result(hostile_.port(), 1, PortResult::outside);
  message.slot = 0;
  for (const std::uint64_t bytes :
       {std::uint64_t{kMaxMessageBytes + 1}, ~std::uint64_t{0}, ~std::uint64_t{0} - sizeof(MessageHeader) + 1}) {
    message.bytes = bytes;
    hostile_.port().submit(message);
    expect_result(hostile_.port(), 1, PortResult::outside);
  }
  expect_others_untouched();
}

TEST_F(HostileClient, WhatTheCcmWroteIsNotBelievedWhenItIsRead) {
  EXPECT_FALSE(hostile_.port().next());  // it has read how it stands
  const std::uint32_t answers = RawPort::load(channel().completed);
  channel().magic = 0;
  channel().memory_bytes = channel().staging_bytes = ~std::uint64_t{0};
  set(channel().taken, 0x1234'5678);
  set(channel().completed, 0x1234'5678);
  hostile_.port().write(1, 0, kMemory - 1, 2);  // outside, whatever the channel says
  turns(20);
  EXPECT_EQ(channel().completions.at(answers).result, static_cast<std::uint32_t>(PortResult::outside));
  expect_others_untouched();
}

// Forged headers make it send more than its partner has room for: that ends its own connection, and no other.
TEST_F(HostileClient, ForgedGrantsHarmItsOwnPortOnly) {
  for (std::uint32_t i = 0; i < kMessageSlots; ++i) {
    const MessageHeader forged{static_cast<std::uint32_t>(MessageKind::grant), 1, 1'000'000, 0};
    std::memcpy(channel().received.at(i).data(), &forged, sizeof forged);
  }
  for (std::uint32_t round = 0; round < 4; ++round) {
    for (std::uint32_t i = 0; i < kMessageSlots; ++i) hostile_.port().send(i, i);
    for (int t = 0; t < 20; ++t) {
      for (std::uint32_t i = 0; i < kMessageSlots; ++i) {
        const MessageHeader lies{7, 0xffff'ffff, ~std::uint64_t{0}, ~std::uint64_t{0}};
        std::memcpy(channel().sent.at(i).data(), &lies, sizeof lies);
      }
      turn();
    }
    while (hostile_.port().next()) {
    }
  }
  expect_others_untouched();
}

TEST_F(HostileClient, GarbageOverAllOfItsChannelHarmsNobodyElse) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 300; ++round) {
    const std::span<std::byte> bytes(reinterpret_cast<std::byte*>(&channel()), sizeof(PortChannel));
    for (int i = 0; i < 64; ++i) bytes[random() % offsetof(PortChannel, received)] = static_cast<std::byte>(random());
    turn();
    if (round % 50 == 49) {  // the next of its kind
      alpha_.carry_out(command(PortCommand::Kind::destroy, {0, 0}, hostile_.life));
      hostile_ = create(alpha_, 0, 1000 + static_cast<std::uint64_t>(round), 2);
      join({0, 0}, hostile_.life, 21);
    }
  }
  expect_others_untouched();
}

}  // namespace
}  // namespace hapair::ccm
