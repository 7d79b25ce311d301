#include "ccm/ports/port_host.h"

#include "tests/unit/ccm/ports/host_rig.h"

namespace hapair::ccm {
namespace {

constexpr PortRef kPort{0, 0};

// A client on each node, with one port that is ready.
class ReadyPort : public TwoPortHosts {
 protected:
  void SetUp() override {
    alpha_client_ = create(alpha_, 0, 11);
    beta_client_ = create(beta_, 0, 22);
    join(kPort, 11, 22);
  }
  RawPort& a() { return alpha_client_.port(); }
  RawPort& b() { return beta_client_.port(); }
  PortTraffic traffic() { return alpha_.host->traffic(kPort); }
  // Everything of both ends that goes on without a client is done.
  void settle() { turns(50); }
  std::uint32_t completed(RawPort& port) { return RawPort::load(port.channel().completed); }
  void destroy(HostNode& node, std::uint64_t life) { node.carry_out(command(PortCommand::Kind::destroy, kPort, life)); }

  RawClient alpha_client_;
  RawClient beta_client_;
};

// ---- memory --------------------------------------------------------------------------------------------------------

TEST_F(ReadyPort, CarriesOperationsInTheirOrderAndEachEndsOnce) {
  std::ranges::fill(a().memory(), std::byte{0x5a});
  std::ranges::fill(b().memory().subspan(32768), std::byte{0x77});
  for (std::uint64_t id = 1; id <= 40; ++id) {
    if (id % 2 == 1) {
      a().write(id, 0, id * 100, 100);
    } else {
      a().read(id, kMemory, 32768, 64);  // into the first staging bytes
    }
  }
  for (std::uint64_t id = 1; id <= 40; ++id) expect_result(a(), id, PortResult::done);
  settle();
  EXPECT_FALSE(a().next());
  EXPECT_EQ(b().memory()[100], std::byte{0x5a});
  EXPECT_EQ(b().memory()[99], std::byte{0});
  EXPECT_EQ(a().staging()[63], std::byte{0x77});
  EXPECT_EQ(a().staging()[64], std::byte{0});
  EXPECT_EQ(traffic().operations, 40U);
  EXPECT_EQ(traffic().bytes, 20U * 100 + 20U * 64);
}

TEST_F(ReadyPort, ALaterWriteToTheSamePlaceLandsLater) {
  for (std::uint64_t i = 0; i < kSubmissionSlots; ++i) {
    std::ranges::fill(a().memory().subspan(i * 512, 512), static_cast<std::byte>(i));
    a().write(i, i * 512, 0, 512);
  }
  for (std::uint64_t i = 0; i < kSubmissionSlots; ++i) expect_result(a(), i, PortResult::done);
  EXPECT_EQ(b().memory()[0], static_cast<std::byte>(kSubmissionSlots - 1));
  EXPECT_EQ(b().memory()[511], static_cast<std::byte>(kSubmissionSlots - 1));
}

TEST_F(ReadyPort, TheWakeIsRaisedForWhatTheClientHasToSeeAndForNothingElse) {
  settle();
  std::uint64_t count = 0;
  (void)!::read(alpha_client_.wake.get(), &count, sizeof count);
  settle();
  EXPECT_LT(::read(alpha_client_.wake.get(), &count, sizeof count), 0);
  a().write(1, 0, 0, 64);
  expect_result(a(), 1, PortResult::done);
  EXPECT_EQ(::read(alpha_client_.wake.get(), &count, sizeof count), static_cast<ssize_t>(sizeof count));
}

TEST_F(ReadyPort, AQueueThatTheClientDoesNotEmptyStandsAndLosesNothing) {
  std::uint64_t submitted = 0;
  const auto fill = [&] {
    for (int i = 0; i < 400; ++i) {
      if (submitted - RawPort::load(a().channel().taken) < kSubmissionSlots) a().write(submitted++, 0, 0, 64);
      turn();
    }
  };
  fill();
  const std::uint32_t before = completed(a());
  EXPECT_LE(before, kCompletionSlots);
  fill();
  EXPECT_EQ(completed(a()), before) << "it waits until the client has read what ended";
  for (std::uint64_t id = 0; id < submitted; ++id) expect_result(a(), id, PortResult::done);
  EXPECT_FALSE(alpha_.told(PortNews::Kind::broken));
}

// ---- what is refused without a word to the partner ----------------------------------------------------------------

TEST_F(ReadyPort, WhatIsOutsideIsRefusedAndTouchesNothing) {
  std::ranges::fill(a().memory(), std::byte{1});
  std::ranges::fill(a().staging(), std::byte{1});
  struct Case {
    std::uint64_t local, remote, bytes;
  };
  constexpr std::uint64_t kHuge = ~std::uint64_t{0};
  constexpr std::array kCases = {
      Case{0, 0, 0},                               // nothing
      Case{0, kMemory, 1},                         // behind the partner's memory
      Case{0, kMemory - 1, 2},                     // over its end
      Case{0, kHuge, 2},                           // a sum that wraps
      Case{0, 1, kHuge},                           // likewise
      Case{kHuge, 0, 2},                           //
      Case{1, 0, kHuge},                           //
      Case{kMemory - 1, 0, 2},                     // half memory, half staging
      Case{kMemory + kStaging, 0, 1},              // behind the staging bytes
      Case{kMemory + kStaging - 1, 0, 2},          // over their end
      Case{kMemory - 4096, 0, 8192},               // memory and staging together
      Case{std::uint64_t{1} << 63U, 0, 4096},      //
      Case{0, std::uint64_t{1} << 63U, 4096},      //
      Case{kMemory, kMemory - 4096, kStaging},     // fits here, not there
      Case{0, 0, (std::uint64_t{1} << 32U) + 64},  // what fits in 32 bits
  };
  for (std::uint64_t i = 0; i < kCases.size(); ++i) {
    const Case& one = kCases.at(i);
    a().write(2 * i, one.local, one.remote, one.bytes);
    a().read(2 * i + 1, one.local, one.remote, one.bytes);
    expect_result(a(), 2 * i, PortResult::outside);
    expect_result(a(), 2 * i + 1, PortResult::outside);
  }
  EXPECT_TRUE(std::ranges::all_of(b().memory(), [](std::byte byte) { return byte == std::byte{0}; }));
  EXPECT_EQ(traffic().refused, 2 * kCases.size());
  a().write(100, kMemory - 1, 0, 1);  // the last byte before the border, and the first behind it
  a().write(101, kMemory, kMemory - 1, 1);
  expect_result(a(), 100, PortResult::done);
  expect_result(a(), 101, PortResult::done);
}

TEST_F(TwoPortHosts, WithoutTheRightNothingIsSent) {
  auto alpha_client = create(alpha_, 0, 11);
  auto beta_client = create(beta_, 0, 22, 1, kPartnerReads);
  join(kPort, 11, 22, kPartnerReads);
  alpha_client.port().write(1, 0, 0, 64);
  expect_result(alpha_client.port(), 1, PortResult::no_right);
  alpha_client.port().read(2, 0, 0, 64);
  expect_result(alpha_client.port(), 2, PortResult::done);
  EXPECT_EQ(beta_.fabric.counters().refused_access, 0U) << "it was not even tried";
}

TEST_F(ReadyPort, AnOperationForAnEarlierStandingNeverTouchesThePartnersMemory) {
  std::ranges::fill(a().memory(), std::byte{1});
  auto stale = RawPort::memory_operation(PortOperation::write, 1, 0, 0, 4096);
  stale.standing = a().standing();
  tell(alpha_, kPort, 11, PortStandingState::ready);  // another exposure of the partner, say
  a().submit(stale);
  expect_result(a(), 1, PortResult::not_ready);
  auto early = RawPort::memory_operation(PortOperation::write, 2, 0, 0, 4096);
  early.standing = a().standing() + 1;
  a().submit(early);
  expect_result(a(), 2, PortResult::not_ready);
  settle();
  EXPECT_TRUE(std::ranges::all_of(b().memory(), [](std::byte byte) { return byte == std::byte{0}; }));
  EXPECT_EQ(traffic().refused, 2U);
}

TEST_F(ReadyPort, WhatWasSubmittedAndWaitedForGrantsIsNotReadyOnceThePortHasMoved) {
  for (std::uint32_t i = 0; i < kMessageSlots; ++i) a().send(i, i);  // more than beta grants
  for (std::uint32_t i = 0; i < kMessageSlots - MessageGrants::kReserved; ++i) expect_result(a(), i, PortResult::done);
  tell(alpha_, kPort, 11, PortStandingState::connecting);
  for (std::uint32_t i = kMessageSlots - MessageGrants::kReserved; i < kMessageSlots; ++i)
    expect_result(a(), i, PortResult::not_ready);
}

// ---- messages ------------------------------------------------------------------------------------------------------

TEST_F(ReadyPort, MessagesArriveInOrderWhileBothSidesSendAsFastAsTheyCan) {
  constexpr std::uint64_t kCount = 2000;
  struct Side {
    RawPort* port;
    std::uint64_t submitted = 0, sent = 0, received = 0;
  };
  std::array sides{Side{&a()}, Side{&b()}};
  const auto work = [&](Side& side) {
    while (const auto completion = side.port->next()) {
      if (completion->kind == static_cast<std::uint32_t>(PortCompletionKind::message)) {
        EXPECT_EQ(completion->bytes, sizeof(std::uint64_t));
        EXPECT_EQ(side.port->message(*completion), side.received++);
        side.port->release();
      } else {
        EXPECT_EQ(completion->id, side.sent++);
        EXPECT_EQ(completion->result, 0U);
      }
    }
    while (side.submitted < kCount && side.submitted - side.sent < kMessageSlots) {
      side.port->send(side.submitted, static_cast<std::uint32_t>(side.submitted % kMessageSlots));
      ++side.submitted;
    }
  };
  EXPECT_TRUE(turn_until([&] {
    for (Side& side : sides) work(side);
    return std::ranges::all_of(sides, [](const Side& side) { return side.sent == kCount && side.received == kCount; });
  })) << sides[0].sent
      << " " << sides[0].received << " " << sides[1].sent << " " << sides[1].received;
  EXPECT_EQ(alpha_.fabric.counters().broken_rules, 0U);
  EXPECT_EQ(beta_.fabric.counters().broken_rules, 0U);
}

TEST_F(ReadyPort, FullQueuesOfSendsAndUnreadMessagesOnBothSidesDoNotBlockEachOtherForEver) {
  for (RawPort* port : {&a(), &b()}) {
    for (std::uint32_t i = 0; i < kSubmissionSlots; ++i) port->send(i, i % kMessageSlots);
  }
  settle();  // neither client reads: both have all that was granted, and wait for more
  constexpr std::uint64_t kGranted = kMessageSlots - MessageGrants::kReserved;
  EXPECT_EQ(RawPort::load(a().channel().taken), kGranted);
  EXPECT_EQ(RawPort::load(b().channel().taken), kGranted);
  std::array<std::uint64_t, 2> received{};
  std::array<std::uint64_t, 2> sent{};
  EXPECT_TRUE(turn_until([&] {
    for (std::size_t i = 0; i < 2; ++i) {
      RawPort& port = i == 0 ? a() : b();
      while (const auto completion = port.next()) {
        if (completion->kind == static_cast<std::uint32_t>(PortCompletionKind::message)) {
          ++received.at(i);
          port.release();
        } else {
          ++sent.at(i);
        }
      }
    }
    return received == std::array{kSubmissionSlots, kSubmissionSlots} && sent == received;
  })) << received[0]
      << " " << received[1];
}

TEST_F(ReadyPort, AMessageThatHadArrivedBeforeTheMemoryWasClosedIsStillDelivered) {
  settle();
  for (std::uint32_t i = 0; i < 5; ++i) a().send(i, i);
  for (int i = 0; i < 5; ++i) alpha_.turn();
  (void)beta_.fabric.poll(beta_.clock.now(), {});  // its fabric takes them, and its host has not looked yet
  for (int i = 0; i < 5; ++i) alpha_.turn();
  for (std::uint64_t i = 0; i < 5; ++i) {
    const auto done = a().next();
    ASSERT_TRUE(done && done->result == 0) << "alpha is told that message " << i << " has arrived";
  }
  ASSERT_FALSE(b().next());
  beta_.carry_out(command(PortCommand::Kind::conceal, kPort, 22));
  for (std::uint64_t i = 0; i < 5; ++i) {
    const auto message = b().next();
    ASSERT_TRUE(message);
    EXPECT_EQ(message->kind, static_cast<std::uint32_t>(PortCompletionKind::message));
    EXPECT_EQ(b().message(*message), i);
  }
}

TEST_F(ReadyPort, MessagesGoOnOverTheNextExposureWithWhatIsUnreadFromBefore) {
  for (std::uint32_t i = 0; i < 20; ++i) a().send(i, i);
  for (std::uint32_t i = 0; i < 20; ++i) expect_result(a(), i, PortResult::done);
  join(kPort, 11, 22);
  for (std::uint32_t i = 20; i < kMessageSlots; ++i) a().send(i, i);
  settle();
  EXPECT_EQ(RawPort::load(a().channel().taken), kMessageSlots - MessageGrants::kReserved) << "20 slots are still full";
  for (std::uint64_t i = 0; i < kMessageSlots; ++i) {
    const PortCompletion message = completion_of(b());
    EXPECT_EQ(b().message(message), i);
    b().release();
  }
}

TEST_F(ReadyPort, AConnectionThatIsLostAndMadeAnewIntoTheSameExposureOverrunsNoBuffer) {
  for (std::uint32_t i = 0; i < 20; ++i) a().send(i, i);
  for (std::uint32_t i = 0; i < 20; ++i) expect_result(a(), i, PortResult::done);
  const std::uint32_t exposure = 1;  // beta's of SetUp
  ASSERT_TRUE(connect(alpha_, kPort, 11, exposure));
  tell(alpha_, kPort, 11, PortStandingState::ready);
  for (std::uint32_t i = 20; i < kMessageSlots; ++i) a().send(i, i);
  settle();
  EXPECT_EQ(beta_.fabric.counters().broken_rules, 0U);
  EXPECT_FALSE(alpha_.told(PortNews::Kind::not_connected));
  for (std::uint64_t i = 0; i < kMessageSlots; ++i) {
    EXPECT_EQ(b().message(completion_of(b())), i);
    b().release();
  }
}

// ---- ends ----------------------------------------------------------------------------------------------------------

TEST_F(ReadyPort, IsDestroyedWhileOperationsAreOutstanding) {
  for (std::uint64_t i = 0; i < kSubmissionSlots; ++i) a().write(i, 0, 0, kMemory);
  alpha_.turn();
  destroy(alpha_, 11);
  destroy(beta_, 22);
  EXPECT_TRUE(turn_until([&] { return alpha_.host->idle() && beta_.host->idle(); }));
}

TEST_F(ReadyPort, ItsSlotIsGivenToTheNextClientAtOnce) {
  for (std::uint64_t i = 0; i < kSubmissionSlots; ++i) a().write(i, 0, 0, kMemory);
  alpha_.turn();
  destroy(alpha_, 11);
  auto next = create(alpha_, 0, 33);
  alpha_.carry_out(command(PortCommand::Kind::drop, kPort, 11));  // late, for the client of before
  join({0, 0}, 33, 22);
  next.port().write(7, 0, 0, 64);
  expect_result(next.port(), 7, PortResult::done);
  EXPECT_FALSE(next.port().next()) << "nothing of the client of before";
}

TEST_F(ReadyPort, ADroppedConnectionEndsEveryOperationOnceAndTheNextBeginsAfterThem) {
  for (std::uint64_t i = 0; i < kSubmissionSlots; ++i) a().write(i, 0, 0, kMemory);
  alpha_.turn();
  const std::uint32_t taken = RawPort::load(a().channel().taken);
  ASSERT_GT(taken, 0U);
  alpha_.carry_out(command(PortCommand::Kind::drop, kPort, 11));
  PortCommand again = command(PortCommand::Kind::connect, kPort, 11);
  again.exposure = 1;
  again.token = port_token(1);
  alpha_.carry_out(again);
  std::uint64_t failed = 0;
  for (std::uint64_t i = 0; i < kSubmissionSlots; ++i) {
    const PortCompletion completion = completion_of(a());
    EXPECT_EQ(completion.id, i);
    if (completion.result == static_cast<std::uint32_t>(PortResult::failed)) ++failed;
  }
  EXPECT_GT(failed, 0U);
  EXPECT_TRUE(turn_until([&] { return alpha_.told(PortNews::Kind::connected).has_value(); }));
}

TEST_F(ReadyPort, ASecondConnectTakesThePlaceOfTheFirst) {
  PortCommand again = command(PortCommand::Kind::connect, kPort, 11);
  again.exposure = 1;
  again.token = port_token(1);
  alpha_.carry_out(again);
  alpha_.carry_out(again);
  EXPECT_TRUE(turn_until([&] { return alpha_.told(PortNews::Kind::connected).has_value(); }));
  tell(alpha_, kPort, 11, PortStandingState::ready);
  a().write(1, 0, 0, 64);
  expect_result(a(), 1, PortResult::done);
}

TEST_F(ReadyPort, AKickThatTheClientStillHoldsDoesNotKeepTheThreadAwakeAfterItsEnd) {
  constexpr std::uint64_t kOne = 1;
  std::array<epoll_event, 4> events{};
  ASSERT_EQ(::write(alpha_client_.kick.get(), &kOne, sizeof kOne), static_cast<ssize_t>(sizeof kOne));
  ASSERT_EQ(::epoll_wait(alpha_.epoll.get(), events.data(), 4, 0), 1);
  alpha_.host->kicked(events[0].data.fd);
  EXPECT_EQ(::epoll_wait(alpha_.epoll.get(), events.data(), 4, 0), 0);
  destroy(alpha_, 11);
  ASSERT_EQ(::write(alpha_client_.kick.get(), &kOne, sizeof kOne), static_cast<ssize_t>(sizeof kOne));
  EXPECT_EQ(::epoll_wait(alpha_.epoll.get(), events.data(), 4, 0), 0);
}

TEST_F(ReadyPort, MemoryThatCannotBeHadIsToldWithItsReason) {
  PortCommand make = command(PortCommand::Kind::create, {1, 0}, 44);
  make.wants = {.ports = 1, .rights = kRights, .memory_bytes = std::uint64_t{1} << 50U};
  alpha_.carry_out(make);
  alpha_.turn();
  const auto told = alpha_.told(PortNews::Kind::not_created);
  ASSERT_TRUE(told);
  EXPECT_NE(name_in(told->text).find("1125899906842624 bytes"), std::string_view::npos) << name_in(told->text);
}

}  // namespace
}  // namespace hapair::ccm
