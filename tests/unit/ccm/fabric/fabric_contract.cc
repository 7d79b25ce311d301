#include "tests/unit/ccm/fabric/fabric_contract.h"

#include <algorithm>
#include <thread>

namespace hapair::ccm {
namespace {

constexpr Duration kPatience = std::chrono::seconds(10);
constexpr std::byte kMark{0x5c};

using Kind = FabricEvent::Kind;

}  // namespace

std::optional<FabricEvent> FabricContract::next_event() {
  const Instant end = clock_.now() + kPatience;
  while (polled_.empty() && clock_.now() < end) {
    std::array<FabricEvent, 2> events;
    const std::size_t count = rig_->fabric().poll(clock_.now(), events);
    polled_.insert(polled_.end(), events.begin(), events.begin() + static_cast<std::ptrdiff_t>(count));
    if (count == 0) std::this_thread::yield();
  }
  if (polled_.empty()) return std::nullopt;
  const FabricEvent event = polled_.front();
  polled_.pop_front();
  return event;
}

void FabricContract::expect_no_event() {
  std::array<FabricEvent, 2> events;
  EXPECT_TRUE(polled_.empty());
  EXPECT_EQ(rig_->fabric().poll(clock_.now(), events), 0U);
}

FabricError FabricContract::connect() {
  rig_->fabric().connect(clock_.now());
  const auto event = next_event();
  if (!event) return FabricError::deadline;
  if (event->kind == Kind::connected) return FabricError::none;
  EXPECT_EQ(event->kind, Kind::not_connected);
  EXPECT_NE(event->error, FabricError::none);
  return event->error;
}

// The first packets over a link that has just come up may be lost, and a fabric may send its own again only later than
// an attempt may take.
FabricError FabricContract::connect_after_heal() {
  FabricError error = connect();
  for (int again = 0; again < 3 && error == FabricError::retry_exceeded; ++again) error = connect();
  return error;
}

void FabricContract::expect_connected() {
  rig_->start_partner(kMark);
  ASSERT_EQ(connect(), FabricError::none);
}

FabricError FabricContract::read(std::span<std::byte> into) {
  const OperationId id(next_id_++);
  if (!rig_->fabric().post_read(clock_.now(), id, RemotePage::status, 0, into)) return FabricError::refused;
  const auto event = next_event();
  if (!event) return FabricError::deadline;
  EXPECT_EQ(event->kind, Kind::read_done);
  EXPECT_EQ(event->operation, id);
  return event->error;
}

FabricError FabricContract::write(std::size_t offset, std::span<const std::byte> from) {
  const OperationId id(next_id_++);
  if (!rig_->fabric().post_write(clock_.now(), id, RemotePage::mailbox, offset, from)) return FabricError::refused;
  const auto event = next_event();
  if (!event) return FabricError::deadline;
  EXPECT_EQ(event->kind, Kind::write_done);
  EXPECT_EQ(event->operation, id);
  return event->error;
}

TEST_P(FabricContract, ExposesTwoPagesOfItsOwn) {
  EXPECT_EQ(rig_->fabric().status_memory().size(), kPageBytes);
  EXPECT_EQ(rig_->fabric().mailbox_memory().size(), kPageBytes);
  EXPECT_EQ(rig_->fabric().last_round_trip(), Duration{});
}

TEST_P(FabricContract, AnAbsentPartnerIsNotListening) {
  EXPECT_EQ(connect(), FabricError::not_listening);
  EXPECT_EQ(connect(), FabricError::not_listening) << "the next attempt gets its own answer";
}

TEST_P(FabricContract, ReadsThePartnersStatusPage) {
  expect_connected();
  std::array<std::byte, kPageBytes> page{};
  EXPECT_EQ(read(page), FabricError::none);
  EXPECT_TRUE(std::ranges::all_of(page, [](std::byte b) { return b == kMark; }));
  EXPECT_GT(rig_->fabric().last_round_trip(), Duration{});
}

TEST_P(FabricContract, WritesIntoThePartnersMailboxAtTheOffset) {
  expect_connected();
  std::array<std::byte, kRecordBytes> record;
  record.fill(std::byte{0x77});
  EXPECT_EQ(write(kRecordBytes, record), FabricError::none);
  const auto mailbox = rig_->partner_mailbox();
  EXPECT_EQ(mailbox[kRecordBytes - 1], std::byte{0});
  EXPECT_EQ(mailbox[kRecordBytes], std::byte{0x77});
  EXPECT_EQ(mailbox[2 * kRecordBytes - 1], std::byte{0x77});
  EXPECT_EQ(mailbox[2 * kRecordBytes], std::byte{0});
}

TEST_P(FabricContract, AStoppedPartnerIsStillReadAndWritten) {
  expect_connected();
  rig_->stop_partner();
  if (!rig_->traits().memory_answers_when_stopped) {
    std::array<std::byte, kPageBytes> page{};
    EXPECT_EQ(read(page), FabricError::retry_exceeded);
    EXPECT_EQ(next_event()->kind, Kind::lost);
    rig_->continue_partner();
    EXPECT_EQ(connect(), FabricError::none);
    EXPECT_EQ(read(page), FabricError::none);
    return;
  }
  std::array<std::byte, kPageBytes> page{};
  EXPECT_EQ(read(page), FabricError::none);
  EXPECT_EQ(page[0], kMark);
  std::array<std::byte, kRecordBytes> record;
  record.fill(std::byte{0x11});
  EXPECT_EQ(write(0, record), FabricError::none);
  rig_->continue_partner();
  EXPECT_EQ(rig_->partner_mailbox()[0], std::byte{0x11});
}

TEST_P(FabricContract, ConnectsToAStoppedPartner) {
  rig_->start_partner(kMark);
  rig_->stop_partner();
  const bool answers = rig_->traits().connects_when_stopped;
  EXPECT_EQ(connect(), answers ? FabricError::none : FabricError::retry_exceeded);
}

TEST_P(FabricContract, AKilledPartnerEndsTheConnection) {
  expect_connected();
  rig_->kill_partner();
  const auto event = next_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, Kind::lost);
  EXPECT_EQ(event->error, FabricError::disconnected);
  EXPECT_EQ(connect(), FabricError::not_listening);
}

TEST_P(FabricContract, AnOperationOnAKilledPartnerFailsAsItsFabricSays) {
  expect_connected();
  rig_->kill_partner();
  std::array<std::byte, kPageBytes> page{};
  EXPECT_EQ(read(page), rig_->traits().killed);
  const auto event = next_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, Kind::lost);
}

TEST_P(FabricContract, AConnectionDoesNotReachIntoThePartnersNextLife) {
  expect_connected();
  rig_->kill_partner();
  rig_->start_partner(std::byte{0x99});
  std::array<std::byte, kPageBytes> page{};
  EXPECT_EQ(read(page), rig_->traits().killed);
  EXPECT_EQ(page[0], std::byte{0}) << "the buffer of a failed read holds nothing of the new life";
  ASSERT_EQ(next_event()->kind, Kind::lost);
  EXPECT_EQ(connect(), FabricError::none);
  EXPECT_EQ(read(page), FabricError::none);
  EXPECT_EQ(page[0], std::byte{0x99});
}

TEST_P(FabricContract, ANewLifesMailboxIsEmpty) {
  expect_connected();
  std::array<std::byte, kRecordBytes> record;
  record.fill(std::byte{0x77});
  EXPECT_EQ(write(0, record), FabricError::none);
  rig_->kill_partner();
  rig_->start_partner(kMark);
  EXPECT_EQ(rig_->partner_mailbox()[0], std::byte{0});
}

TEST_P(FabricContract, ACutPartnerDoesNotAnswer) {
  expect_connected();
  rig_->cut_partner();
  std::array<std::byte, kPageBytes> page{};
  const Instant posted = clock_.now();
  EXPECT_EQ(read(page), FabricError::retry_exceeded);
  EXPECT_GT(clock_.now(), posted);
  EXPECT_EQ(next_event()->kind, Kind::lost);
  EXPECT_EQ(connect(), FabricError::retry_exceeded);
  rig_->heal();
  EXPECT_EQ(connect_after_heal(), FabricError::none);
}

TEST_P(FabricContract, ACutPartnerIsNotToldFromAnAbsentOne) {
  rig_->start_partner(kMark);
  rig_->cut_partner();
  EXPECT_EQ(connect(), FabricError::retry_exceeded);
  rig_->kill_partner();
  EXPECT_EQ(connect(), FabricError::retry_exceeded) << "nobody answers: not even that nobody listens";
}

TEST_P(FabricContract, ItsOwnLinkDownSaysSoAtOnce) {
  expect_connected();
  rig_->cut_own();
  std::array<std::byte, kPageBytes> page{};
  EXPECT_EQ(read(page), FabricError::link_down);
  EXPECT_EQ(next_event()->kind, Kind::lost);
  EXPECT_EQ(connect(), FabricError::link_down);
  rig_->heal();
  EXPECT_EQ(connect_after_heal(), FabricError::none);
}

TEST_P(FabricContract, OperationsCompleteOnceAndInTheirOrder) {
  expect_connected();
  std::vector<std::array<std::byte, kRecordBytes>> buffers(8);
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    ASSERT_TRUE(rig_->fabric().post_read(clock_.now(), OperationId(100 + i), RemotePage::status, 0, buffers[i]));
  }
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const auto event = next_event();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->operation, OperationId(100 + i));
    EXPECT_EQ(event->error, FabricError::none);
    EXPECT_EQ(buffers[i][0], kMark);
  }
  expect_no_event();
}

TEST_P(FabricContract, DropCompletesWhatIsOutstandingAndNothingElse) {
  expect_connected();
  rig_->cut_partner();
  std::array<std::byte, kPageBytes> page{};
  std::array<std::byte, kRecordBytes> record{};
  ASSERT_TRUE(rig_->fabric().post_read(clock_.now(), OperationId(1), RemotePage::status, 0, page));
  ASSERT_TRUE(rig_->fabric().post_write(clock_.now(), OperationId(2), RemotePage::mailbox, 0, record));
  rig_->fabric().drop(clock_.now());
  std::vector<std::uint64_t> completed;
  for (int i = 0; i < 2; ++i) {
    const auto event = next_event();
    ASSERT_TRUE(event);
    EXPECT_EQ(event->error, FabricError::disconnected);
    completed.push_back(event->operation.value());
  }
  std::ranges::sort(completed);
  EXPECT_EQ(completed, (std::vector<std::uint64_t>{1, 2}));
  expect_no_event();
  rig_->heal();
  EXPECT_EQ(connect_after_heal(), FabricError::none);
}

TEST_P(FabricContract, DropAnswersAnAttemptAsNotConnected) {
  rig_->start_partner(kMark);
  rig_->fabric().connect(clock_.now());
  rig_->fabric().drop(clock_.now());
  const auto event = next_event();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, Kind::not_connected);
  expect_no_event();
  EXPECT_EQ(connect(), FabricError::none);
}

TEST_P(FabricContract, DropWithoutAConnectionIsHarmless) {
  rig_->fabric().drop(clock_.now());
  expect_no_event();
}

TEST_P(FabricContract, PostsNothingWithoutAConnection) {
  std::array<std::byte, kPageBytes> page{};
  EXPECT_FALSE(rig_->fabric().post_read(clock_.now(), OperationId(1), RemotePage::status, 0, page));
  expect_no_event();
}

TEST_P(FabricContract, AFullQueueRefusesAndTheAcceptedOnesComplete) {
  expect_connected();
  std::array<std::byte, kPageBytes> page{};
  std::size_t accepted = 0;
  while (accepted < 10'000 &&
         rig_->fabric().post_read(clock_.now(), OperationId(accepted + 1), RemotePage::status, 0, page)) {
    ++accepted;
  }
  ASSERT_GT(accepted, 0U);
  ASSERT_LT(accepted, 10'000U);
  for (std::size_t i = 0; i < accepted; ++i) ASSERT_EQ(next_event()->operation, OperationId(i + 1));
  expect_no_event();
}

TEST_P(FabricContract, TheStatusPageIsNotForWriting) {
  expect_connected();
  std::array<std::byte, kRecordBytes> record{};
  ASSERT_TRUE(rig_->fabric().post_write(clock_.now(), OperationId(1), RemotePage::status, 0, record));
  EXPECT_EQ(next_event()->error, rig_->traits().no_right);
  EXPECT_EQ(next_event()->kind, Kind::lost);
  std::array<std::byte, kPageBytes> page{};
  ASSERT_EQ(connect(), FabricError::none);
  EXPECT_EQ(read(page), FabricError::none);
  EXPECT_EQ(page[0], kMark);
}

}  // namespace hapair::ccm
