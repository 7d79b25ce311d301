// ccmd's own rails and handshakes, as they are shipped, over the simulated fabric: random faults from a seed, and then
// none. Whatever happened, the two come to one session; and without faults they lose none.
#include <gtest/gtest.h>

#include <memory>

#include "ccm/daemon/rail.h"
#include "tests/sim/sim_fabric.h"

namespace hapair::sim {
namespace {

using namespace ccm;  // NOLINT: the whole test speaks of it
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Duration kPace = milliseconds(10);

// One life of one CCM, as far as its rail goes.
struct Life {
  Life(SimNetwork& network, Side side, std::uint64_t incarnation, SimRandom& random)
      : fabric(network, side), writer(*ring) {
    EXPECT_TRUE(fabric.open());
    const bool alpha = side == Side::alpha;
    identity.pair = *PairName::parse("pair");
    identity.node = *NodeName::parse(alpha ? "alpha" : "beta");
    identity.partner = *NodeName::parse(alpha ? "beta" : "alpha");
    identity.incarnation = Incarnation(incarnation);
    identity.boot_id.bytes[0] = alpha ? 1 : 2;
    static constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";
    rail.emplace(RailId(0), *RailName::parse("sim"), identity, HandshakeSettings{kPace, milliseconds(50)},
                 Key::from_secret(std::as_bytes(std::span(kSecret))), fabric, random);
    rail->set_observations(writer);
    StatusPageLayout& page = rail->page();
    put_name(page.pair, identity.pair.view());
    put_name(page.node, identity.node.view());
    page.incarnation = incarnation;
    page.boot_id = identity.boot_id.bytes;
  }
  void turn(Instant now) {
    const bool beats = now >= next_beat;
    if (beats) {
      next_beat = now + kPace;
      ++rail->page().ccm_beat;
      rail->publish(now);
    }
    rail->turn(now, beats, {});
  }
  [[nodiscard]] const std::optional<Key>& session() const { return rail->handshake().session(); }

  SimFabric fabric;
  std::unique_ptr<ObservationRing> ring = std::make_unique<ObservationRing>();
  ObservationWriter writer;
  HandshakeIdentity identity;
  std::optional<Rail> rail;
  Instant next_beat;
};

class Pair {
 public:
  explicit Pair(std::uint64_t seed)
      : random_(seed),
        network_({.seed = seed,
                  .least_delay = microseconds(5),
                  .most_delay = microseconds(5 + random_.below(4000)),
                  .loss_per_mille = static_cast<unsigned>(random_.below(3) * 50)}) {
    for (const Side side : {Side::alpha, Side::beta}) start(side);
  }
  void start(Side side) {
    lives_.at(static_cast<std::size_t>(side)).reset();
    lives_.at(static_cast<std::size_t>(side)) = std::make_unique<Life>(network_, side, ++incarnation_, random_);
  }
  Life* life(Side side) { return lives_.at(static_cast<std::size_t>(side)).get(); }

  void pass(Duration time) {
    for (const Instant until = now_ + time; now_ < until; now_ += microseconds(500)) {
      for (const Side side : {Side::alpha, Side::beta}) {
        if (life(side) != nullptr && !stopped_.at(static_cast<std::size_t>(side))) life(side)->turn(now_);
      }
    }
  }
  void fault() {
    const Side side = random_.one_in(2) ? Side::alpha : Side::beta;
    auto& stopped = stopped_.at(static_cast<std::size_t>(side));
    switch (random_.below(7)) {
      case 0:
        stopped = false;
        return start(side);  // the old one dies with its fabric
      case 1:
        if (life(side) != nullptr) network_.power_off(side);
        lives_.at(static_cast<std::size_t>(side)).reset();
        stopped = false;
        network_.power_on(side);
        return;
      case 2:
        return network_.cut(side, true);
      case 3:
        return network_.set_link(side, false);
      case 4:
        if (life(side) == nullptr) return;
        stopped = true;
        return network_.stop(side);
      case 5:
        stopped = false;
        return network_.resume(side);
      default:
        return network_.heal();
    }
  }
  void heal() {
    network_.heal();
    for (const Side side : {Side::alpha, Side::beta}) {
      network_.resume(side);
      stopped_.at(static_cast<std::size_t>(side)) = false;
      if (life(side) == nullptr) start(side);
    }
  }
  [[nodiscard]] bool connected() {
    const auto& a = life(Side::alpha)->session();
    const auto& b = life(Side::beta)->session();
    return a && b && *a == *b;
  }
  [[nodiscard]] std::uint64_t sessions() {
    return life(Side::alpha)->rail->self().sessions + life(Side::beta)->rail->self().sessions;
  }
  SimRandom& random() { return random_; }

 private:
  SimRandom random_;
  SimNetwork network_;
  Instant now_{std::chrono::seconds(100)};
  std::uint64_t incarnation_ = 0;
  std::array<std::unique_ptr<Life>, 2> lives_;
  std::array<bool, 2> stopped_{};
};

class SimRails : public ::testing::Test {
 protected:
  // What a rail says for the journal of each session, of thousands here.
  void SetUp() override { ::testing::internal::CaptureStderr(); }
  void TearDown() override { (void)::testing::internal::GetCapturedStderr(); }
};

TEST_F(SimRails, WithoutFaultsTheyComeToOneSessionAndKeepIt) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Pair pair(seed);
    pair.pass(milliseconds(500));
    ASSERT_TRUE(pair.connected()) << "seed " << seed;
    const std::uint64_t sessions = pair.sessions();
    pair.pass(milliseconds(500));
    ASSERT_TRUE(pair.connected()) << "seed " << seed;
    EXPECT_EQ(pair.sessions(), sessions) << "seed " << seed;
  }
}

TEST_F(SimRails, AfterWhateverFaultsTheyComeToOneSession) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Pair pair(seed);
    const std::uint64_t faults = 1 + pair.random().below(20);
    for (std::uint64_t i = 0; i < faults; ++i) {
      pair.pass(Duration(microseconds(pair.random().below(60'000))));
      pair.fault();
    }
    pair.heal();
    pair.pass(milliseconds(1500));
    ASSERT_TRUE(pair.connected()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace hapair::sim
