// The contract of ports over real verbs: this end in one machine of the lab, verbs_port_partner in the other.
// tests/vm/run contract starts both; the addresses come from the environment.
#include <cstdlib>
#include <optional>
#include <string>

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
  [[nodiscard]] PortTraits traits() const override { return {.stopped = FabricError::none}; }
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

}  // namespace
}  // namespace hapair::ccm
