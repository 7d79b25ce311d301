#include "ccm/fabric/iwarp/iwarp_port_fabric.h"

#include <sys/socket.h>

#include <optional>

#include "tests/unit/ccm/fabric/port_fabric_contract.h"
#include "tests/unit/ccm/fabric/two_hosts.h"

namespace hapair::ccm {
namespace {

using Host = TwoHosts::Host;

IwarpSettings settings(Host own, bool v6 = false) {
  const Host partner = own == Host::alpha ? Host::beta : Host::alpha;
  return {.address = TwoHosts::address(own, v6),
          .partner_address = TwoHosts::address(partner, v6),
          .service_port = 7481,
          .retry_timeout = std::chrono::milliseconds(500)};
}

class IwarpPortRig final : public PortRig {
 public:
  explicit IwarpPortRig(bool v6) : v6_(v6) {
    restart_partner();
    hosts_.enter(Host::alpha);
    own_.emplace(settings(Host::alpha, v6_));
    const auto opened = own_->open();
    EXPECT_TRUE(opened) << opened.error();
  }
  PortFabric& own() override { return *own_; }
  PortFabric& partner() override { return *partner_; }
  void restart_partner() override {
    partner_.reset();
    hosts_.enter(Host::beta);
    partner_.emplace(settings(Host::beta, v6_));
    const auto opened = partner_->open();
    EXPECT_TRUE(opened) << opened.error();
    hosts_.enter(Host::alpha);
  }
  void as_partner(const std::function<void()>& what) override {
    hosts_.enter(Host::beta);
    what();
    hosts_.enter(Host::alpha);
  }
  void cut_partner() override { hosts_.cut_partner(); }
  void cut_own() override { hosts_.cut_own(); }
  void heal() override { hosts_.heal(); }

 private:
  bool v6_;
  TwoHosts hosts_;
  std::optional<IwarpPortFabric> own_;
  std::optional<IwarpPortFabric> partner_;
};

std::unique_ptr<PortRig> make_rig() { return TwoHosts::possible() ? std::make_unique<IwarpPortRig>(false) : nullptr; }
std::unique_ptr<PortRig> make_rig6() { return TwoHosts::possible() ? std::make_unique<IwarpPortRig>(true) : nullptr; }
INSTANTIATE_TEST_SUITE_P(Iwarp, PortFabricContract, ::testing::Values(&make_rig));
INSTANTIATE_TEST_SUITE_P(IwarpOverIpv6, PortFabricContract, ::testing::Values(&make_rig6));

// More connections than are waited for, from the partner's own address: garbage, silence, half a request.
TEST(IwarpPorts, AFloodOfConnectionsLeavesThePortAlone) {
  if (!TwoHosts::possible()) GTEST_SKIP() << "network namespaces cannot be made: not root";
  const SystemClock clock;
  IwarpPortRig rig(false);
  std::vector<std::byte> memory(4096);
  PortToken token{};
  token.fill(1);
  ASSERT_TRUE(rig.partner().add(PortId(1), token, {.memory = memory, .partner_reads = true, .partner_writes = true}));
  ASSERT_TRUE(rig.own().add(PortId(1), PortToken{}, {}));
  const auto turns_until = [&](PortEvent::Kind kind) {
    std::array<PortEvent, 8> events;
    for (int i = 0; i < 100'000; ++i) {
      (void)rig.partner().poll(clock.now(), events);
      if (rig.own().poll(clock.now(), events) > 0)
        return events[0].kind == kind && events[0].error == FabricError::none;
    }
    return false;
  };
  rig.own().connect(clock.now(), PortId(1), token);
  ASSERT_TRUE(turns_until(PortEvent::Kind::connected));
  const auto end = Endpoint::make(TwoHosts::address(Host::beta, false), 7481);
  std::vector<Fd> strangers;
  std::array<PortEvent, 8> events;
  for (int i = 0; i < 100; ++i) {
    strangers.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(strangers.back().get(), end->address(), end->length()), 0);
    if (i % 2 == 0) (void)::send(strangers.back().get(), "GET / HTTP/1.1\r\n\r\n              ", 32, MSG_NOSIGNAL);
    (void)rig.partner().poll(clock.now(), events);
  }
  const std::array<std::byte, 4> bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
  ASSERT_TRUE(rig.own().post_write(clock.now(), PortId(1), OperationId(1), 0, bytes));
  ASSERT_TRUE(turns_until(PortEvent::Kind::done));
  EXPECT_EQ(memory[3], std::byte{4});
  EXPECT_GE(rig.partner().counters().refused_malformed, 25U);
  EXPECT_GE(rig.partner().counters().refused_limit, 25U);
}

}  // namespace
}  // namespace hapair::ccm
