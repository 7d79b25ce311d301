#include "tests/unit/ccm/fabric/port_fabric_contract.h"

#include <poll.h>

#include <algorithm>
#include <cstdint>

namespace hapair::ccm {
namespace {

using Kind = PortEvent::Kind;
using enum FabricError;

constexpr PortId kOther{8};

std::vector<std::byte> pattern(std::size_t bytes, std::uint8_t seed) {
  std::vector<std::byte> out(bytes);
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>((i * 31 + seed + i / 251) & 0xffU);
  return out;
}

}  // namespace

PortToken PortFabricContract::token(std::uint8_t mark) {
  PortToken bytes{};
  bytes.fill(mark);
  return bytes;
}

void PortFabricContract::expose(bool reads, bool writes) {
  const auto added = rig_->partner().add(kPort, token(1), memory_.exposure(reads, writes));
  ASSERT_TRUE(added) << added.error();
  const auto own = rig_->own().add(kPort, token(2), {});
  ASSERT_TRUE(own) << own.error();
}

void PortFabricContract::expect_connected() {
  rig_->own().connect(clock_.now(), kPort, token(1));
  const auto event = own_event();
  ASSERT_TRUE(event);
  ASSERT_EQ(event->kind, Kind::connected) << text_of(event->error);
  EXPECT_EQ(event->port, kPort);
  EXPECT_EQ(event->bytes, memory_.size());
  expect_partner_event(Kind::partner_in);
}

void PortFabricContract::turn(bool partner_too) {
  std::array<pollfd, 2> fds{
      {{rig_->own().poll_fd(), POLLIN, 0}, {partner_too ? rig_->partner().poll_fd() : -1, POLLIN, 0}}};
  ::poll(fds.data(), fds.size(), 1);
  std::array<PortEvent, 8> events;
  std::size_t count = rig_->own().poll(clock_.now(), events);
  own_events_.insert(own_events_.end(), events.begin(), events.begin() + count);
  if (!partner_too) return;
  rig_->as_partner([&] { count = rig_->partner().poll(clock_.now(), events); });
  partner_events_.insert(partner_events_.end(), events.begin(), events.begin() + count);
}

namespace {

std::optional<PortEvent> take(std::deque<PortEvent>& from) {
  if (from.empty()) return std::nullopt;
  const PortEvent event = from.front();
  from.pop_front();
  return event;
}

}  // namespace

std::optional<PortEvent> PortFabricContract::own_event(bool partner_turns) {
  const Instant until = clock_.now() + std::chrono::seconds(10);
  while (own_events_.empty() && clock_.now() < until) turn(partner_turns);
  return take(own_events_);
}

std::optional<PortEvent> PortFabricContract::partner_event() {
  const Instant until = clock_.now() + std::chrono::seconds(10);
  while (partner_events_.empty() && clock_.now() < until) turn();
  return take(partner_events_);
}

void PortFabricContract::expect_event(PortEvent::Kind kind, FabricError error, bool partner_turns) {
  const auto event = own_event(partner_turns);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, kind);
  EXPECT_EQ(event->error, error) << text_of(event->error);
}

void PortFabricContract::expect_partner_event(PortEvent::Kind kind) {
  const auto event = partner_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, kind);
  EXPECT_EQ(event->port, kPort);
}

void PortFabricContract::expect_done(std::uint64_t count, FabricError first, FabricError others, bool partner_turns) {
  for (std::uint64_t id = 1; id <= count; ++id) {
    const auto event = own_event(partner_turns);
    ASSERT_TRUE(event) << id;
    ASSERT_EQ(event->kind, Kind::done) << id;
    EXPECT_EQ(event->operation, OperationId(id));
    const FabricError expected = id == 1 ? first : others;
    EXPECT_EQ(event->error, expected) << id << ": " << text_of(event->error);
  }
}

std::uint64_t PortFabricContract::fill_queue(std::span<const std::byte> from) {
  std::uint64_t count = 0;
  while (rig_->own().post_write(clock_.now(), kPort, OperationId(count + 1), 0, from)) ++count;
  return count;
}

TEST_P(PortFabricContract, WritesAndReadsInTheOrderOfPosting) {
  expose();
  expect_connected();
  const auto first = pattern(4096, 1);
  const auto second = pattern(100, 2);
  std::vector<std::byte> read(4096);
  PortFabric& own = rig_->own();
  const Instant now = clock_.now();
  ASSERT_TRUE(own.post_write(now, kPort, OperationId(1), 1000, first));
  ASSERT_TRUE(own.post_write(now, kPort, OperationId(2), 1050, second));  // over a part of it
  ASSERT_TRUE(own.post_read(now, kPort, OperationId(3), 1000, read));     // sees both
  expect_done(3, none, none);
  auto expected = first;
  std::ranges::copy(second, expected.begin() + 50);
  EXPECT_EQ(read, expected);
  EXPECT_TRUE(std::ranges::equal(expected, memory_.bytes().subspan(1000, 4096)));
  EXPECT_EQ(memory_[999], std::byte{0});
  EXPECT_EQ(memory_[5096], std::byte{0});
}

TEST_P(PortFabricContract, RefusesAWrongTokenAndAPortThatIsNotThere) {
  expose();
  PortToken almost = token(1);
  almost.back() ^= 1;
  const std::uint64_t before = rig_->partner().counters().refused_tokens;
  rig_->own().connect(clock_.now(), kPort, almost);
  expect_event(Kind::not_connected, refused);
  rig_->own().connect(clock_.now(), kPort, token(2));  // its own
  expect_event(Kind::not_connected, refused);
  rig_->partner().remove(clock_.now(), kPort);
  rig_->own().connect(clock_.now(), kPort, token(1));
  expect_event(Kind::not_connected, refused);
  EXPECT_EQ(rig_->partner().counters().refused_tokens, before + 3);
  EXPECT_TRUE(partner_events_.empty());
}

TEST_P(PortFabricContract, CarriesLargeTransfersUnchanged) {
  constexpr std::size_t kLarge = std::size_t{1} << 20U;
  constexpr std::uint64_t kCount = 24;
  memory_.assign(4 * kLarge, std::byte{0});
  expose();
  expect_connected();
  const std::array sources{pattern(kLarge, 0), pattern(kLarge, 1), pattern(kLarge, 2), pattern(kLarge, 3)};
  std::uint64_t posted = 0;
  for (std::uint64_t done = 0; done < kCount; ++done) {
    while (posted < kCount && posted < done + 4) {
      ASSERT_TRUE(rig_->own().post_write(clock_.now(), kPort, OperationId(posted + 1), posted % 4 * kLarge,
                                         sources[(posted + posted / 4) % 4]));
      ++posted;
    }
    const auto event = own_event();
    ASSERT_TRUE(event);
    ASSERT_EQ(event->error, none) << text_of(event->error);
    ASSERT_EQ(event->operation, OperationId(done + 1));
    const auto& expected = sources[(done + done / 4) % 4];
    if (posted > done + 1) continue;  // its memory may have been written again
    EXPECT_TRUE(std::ranges::equal(expected, memory_.bytes().subspan(done % 4 * kLarge, kLarge)));
  }
  std::vector<std::byte> back(4 * kLarge);
  ASSERT_TRUE(rig_->own().post_read(clock_.now(), kPort, OperationId(1), 0, back));
  expect_done(1, none, none);
  EXPECT_TRUE(std::ranges::equal(back, memory_.bytes()));
}

TEST_P(PortFabricContract, DeliversMessagesInOrderIntoTheBuffersInOrder) {
  expose();
  std::array<std::vector<std::byte>, 4> buffers;
  for (auto& buffer : buffers) buffer.assign(PortFabric::kMaxMessage, std::byte{0xee});
  PortFabric& partner = rig_->partner();
  ASSERT_TRUE(partner.post_receive(kPort, OperationId(10), buffers[0]));  // before the connection
  expect_connected();
  for (std::uint64_t i = 1; i < 4; ++i) ASSERT_TRUE(partner.post_receive(kPort, OperationId(10 + i), buffers.at(i)));
  const std::array<std::size_t, 4> sizes{1, PortFabric::kMaxMessage, 0, 100};
  for (std::uint64_t i = 0; i < 4; ++i) {
    const auto message = pattern(sizes.at(i), static_cast<std::uint8_t>(i));
    ASSERT_TRUE(rig_->own().post_send(clock_.now(), kPort, OperationId(i + 1), message)) << i;
    const auto event = partner_event();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->kind, Kind::received);
    EXPECT_EQ(event->operation, OperationId(10 + i));
    ASSERT_EQ(event->bytes, sizes.at(i));
    EXPECT_TRUE(std::ranges::equal(message, std::span(buffers.at(i)).first(message.size())));
    const auto done = own_event();  // the message's memory is the caller's again
    ASSERT_TRUE(done);
    EXPECT_EQ(done->operation, OperationId(i + 1));
    EXPECT_EQ(done->error, none);
  }
  const auto too_long = pattern(PortFabric::kMaxMessage + 1, 0);
  EXPECT_FALSE(rig_->own().post_send(clock_.now(), kPort, OperationId(9), too_long));
}

TEST_P(PortFabricContract, ServesBothDirectionsAtOnce) {
  ExposedMemory own_memory(kBytes);
  ASSERT_TRUE(rig_->partner().add(kPort, token(1), memory_.exposure()));
  ASSERT_TRUE(rig_->own().add(kPort, token(2), own_memory.exposure()));
  rig_->own().connect(clock_.now(), kPort, token(1));
  rig_->as_partner([this] { rig_->partner().connect(clock_.now(), kPort, token(2)); });
  for (const auto* events : {&own_events_, &partner_events_}) {
    for (int i = 0; i < 10000 && events->size() < 2; ++i) turn();
    ASSERT_EQ(events->size(), 2U);
    EXPECT_TRUE(std::ranges::any_of(*events, [](const PortEvent& one) { return one.kind == Kind::connected; }));
    EXPECT_TRUE(std::ranges::any_of(*events, [](const PortEvent& one) { return one.kind == Kind::partner_in; }));
  }
  own_events_.clear();
  partner_events_.clear();
  const auto one = pattern(kBytes, 1);
  const auto two = pattern(kBytes, 2);
  ASSERT_TRUE(rig_->own().post_write(clock_.now(), kPort, OperationId(1), 0, one));
  ASSERT_TRUE(rig_->partner().post_write(clock_.now(), kPort, OperationId(1), 0, two));
  expect_done(1, none, none);
  expect_partner_event(Kind::done);
  EXPECT_TRUE(std::ranges::equal(memory_.bytes(), one));
  EXPECT_TRUE(std::ranges::equal(own_memory.bytes(), two));
}

TEST_P(PortFabricContract, AWriteWithoutTheRightEndsTheConnectionAndChangesNothing) {
  expose(true, false);
  expect_connected();
  const auto bytes = pattern(100, 1);
  ASSERT_TRUE(rig_->own().post_write(clock_.now(), kPort, OperationId(1), 0, bytes));
  expect_done(1, rig_->traits().no_right, none);
  expect_event(Kind::lost, rig_->traits().no_right);
  EXPECT_TRUE(std::ranges::all_of(memory_.bytes(), [](std::byte one) { return one == std::byte{0}; }));
  expect_partner_event(Kind::partner_out);
  if (rig_->traits().counts_access) {
    EXPECT_EQ(rig_->partner().counters().refused_access, 1U);
  }
  expect_connected();  // and it may come again
  std::vector<std::byte> read(100, std::byte{0xee});
  ASSERT_TRUE(rig_->own().post_read(clock_.now(), kPort, OperationId(1), 0, read));
  expect_done(1, none, none);
}

TEST_P(PortFabricContract, AReadWithoutTheRightShowsNothing) {
  if (!rig_->traits().guards_reads) GTEST_SKIP() << "this device does not look at the right to read";
  memory_.assign(kBytes, std::byte{0x5e});
  expose(false, true);
  expect_connected();
  std::vector<std::byte> read(100);
  const auto bytes = pattern(10, 1);
  ASSERT_TRUE(rig_->own().post_write(clock_.now(), kPort, OperationId(1), 0, bytes));
  expect_done(1, none, none);
  ASSERT_TRUE(rig_->own().post_read(clock_.now(), kPort, OperationId(1), 0, read));
  expect_done(1, rig_->traits().no_right, none);
  expect_event(Kind::lost, rig_->traits().no_right);
  EXPECT_TRUE(std::ranges::all_of(read, [](std::byte one) { return one == std::byte{0}; }));
}

TEST_P(PortFabricContract, RefusesToPostOutsideThePartnersMemory) {
  expose();
  const auto bytes = pattern(100, 1);
  EXPECT_FALSE(rig_->own().post_write(clock_.now(), kPort, OperationId(1), 0, bytes)) << "not connected";
  expect_connected();
  EXPECT_FALSE(rig_->own().post_write(clock_.now(), kPort, OperationId(1), kBytes - 99, bytes));
  EXPECT_FALSE(rig_->own().post_write(clock_.now(), kPort, OperationId(1), ~std::uint64_t{0} - 50, bytes));
  std::vector<std::byte> read(100);
  EXPECT_FALSE(rig_->own().post_read(clock_.now(), kPort, OperationId(1), kBytes - 99, read));
  EXPECT_FALSE(rig_->own().post_write(clock_.now(), kOther, OperationId(1), 0, bytes)) << "no such port";
  ASSERT_TRUE(rig_->own().post_write(clock_.now(), kPort, OperationId(1), kBytes - 100, bytes));
  expect_done(1, none, none);
}

TEST_P(PortFabricContract, HoldsAQueueOfItsDepthAndNoMore) {
  expose();
  expect_connected();
  const auto bytes = pattern(64, 1);
  EXPECT_EQ(fill_queue(bytes), PortFabric::kQueueDepth);
  expect_done(PortFabric::kQueueDepth, none, none);
  EXPECT_EQ(fill_queue(bytes), PortFabric::kQueueDepth);
  expect_done(PortFabric::kQueueDepth, none, none);
  std::vector<std::byte> buffer(PortFabric::kMaxMessage);
  for (std::uint64_t i = 0; i < PortFabric::kMaxReceives; ++i) {
    ASSERT_TRUE(rig_->partner().post_receive(kPort, OperationId(i), buffer)) << i;
  }
  EXPECT_FALSE(rig_->partner().post_receive(kPort, OperationId(99), buffer));
}

TEST_P(PortFabricContract, EachOperationEndsOnceWhereThePartnerIsKilled) {
  const auto bytes = pattern(16384, 1);
  expose();
  expect_connected();
  const std::uint64_t count = fill_queue(bytes);
  rig_->restart_partner();
  partner_events_.clear();
  // Some may have been placed before; what was not says so, and all behind it too.
  FabricError seen = none;
  for (std::uint64_t id = 1; id <= count; ++id) {
    const auto event = own_event();
    ASSERT_TRUE(event) << id;
    ASSERT_EQ(event->kind, Kind::done);
    ASSERT_EQ(event->operation, OperationId(id));
    if (seen == none && event->error != none) {
      EXPECT_EQ(event->error, rig_->traits().killed) << text_of(event->error);
    } else if (seen != none) {
      EXPECT_EQ(event->error, disconnected);
    }
    seen = event->error;
  }
  expect_event(Kind::lost, rig_->traits().killed);
  rig_->own().connect(clock_.now(), kPort, token(1));  // the new one has not added the port yet
  expect_event(Kind::not_connected, refused);
  ASSERT_TRUE(rig_->partner().add(kPort, token(1), memory_.exposure()));
  expect_connected();
}

TEST_P(PortFabricContract, APartnerThatStandsIsNotWaitedForBeyondTheLimit) {
  memory_.assign(std::size_t{1} << 20U, std::byte{0});
  const auto bytes = pattern(memory_.size(), 1);
  expose();
  expect_connected();
  const std::uint64_t count = fill_queue(bytes);
  const FabricError expected = rig_->traits().stopped;
  if (expected == none) {
    expect_done(count, none, none, false);
  } else {
    expect_done(count, expected, disconnected, false);
    expect_event(Kind::lost, expected, false);
  }
}

TEST_P(PortFabricContract, ACutPartnerIsLostAndComesBack) {
  expose();
  expect_connected();
  rig_->cut_partner();
  const auto bytes = pattern(100, 1);
  ASSERT_TRUE(rig_->own().post_write(clock_.now(), kPort, OperationId(1), 0, bytes));
  ASSERT_TRUE(rig_->own().post_write(clock_.now(), kPort, OperationId(2), 0, bytes));
  expect_done(2, retry_exceeded, disconnected);
  expect_event(Kind::lost, retry_exceeded);
  rig_->heal();
  rig_->own().connect(clock_.now(), kPort, token(1));
  expect_event(Kind::connected, none);
  ASSERT_TRUE(rig_->own().post_write(clock_.now(), kPort, OperationId(1), 0, bytes));
  expect_done(1, none, none);
}

TEST_P(PortFabricContract, AnOwnLinkThatIsDownIsCalledThat) {
  expose();
  expect_connected();
  rig_->cut_own();
  const auto bytes = pattern(100, 1);
  rig_->own().post_write(clock_.now(), kPort, OperationId(1), 0, bytes);
  expect_done(1, link_down, none);
  expect_event(Kind::lost, link_down);
  rig_->own().connect(clock_.now(), kPort, token(1));
  expect_event(Kind::not_connected, link_down);
  rig_->heal();
}

TEST_P(PortFabricContract, DropCompletesWhatIsOutstandingAndAnotherConnectionMayFollow) {
  expose();
  expect_connected();
  const auto bytes = pattern(1000, 1);
  ASSERT_TRUE(rig_->own().post_write(clock_.now(), kPort, OperationId(1), 0, bytes));
  ASSERT_TRUE(rig_->own().post_write(clock_.now(), kPort, OperationId(2), 0, bytes));
  rig_->own().drop(clock_.now(), kPort);
  EXPECT_FALSE(rig_->own().post_write(clock_.now(), kPort, OperationId(3), 0, bytes));
  expect_done(2, disconnected, disconnected);
  expect_partner_event(Kind::partner_out);
  expect_connected();
  EXPECT_TRUE(own_events_.empty());
}

TEST_P(PortFabricContract, PostedReceiveBuffersOutliveTheConnection) {
  expose();
  std::array<std::vector<std::byte>, 2> buffers;
  for (std::uint64_t i = 0; i < 2; ++i) {
    buffers.at(i).resize(PortFabric::kMaxMessage);
    ASSERT_TRUE(rig_->partner().post_receive(kPort, OperationId(10 + i), buffers.at(i)));
  }
  for (std::uint64_t i = 0; i < 2; ++i) {
    expect_connected();
    const auto message = pattern(10, static_cast<std::uint8_t>(i));
    ASSERT_TRUE(rig_->own().post_send(clock_.now(), kPort, OperationId(1), message));
    const auto event = partner_event();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->operation, OperationId(10 + i));
    expect_done(1, none, none);
    rig_->own().drop(clock_.now(), kPort);
    expect_partner_event(Kind::partner_out);
  }
}

TEST_P(PortFabricContract, ARemovedPortIsGoneForThePartnerAndMayBeAddedAnew) {
  expose();
  expect_connected();
  rig_->partner().remove(clock_.now(), kPort);
  ASSERT_TRUE(rig_->partner().add(kPort, token(3), memory_.exposure()));
  const auto bytes = pattern(10, 1);
  rig_->own().post_write(clock_.now(), kPort, OperationId(1), 0, bytes);
  auto event = own_event();
  ASSERT_TRUE(event);
  if (event->kind == Kind::done) event = own_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, Kind::lost);
  rig_->own().connect(clock_.now(), kPort, token(1));  // the old one's token
  expect_event(Kind::not_connected, refused);
  rig_->own().connect(clock_.now(), kPort, token(3));
  expect_event(Kind::connected, none);
  EXPECT_EQ(memory_[0], std::byte{0});
}

TEST_P(PortFabricContract, PortsDoNotDisturbEachOther) {
  expose(true, false);
  ExposedMemory other(kBytes);
  ASSERT_TRUE(rig_->partner().add(kOther, token(4), other.exposure()));
  ASSERT_TRUE(rig_->own().add(kOther, token(5), {}));
  expect_connected();
  rig_->own().connect(clock_.now(), kOther, token(4));
  expect_event(Kind::connected, none);
  const auto bytes = pattern(100, 3);
  ASSERT_TRUE(rig_->own().post_write(clock_.now(), kPort, OperationId(1), 0, bytes));
  expect_done(1, rig_->traits().no_right, none);
  expect_event(Kind::lost, rig_->traits().no_right);
  ASSERT_TRUE(rig_->own().post_write(clock_.now(), kOther, OperationId(1), 0, bytes));
  const auto event = own_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->port, kOther);
  EXPECT_EQ(event->error, none);
  EXPECT_TRUE(std::ranges::equal(bytes, other.bytes().first(100)));
}

}  // namespace hapair::ccm
