// The contract of ports over real verbs: this end in one machine of the lab, verbs_port_partner in the other.
// tests/vm/run contract starts both; the addresses come from the environment.
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ccm/fabric/verbs/verbs_port_fabric.h"
#include "tests/unit/ccm/fabric/port_fabric_contract.h"
#include "tests/vm/verbs/link.h"
#include "tests/vm/verbs/remote_ports.h"

namespace hapair::ccm {
namespace {

std::string given(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value != nullptr ? value : "";
}

class VerbsPortRig final : public PortRig {
 public:
  VerbsPortRig()
      : own_({.address = given("OWN_ADDRESS"),
              .partner_address = given("PARTNER_ADDRESS"),
              .service_port = 7481,
              .retry_timeout = std::chrono::milliseconds(1000),
              .ack_timeout_exponent = 14,
              .retry_count = 6}),
        partner_(given("CONTROL_ADDRESS")) {
    const auto opened = own_.open();
    EXPECT_TRUE(opened) << opened.error();
    EXPECT_EQ(own_.trouble(), "");
    const auto there = partner_.open();
    EXPECT_TRUE(there) << there.error();
  }
  ~VerbsPortRig() override { VerbsPortRig::heal(); }

  // The device serves its memory whatever the process does.
  [[nodiscard]] PortTraits traits() const override {
    if (given("FABRIC") != "siw") return {.stopped = FabricError::none};
    return {.stopped = FabricError::none,
            .no_right = FabricError::disconnected,
            .counts_access = false,
            .guards_reads = false};
  }
  PortFabric& own() override { return own_; }
  PortFabric& partner() override { return partner_; }
  void restart_partner() override { EXPECT_TRUE(partner_.restart()); }
  void cut_partner() override { EXPECT_TRUE(partner_.set_link(false)); }
  void cut_own() override { EXPECT_TRUE(set_link(false)); }
  void heal() override {
    EXPECT_TRUE(partner_.set_link(true));
    EXPECT_TRUE(set_link(true));
  }

 private:
  VerbsPortFabric own_;
  RemotePorts partner_;
};

std::unique_ptr<PortRig> make_verbs_rig() { return std::make_unique<VerbsPortRig>(); }
INSTANTIATE_TEST_SUITE_P(Verbs, PortFabricContract, ::testing::Values(&make_verbs_rig));

// What is only this fabric's.
class VerbsPorts : public PortFabricContract {
 protected:
  VerbsPortFabric& own() { return static_cast<VerbsPortFabric&>(rig_->own()); }
  void expect_connected_with(std::span<std::byte> own_memory, std::span<std::byte> local = {}) {
    ASSERT_TRUE(rig_->partner().add(kPort, token(1), {memory_.bytes(), true, true}));
    ASSERT_TRUE(own().add(kPort, token(2), {.memory = own_memory, .local = {local}}));
    expect_connected();
  }
};

TEST_P(VerbsPorts, CarriesWhatLiesInsideAndAcrossTheEdgesOfMemoryThatItWasToldOf) {
  std::vector<std::byte> room(kBytes);
  for (std::size_t i = 0; i < room.size(); ++i) room[i] = static_cast<std::byte>(i * 7 + i / 256);
  const std::span exposed = std::span(room).first(kBytes / 2);
  std::vector<std::byte> local(kBytes / 2);
  expect_connected_with(exposed, local);
  const Instant now = clock_.now();
  ASSERT_TRUE(own().post_write(now, kPort, OperationId(1), 0, exposed));
  ASSERT_TRUE(
      own().post_write(now, kPort, OperationId(2), kBytes / 2, std::span(room).subspan(kBytes / 4, kBytes / 2)));
  expect_done(2, FabricError::none, FabricError::none);
  EXPECT_TRUE(std::ranges::equal(exposed, memory_.bytes().first(kBytes / 2)));
  EXPECT_TRUE(std::ranges::equal(std::span(room).subspan(kBytes / 4, kBytes / 2), memory_.bytes().last(kBytes / 2)));
  const std::vector<std::byte> expected(memory_.bytes().begin() + 100, memory_.bytes().begin() + 100 + kBytes / 4);
  const std::span target = exposed.subspan(8, kBytes / 4);
  ASSERT_TRUE(own().post_read(now, kPort, OperationId(1), 100, target));
  expect_done(1, FabricError::none, FabricError::none);
  EXPECT_TRUE(std::ranges::equal(expected, target));
  const std::span elsewhere = std::span(local).subspan(3, kBytes / 4);
  ASSERT_TRUE(own().post_read(clock_.now(), kPort, OperationId(1), 100, elsewhere));
  ASSERT_TRUE(own().post_write(clock_.now(), kPort, OperationId(2), 0, elsewhere));
  expect_done(2, FabricError::none, FabricError::none);
  EXPECT_TRUE(std::ranges::equal(expected, elsewhere));
  EXPECT_TRUE(std::ranges::equal(expected, memory_.bytes().first(kBytes / 4)));
}

TEST_P(VerbsPorts, OutliveADeviceThatIsRemovedAndComesBack) {
  expect_connected_with({});
  ASSERT_TRUE(begin_to_remove_device(given("FABRIC")));
  expect_event(PortEvent::Kind::lost, FabricError::link_down);
  const auto turns_until = [this](const auto& condition) {
    for (int i = 0; i < 20'000 && !condition(); ++i) turn();
    return condition();
  };
  EXPECT_TRUE(turns_until([] { return !device_is_there(given("FABRIC")); })) << "this end holds it";
  EXPECT_NE(own().trouble(), "");
  own().connect(clock_.now(), kPort, token(1));
  expect_event(PortEvent::Kind::not_connected, FabricError::link_down);
  ASSERT_TRUE(add_device(given("FABRIC")));
  EXPECT_TRUE(turns_until([this] { return own().trouble().empty(); })) << own().trouble();
  partner_events_.clear();
  expect_connected();
  const std::array<std::byte, 4> bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  ASSERT_TRUE(own().post_write(clock_.now(), kPort, OperationId(1), 0, bytes));
  expect_done(1, FabricError::none, FabricError::none);
  EXPECT_TRUE(std::ranges::equal(bytes, memory_.bytes().first(4)));
}

TEST_P(VerbsPorts, OneTooManyIsRefused) {
  for (std::size_t i = 0; i < VerbsPortFabric::kMaxPorts; ++i) {
    const auto added = own().add(PortId(100 + i), token(static_cast<std::uint8_t>(i)), {});
    ASSERT_TRUE(added) << added.error();
  }
  EXPECT_FALSE(own().add(PortId(99), token(99), {}));
}

INSTANTIATE_TEST_SUITE_P(Verbs, VerbsPorts, ::testing::Values(&make_verbs_rig));

}  // namespace
}  // namespace hapair::ccm
