#include "ccm/daemon/rail.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ccm/base/crc32c.h"
#include "ccm/base/random.h"
#include "ccm/daemon/poison_keeper.h"
#include "ccm/wire/mac.h"
#include "ccm/wire/observation_ring.h"
#include "tests/unit/ccm/temp_folder.h"
#include "tests/unit/ccm/watchdog/simulated_watchdog.h"

namespace hapair::ccm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Record = std::array<std::byte, kRecordBytes>;

// Two nodes' memories, each in the other's reach; an operation is done when it is posted, and polled later.
class NearFabric final : public Fabric {
 public:
  void meet(NearFabric& other) { other_ = &other; }

  std::expected<void, std::string> open() override { return {}; }
  std::span<std::byte> status_memory() override { return status_; }
  std::span<std::byte> mailbox_memory() override { return mailbox_; }
  void connect(Instant) override {
    events_.push_back({FabricEvent::Kind::connected, OperationId(0), FabricError::none});
  }
  void drop(Instant) override {}
  bool post_read(Instant, OperationId id, RemotePage, std::size_t offset, std::span<std::byte> into) override {
    std::memcpy(into.data(), other_->status_.data() + offset, into.size());
    read_bytes.push_back(into.size());
    events_.push_back({FabricEvent::Kind::read_done, id, std::exchange(next_error, FabricError::none)});
    return true;
  }
  bool post_write(Instant, OperationId id, RemotePage, std::size_t offset, std::span<const std::byte> from) override {
    std::memcpy(other_->mailbox_.data() + offset, from.data(), from.size());
    events_.push_back({FabricEvent::Kind::write_done, id, FabricError::none});
    return true;
  }
  std::size_t poll(Instant, std::span<FabricEvent> into) override {
    std::size_t count = 0;
    for (; count < into.size() && !events_.empty(); ++count) {
      into[count] = events_.front();
      events_.pop_front();
    }
    return count;
  }
  [[nodiscard]] int poll_fd() const override { return -1; }
  [[nodiscard]] Duration last_round_trip() const override { return milliseconds(1); }
  [[nodiscard]] std::string_view device() const override { return "near"; }
  [[nodiscard]] std::string_view kind() const override { return "sim"; }

  std::vector<std::size_t> read_bytes;
  FabricError next_error = FabricError::none;  // of the next read

 private:
  alignas(64) std::array<std::byte, kPageBytes> status_{};
  alignas(64) std::array<std::byte, kPageBytes> mailbox_{};
  NearFabric* other_ = nullptr;
  std::deque<FabricEvent> events_;
};

struct Node {
  Node(const char* name, const char* partner, std::uint64_t incarnation, const Key& key)
      : rail(RailId(0), *RailName::parse("r0"),
             {*PairName::parse("pair"), *NodeName::parse(name), *NodeName::parse(partner), Incarnation(incarnation),
              BootId{{1}}},
             {milliseconds(10), milliseconds(100)}, key, fabric, random),
        writer(*ring),
        reader(*ring) {
    StatusPageLayout& page = rail.page();
    put_name(page.pair, "pair");
    put_name(page.node, name);
    page.incarnation = incarnation;
    page.boot_id[0] = 1;
    rail.set_observations(writer);
  }
  // The serial of the agent's block in each page of the session that was observed since the last call.
  std::vector<std::uint64_t> serials_seen() {
    std::vector<std::uint64_t> serials;
    ObservationLayout seen{};
    while (reader.next(seen)) {
      if (seen.proof != static_cast<std::uint8_t>(PageProof::session)) continue;
      const auto page = parse_status_page(std::as_bytes(std::span(seen.page)));
      if (page) serials.push_back(page->agent.serial);
    }
    return serials;
  }

  NearFabric fabric;
  SystemRandom random;
  Rail rail;
  std::unique_ptr<ObservationRing> ring = std::make_unique<ObservationRing>();
  ObservationWriter writer;
  ObservationReader reader;
};

class RailTest : public ::testing::Test {
 protected:
  RailTest() {
    alpha_.fabric.meet(beta_.fabric);
    beta_.fabric.meet(alpha_.fabric);
  }
  void turn() {
    now_ += milliseconds(10);
    for (Node* node : {&beta_, &alpha_}) {
      ++node->rail.page().ccm_beat;
      node->rail.publish(now_);
      node->rail.turn(now_, true, Duration{});
    }
  }
  void connect() {
    for (int i = 0; i < 20; ++i) turn();
    ASSERT_EQ(alpha_.rail.handshake().state(), HandshakeState::connected);
    ASSERT_FALSE(alpha_.serials_seen().empty());
    alpha_.fabric.read_bytes.clear();
  }

  static Key key() {
    static constexpr std::array<std::byte, 32> kSecret{};
    return Key::from_secret(kSecret);
  }
  Instant now_ = Instant(seconds(50));
  Node alpha_{"alpha", "beta", 11, key()};
  Node beta_{"beta", "alpha", 22, key()};
};

TEST_F(RailTest, ReadsWhatSeldomChangesOnlyWhereItChanged) {
  connect();
  for (int i = 0; i < 5; ++i) turn();
  EXPECT_EQ(alpha_.fabric.read_bytes, std::vector<std::size_t>(5, kStillFrom));
  EXPECT_EQ(alpha_.serials_seen(), std::vector<std::uint64_t>(5, 0));
  alpha_.fabric.read_bytes.clear();

  beta_.rail.page().agent.serial = 7;
  turn();
  EXPECT_EQ(alpha_.fabric.read_bytes, (std::vector<std::size_t>{kStillFrom, kPageBytes}));
  EXPECT_EQ(alpha_.serials_seen(), std::vector<std::uint64_t>{7}) << "seen at once, and whole";
  turn();
  EXPECT_EQ(alpha_.fabric.read_bytes.back(), kStillFrom);
  EXPECT_EQ(alpha_.serials_seen(), std::vector<std::uint64_t>{7});
}

TEST_F(RailTest, ReadsAWholePageWhereTheFirstPartIsNotOfTheSession) {
  connect();
  const std::span<std::byte> page = beta_.fabric.status_memory();
  std::vector<std::byte> kept(page.begin(), page.end());
  std::ranges::fill(page, std::byte{0});  // as of a CCM that ends
  now_ += milliseconds(10);
  alpha_.rail.turn(now_, true, Duration{});
  EXPECT_EQ(alpha_.fabric.read_bytes, (std::vector<std::size_t>{kStillFrom, kPageBytes}));
  EXPECT_TRUE(alpha_.serials_seen().empty());
  std::ranges::copy(kept, page.begin());
  alpha_.fabric.read_bytes.clear();
  turn();
  ASSERT_FALSE(alpha_.fabric.read_bytes.empty());
  EXPECT_EQ(alpha_.fabric.read_bytes.front(), kPageBytes) << "what it knew of the page counts no more";
}

TEST_F(RailTest, WhatItKnewOfAPageEndsWithTheSession) {
  connect();
  alpha_.fabric.next_error = FabricError::remote_access;
  turn();
  ASSERT_NE(alpha_.rail.handshake().state(), HandshakeState::connected);
  alpha_.fabric.read_bytes.clear();
  for (int i = 0; i < 20; ++i) turn();
  ASSERT_EQ(alpha_.rail.handshake().state(), HandshakeState::connected);
  EXPECT_EQ(alpha_.fabric.read_bytes.front(), kPageBytes);
  EXPECT_EQ(alpha_.fabric.read_bytes.back(), kStillFrom);
}

TEST_F(RailTest, HasNewsWhereAPageTellsMoreThanThatThePartnerBeats) {
  connect();
  turn();
  (void)alpha_.rail.take_news();
  EXPECT_EQ(alpha_.rail.take_news(), RailNews::none);
  turn();
  EXPECT_EQ(alpha_.rail.take_news(), RailNews::as_before);
  EXPECT_TRUE(alpha_.rail.shows_partner());
  ++beta_.rail.page().agent.serial;
  turn();
  EXPECT_EQ(alpha_.rail.take_news(), RailNews::some);
  alpha_.fabric.next_error = FabricError::remote_access;
  turn();
  EXPECT_EQ(alpha_.rail.take_news(), RailNews::some);
  EXPECT_FALSE(alpha_.rail.shows_partner());
}

class RailPoison : public RailTest {
 protected:
  std::span<std::byte> slot() {
    return beta_.fabric.mailbox_memory().subspan(record_offset(RecordKind::poison), kRecordBytes);
  }
  std::optional<PoisonOrder> taken(const PoisonOrder& newest = {}) { return beta_.rail.take_poison(now_, newest); }
  // What alpha writes for its `serial`.
  Record give(std::uint64_t serial, bool withdrawn = false) {
    alpha_.rail.give_poison({serial, withdrawn});
    turn();
    Record bytes{};
    std::ranges::copy(slot(), bytes.begin());
    return bytes;
  }
  const RefusalCounters& refused() { return beta_.rail.handshake().refused(); }
};

TEST_F(RailPoison, AnOrderIsTakenOnceAndOnlyWhereItIsNewer) {
  connect();
  EXPECT_FALSE(taken());
  give(5);
  const PoisonOrder order{Incarnation(11), 5};
  EXPECT_EQ(taken(), order);
  EXPECT_FALSE(taken(order));
  give(6);
  EXPECT_FALSE(taken(PoisonOrder{Incarnation(11), 6})) << "it came over another rail already";
  give(7);
  EXPECT_EQ(taken(order), (PoisonOrder{Incarnation(11), 7}));
  EXPECT_EQ(refused().stale + refused().key + refused().malformed + refused().identity, 0U);
  EXPECT_EQ(alpha_.rail.handshake().state(), HandshakeState::connected);
}

TEST_F(RailPoison, AnOrderIsWithdrawnOnceAndDoesNotComeBack) {
  connect();
  const Record order = give(5);
  ASSERT_TRUE(taken());
  give(5, true);
  const PoisonOrder withdrawn{Incarnation(11), 5, true};
  EXPECT_EQ(taken(PoisonOrder{Incarnation(11), 5}), withdrawn);
  EXPECT_FALSE(taken(withdrawn));
  std::ranges::copy(order, slot().begin());  // late, over another rail
  EXPECT_FALSE(taken(withdrawn));
  EXPECT_EQ(refused().stale, 1U);
}

TEST_F(RailPoison, AnOrderWhoseSerialDoesNotRiseIsStale) {
  connect();
  const Record old = give(5);
  ASSERT_TRUE(taken());
  give(6);
  ASSERT_TRUE(taken(PoisonOrder{Incarnation(11), 5}));
  std::ranges::copy(old, slot().begin());
  EXPECT_FALSE(taken(PoisonOrder{Incarnation(11), 6}));
  EXPECT_FALSE(taken(PoisonOrder{Incarnation(11), 6}));
  EXPECT_EQ(refused().stale, 1U) << "once, not at each look";
}

TEST_F(RailPoison, AnOrderOfAnEarlierSessionIsStale) {
  connect();
  const Record old = give(5);
  alpha_.fabric.next_error = FabricError::remote_access;
  for (int i = 0; i < 40; ++i) turn();
  ASSERT_EQ(beta_.rail.handshake().state(), HandshakeState::connected);
  std::ranges::fill(slot(), std::byte{0});
  EXPECT_FALSE(taken());
  std::ranges::copy(old, slot().begin());
  EXPECT_FALSE(taken());
  EXPECT_EQ(refused().stale, 1U);
}

TEST_F(RailPoison, BytesWithoutTheSessionsMacChangeNothingButACounter) {
  connect();
  const Record whole = give(5);
  std::ranges::fill(slot(), std::byte{0});
  for (std::size_t at = 0; at < offsetof(RecordLayout, zero_c); at += 3) {
    Record bytes = whole;
    bytes[at] ^= std::byte{0x10};
    RecordLayout layout;
    std::memcpy(&layout, bytes.data(), sizeof layout);
    if (at >= offsetof(RecordLayout, kind)) {  // by somebody who can compute a CRC
      layout.crc = crc32c(std::span(bytes).subspan(offsetof(RecordLayout, kind)));
      std::memcpy(bytes.data(), &layout, sizeof layout);
    }
    std::ranges::copy(bytes, slot().begin());
    EXPECT_FALSE(taken()) << "byte " << at;
    EXPECT_FALSE(taken()) << "byte " << at;
  }
  EXPECT_GT(refused().key, 0U);
  EXPECT_GT(refused().malformed, 0U);
  std::ranges::copy(whole, slot().begin());
  EXPECT_TRUE(taken()) << "the order itself still counts";
}

TEST_F(RailPoison, AnOrderForAnotherLifeOfTheKernelIsStale) {
  connect();
  RecordView record{.kind = RecordKind::poison,
                    .pair = *PairName::parse("pair"),
                    .from = *NodeName::parse("alpha"),
                    .from_incarnation = Incarnation(11),
                    .to_incarnation = Incarnation(22),
                    .from_boot_id = BootId{{1}},
                    .from_nonce = alpha_.rail.handshake().nonce(),
                    .to_nonce = beta_.rail.handshake().nonce(),
                    .to_boot_id = BootId{{9}},
                    .serial = 4};
  std::ranges::copy(encode_record(record, *alpha_.rail.handshake().session()), slot().begin());
  EXPECT_FALSE(taken());
  EXPECT_EQ(refused().stale, 1U);
  record.to_boot_id = BootId{{1}};
  std::ranges::copy(encode_record(record, *alpha_.rail.handshake().session()), slot().begin());
  EXPECT_TRUE(taken());
}

TEST_F(RailPoison, NothingIsGivenWithoutASession) {
  alpha_.rail.give_poison({5, false});
  connect();
  for (int i = 0; i < 5; ++i) turn();
  EXPECT_TRUE(std::ranges::all_of(slot(), [](std::byte b) { return b == std::byte{0}; }));
}

// beta's half as its ccmd runs it, with a trigger and a device of the test's own.
class KeptPoison : public RailPoison {
 protected:
  void keep(PoisonReset reset) {
    std::ofstream(folder_ / "trigger").close();
    std::filesystem::create_symlink("pid:[4026531836]", folder_ / "pid");
    config_.partner = *NodeName::parse("alpha");
    config_.pace = milliseconds(10);
    config_.poison = {.bound = seconds(1), .reset = reset};
    keeper_.emplace(config_, clock_, Incarnation(22), watchdog_, sysrq_);
  }
  bool turn_kept(const PoisonWords& agent = {}) {
    turn();
    const bool told = keeper_->turn(clock_.now(), std::span(&beta_.rail, 1), agent);
    beta_.rail.page().poison = keeper_->answer();
    clock_.advance(milliseconds(10));
    watchdog_.turn();
    return told;
  }
  [[nodiscard]] PoisonState state() const { return static_cast<PoisonState>(keeper_->answer().state); }
  [[nodiscard]] std::string triggered() const {
    std::ifstream in(folder_ / "trigger");
    return {std::istreambuf_iterator<char>(in), {}};
  }

  TempFolder folder_;
  PairConfig config_;
  TestClock clock_{Instant(seconds(50))};
  SimulatedWatchdog device_{clock_};
  std::array<FedUntilEntry, kMaxClients> table_{};
  RunningWatchdog running_{};
  WatchdogKeeper watchdog_{WatchdogConfig{.device = "/dev/watchdog7", .timeout = seconds(4), .pretimeout = {}},
                           milliseconds(10),
                           device_,
                           FedUntilTable(table_),
                           running_,
                           WatchdogGround{},
                           clock_};
  const SysrqTrigger sysrq_{folder_ / "trigger", folder_ / "pid"};
  std::optional<PoisonKeeper> keeper_;
};

TEST_F(KeptPoison, IsAnsweredByTheAgentsWordAndResetsNothing) {
  keep(PoisonReset::sysrq);
  connect();
  turn_kept();
  alpha_.rail.give_poison({5, false});
  while (!turn_kept()) ASSERT_LT(now_, Instant(seconds(60)));
  EXPECT_EQ(state(), PoisonState::accepted);
  EXPECT_EQ(keeper_->self().number, 1U);
  EXPECT_TRUE(turn_kept({.asked = 0, .stopped = 1, .cannot = 0}));
  EXPECT_EQ(state(), PoisonState::stopped);
  for (int i = 0; i < 300; ++i) turn_kept();
  EXPECT_EQ(triggered(), "");
  EXPECT_FALSE(device_.resets_at() && *device_.resets_at() <= clock_.now());
}

TEST_F(KeptPoison, StarvesTheWatchdogWhereNobodyObeys) {
  keep(PoisonReset::watchdog);
  connect();
  turn_kept();
  alpha_.rail.give_poison({5, false});
  for (int i = 0; i < 120; ++i) turn_kept();
  EXPECT_EQ(state(), PoisonState::resetting);
  const int feeds = device_.feeds;
  for (int i = 0; i < 600; ++i) turn_kept({.asked = 0, .stopped = 0, .cannot = 0});
  EXPECT_EQ(device_.feeds, feeds);
  EXPECT_EQ(triggered(), "");
}

TEST_F(KeptPoison, TriggersSysrqWhereNobodyObeysAndStarvesTheWatchdogWhereThatReturns) {
  keep(PoisonReset::sysrq);
  connect();
  turn_kept();
  alpha_.rail.give_poison({5, false});
  for (int i = 0; i < 120; ++i) turn_kept();
  EXPECT_EQ(triggered(), "b");
  EXPECT_EQ(state(), PoisonState::resetting);
  const int feeds = device_.feeds;
  for (int i = 0; i < 600; ++i) turn_kept();
  EXPECT_EQ(device_.feeds, feeds);
}

}  // namespace
}  // namespace hapair::ccm
