#include "tests/sim/sim_fabric.h"

#include <algorithm>
#include <sstream>
#include <string>

#include "tests/unit/ccm/fabric/fabric_contract.h"

namespace hapair::sim {
namespace {

using ccm::FabricError;
using ccm::FabricEvent;
using ccm::FabricTraits;
using ccm::kPageBytes;
using ccm::kRecordBytes;
using ccm::RemotePage;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// ---- the contract of all fabrics ----------------------------------------------------------------------------------

class SimRig final : public ccm::FabricRig {
 public:
  explicit SimRig(const SimOptions& options) : options_(options), network_(options), own_(network_, Side::alpha) {
    EXPECT_TRUE(own_.open());
  }
  [[nodiscard]] FabricTraits traits() const override {
    return {.memory_answers_when_stopped = !options_.process_must_run,
            .connects_when_stopped = !options_.process_must_run,
            .killed = FabricError::disconnected};
  }
  ccm::Fabric& fabric() override { return own_; }
  void start_partner(std::byte mark) override {
    partner_.emplace(network_, Side::beta);
    ASSERT_TRUE(partner_->open());
    std::ranges::fill(partner_->status_memory(), mark);
  }
  void stop_partner() override { network_.stop(Side::beta); }
  void continue_partner() override { network_.resume(Side::beta); }
  void kill_partner() override {
    network_.kill(Side::beta);
    partner_.reset();
  }
  std::array<std::byte, kPageBytes> partner_mailbox() override {
    std::array<std::byte, kPageBytes> bytes{};
    std::ranges::copy(partner_->mailbox_memory(), bytes.begin());
    return bytes;
  }
  void cut_partner() override { network_.set_link(Side::beta, false); }
  void cut_own() override { network_.set_link(Side::alpha, false); }
  void heal() override { network_.heal(); }

 private:
  SimOptions options_;
  SimNetwork network_;
  SimFabric own_;
  std::optional<SimFabric> partner_;
};

SimOptions bad_network() {
  return {.seed = 7,
          .least_delay = microseconds(50),
          .most_delay = milliseconds(2),
          .loss_per_mille = 100,
          .retry_every = milliseconds(5),
          .retry_timeout = milliseconds(100)};
}

std::unique_ptr<ccm::FabricRig> make_rig() { return std::make_unique<SimRig>(SimOptions{}); }
std::unique_ptr<ccm::FabricRig> make_bad_rig() { return std::make_unique<SimRig>(bad_network()); }
std::unique_ptr<ccm::FabricRig> make_process_rig() {
  return std::make_unique<SimRig>(SimOptions{.process_must_run = true});
}

}  // namespace
}  // namespace hapair::sim

namespace hapair::ccm {
INSTANTIATE_TEST_SUITE_P(Sim, FabricContract, ::testing::Values(&sim::make_rig));
INSTANTIATE_TEST_SUITE_P(SimOverABadNetwork, FabricContract, ::testing::Values(&sim::make_bad_rig));
INSTANTIATE_TEST_SUITE_P(SimOfProcesses, FabricContract, ::testing::Values(&sim::make_process_rig));
}  // namespace hapair::ccm

namespace hapair::sim {
namespace {

// ---- what only the simulator has ----------------------------------------------------------------------------------

constexpr Instant kStart{std::chrono::seconds(100)};

// Two ends in one world whose time the test makes.
class Sim : public ::testing::Test {
 protected:
  void begin(const SimOptions& options) {
    network_.emplace(options);
    for (auto* end : {&alpha_, &beta_}) end->reset();
    alpha_.emplace(*network_, Side::alpha);
    beta_.emplace(*network_, Side::beta);
    ASSERT_TRUE(alpha_->open() && beta_->open());
  }
  void TearDown() override {
    alpha_.reset();
    beta_.reset();
  }
  void pass(Duration time) { now_ += time; }
  std::optional<FabricEvent> take() {
    std::array<FabricEvent, 1> event;
    return alpha_->poll(now_, event) == 1 ? std::optional(event[0]) : std::nullopt;
  }
  void connect() {
    alpha_->connect(now_);
    for (int i = 0; i < 1000; ++i, pass(microseconds(100))) {
      const auto event = take();
      if (!event) continue;
      ASSERT_EQ(event->kind, FabricEvent::Kind::connected);
      return;
    }
    FAIL() << "no connection";
  }
  void write(std::byte value, std::uint64_t id = 1) {
    const std::array bytes{value};
    ASSERT_TRUE(alpha_->post_write(now_, OperationId(id), RemotePage::mailbox, 0, bytes));
  }
  std::byte landed() {
    network_->advance(now_);
    return beta_->mailbox_memory()[0];
  }

  Instant now_ = kStart;
  std::optional<SimNetwork> network_;
  std::optional<SimFabric> alpha_;
  std::optional<SimFabric> beta_;
};

TEST_F(Sim, OfAOneWayCutTheAnswersAreMissedAndTheWriteLands) {
  begin({});
  connect();
  network_->cut(Side::beta, true);
  write(std::byte{1});
  EXPECT_EQ(landed(), std::byte{1});
  EXPECT_FALSE(take());
  pass(milliseconds(20));
  EXPECT_EQ(take()->error, FabricError::retry_exceeded) << "though it landed";
  EXPECT_EQ(take()->kind, FabricEvent::Kind::lost);
}

TEST_F(Sim, OfAOneWayCutTheOtherWayNothingLands) {
  begin({});
  connect();
  network_->cut(Side::alpha, true);
  write(std::byte{1});
  pass(milliseconds(20));
  EXPECT_EQ(take()->error, FabricError::retry_exceeded);
  EXPECT_EQ(landed(), std::byte{0});
}

TEST_F(Sim, AWriteOfAConnectionThatWasGivenUpMayLandLate) {
  begin({.least_delay = milliseconds(4), .most_delay = milliseconds(4)});
  connect();
  write(std::byte{1});
  alpha_->drop(now_);
  EXPECT_EQ(take()->error, FabricError::disconnected);
  EXPECT_EQ(landed(), std::byte{0});
  pass(milliseconds(4));
  EXPECT_EQ(landed(), std::byte{1});
}

TEST_F(Sim, NoWriteLandsInAnotherLifeThanItWasMeantFor) {
  begin({.least_delay = milliseconds(4), .most_delay = milliseconds(4)});
  connect();
  write(std::byte{1});
  network_->kill(Side::beta);
  beta_.emplace(*network_, Side::beta);
  ASSERT_TRUE(beta_->open());
  pass(milliseconds(40));
  EXPECT_EQ(landed(), std::byte{0});
  EXPECT_EQ(take()->error, FabricError::disconnected);
}

TEST_F(Sim, AMachineWithoutPowerSaysNothing) {
  begin({});
  connect();
  network_->power_off(Side::beta);
  EXPECT_FALSE(take());
  write(std::byte{1});
  pass(milliseconds(20));
  EXPECT_EQ(take()->error, FabricError::retry_exceeded);
  EXPECT_EQ(take()->kind, FabricEvent::Kind::lost);
  network_->power_on(Side::beta);
  alpha_->connect(now_);
  EXPECT_EQ(take()->error, FabricError::not_listening) << "the host is up, its CCM is not yet";
}

TEST_F(Sim, WhatIsLostIsSentAgainAndTakesEffectOnceInItsOrder) {
  begin({.seed = 3,
         .least_delay = microseconds(10),
         .most_delay = milliseconds(1),
         .loss_per_mille = 300,
         .retry_every = milliseconds(2),
         .retry_timeout = milliseconds(200)});
  connect();
  for (std::uint64_t round = 0; round < 200; ++round) {
    // The second write is over the first, the read between them is of the other page: order is all that counts.
    std::array<std::byte, 1> page{};
    write(std::byte{1}, 1);
    ASSERT_TRUE(alpha_->post_read(now_, OperationId(2), RemotePage::status, 0, page));
    write(std::byte{2}, 3);
    std::uint64_t expected = 1;
    std::byte last{0};
    while (expected <= 3) {
      pass(microseconds(100));
      const std::byte seen = landed();
      EXPECT_FALSE(round > 0 && last == std::byte{2} && seen == std::byte{1} && expected == 3)
          << "the first landed again";
      last = expected >= 2 ? seen : std::byte{0};
      if (const auto event = take()) {
        ASSERT_EQ(event->operation, OperationId(expected));
        ASSERT_EQ(event->error, FabricError::none);
        ++expected;
      }
    }
    EXPECT_EQ(landed(), std::byte{2});
  }
}

TEST_F(Sim, ConnectionsOvertakeEachOtherAndOneConnectionNeverItself) {
  const SimOptions slow{.seed = 5, .least_delay = microseconds(10), .most_delay = milliseconds(5)};
  SimOptions other = slow;
  other.seed = 6;
  begin(slow);
  SimNetwork second(other);
  SimFabric a(second, Side::alpha);
  SimFabric b(second, Side::beta);
  ASSERT_TRUE(a.open() && b.open());
  connect();
  a.connect(now_);
  std::array<FabricEvent, 8> events;
  std::array<std::byte, 8> page{};
  bool overtaken = false;
  pass(milliseconds(20));
  ASSERT_EQ(a.poll(now_, events), 1U);
  for (int round = 0; round < 50 && !overtaken; ++round) {
    for (std::uint64_t id = 1; id <= 4; ++id) {
      ASSERT_TRUE(alpha_->post_read(now_, OperationId(id), RemotePage::status, 0, page));
    }
    ASSERT_TRUE(a.post_read(now_, OperationId(5), RemotePage::status, 0, page));  // posted last
    std::uint64_t next = 1;
    bool fifth = false;
    while (next <= 4 || !fifth) {
      pass(microseconds(50));
      fifth = fifth || a.poll(now_, events) == 1;
      overtaken = overtaken || (fifth && next == 1);
      while (const auto event = take()) ASSERT_EQ(event->operation, OperationId(next++));
    }
  }
  EXPECT_TRUE(overtaken);
}

// Everything that a run shows, polled every `step`; the calls that change something are at the same times.
std::string run(std::uint64_t seed, Duration step) {
  SimOptions options = bad_network();
  options.seed = seed;
  SimNetwork network(options);
  SimFabric alpha(network, Side::alpha);
  SimFabric beta(network, Side::beta);
  EXPECT_TRUE(alpha.open() && beta.open());
  std::array<std::byte, 16> page{};
  std::ostringstream seen;
  Instant now = kStart;
  const auto poll_until = [&](Instant until) {
    std::array<FabricEvent, 4> events;
    for (; now < until; now += step) {
      for (std::size_t count = alpha.poll(now, events); count > 0; count = alpha.poll(now, events)) {
        for (std::size_t i = 0; i < count; ++i) {
          seen << static_cast<int>(events.at(i).kind) << '/' << events.at(i).operation.value() << '/'
               << text_of(events.at(i).error) << '/' << alpha.last_round_trip().count() << ' ';
        }
      }
    }
    now = until;
  };
  for (int round = 0; round < 40; ++round) {
    const Instant from = kStart + milliseconds(100) * round;
    network.advance(now);
    if (round % 10 == 0) {
      alpha.drop(now);
      alpha.connect(now);
    }
    network.cut(Side::beta, round % 7 == 6);
    (void)alpha.post_read(now, OperationId(1), RemotePage::status, 0, page);
    poll_until(from + milliseconds(100));
  }
  return seen.str();
}

TEST(SimRuns, OneSeedGivesOneRunHoweverOftenItIsPolled) {
  const std::string first = run(1, milliseconds(1));
  EXPECT_EQ(first, run(1, milliseconds(1)));
  EXPECT_NE(first, run(2, milliseconds(1)));
  // Of what comes between two polls only the last round trip shows: the events are the same ones.
  const auto without_round_trips = [](const std::string& text) {
    std::istringstream words(text);
    std::string out;
    for (std::string word; words >> word;) out += word.substr(0, word.rfind('/')) + ' ';
    return out;
  };
  EXPECT_EQ(without_round_trips(first), without_round_trips(run(1, milliseconds(50))));
  EXPECT_NE(first.find("retry-exceeded"), std::string::npos) << first;
}

TEST(SimRuns, TheWishToBePolledIsTheNextHappening) {
  SimNetwork network({.least_delay = milliseconds(1), .most_delay = milliseconds(1)});
  SimFabric alpha(network, Side::alpha);
  SimFabric beta(network, Side::beta);
  ASSERT_TRUE(alpha.open() && beta.open());
  EXPECT_EQ(network.next(), std::nullopt);
  alpha.connect(kStart);
  std::array<FabricEvent, 1> event;
  for (int i = 0; i < 10 && alpha.poll(*network.next(), event) == 0; ++i) {
    ASSERT_TRUE(network.next());
  }
  EXPECT_EQ(event[0].kind, FabricEvent::Kind::connected);
  EXPECT_EQ(network.now(), kStart + milliseconds(2));
}

}  // namespace
}  // namespace hapair::sim
