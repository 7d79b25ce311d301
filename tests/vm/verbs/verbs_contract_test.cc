// The fabric contract over real verbs: this end in one machine of the lab, verbs_partner in the other. tests/vm/run
// contract starts both; the addresses come from its command line.
#include <sys/socket.h>

#include <cstdlib>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/fabric/verbs/verbs_fabric.h"
#include "tests/unit/ccm/fabric/fabric_contract.h"
#include "tests/vm/verbs/link.h"
#include "tests/vm/verbs/protocol.h"

namespace hapair::ccm {
namespace {

std::string given(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value != nullptr ? value : "";
}

class VerbsRig final : public FabricRig {
 public:
  VerbsRig()
      : fabric_({.address = given("OWN_ADDRESS"),
                 .partner_address = given("PARTNER_ADDRESS"),
                 .retry_timeout = std::chrono::milliseconds(500)}),
        link_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const auto end = Endpoint::make(given("CONTROL_ADDRESS"), kPartnerProgramPort);
    EXPECT_TRUE(end);
    EXPECT_EQ(::connect(link_.get(), end->address(), end->length()), 0) << "verbs_partner does not run";
    const auto opened = fabric_.open();
    EXPECT_TRUE(opened) << opened.error();
    EXPECT_EQ(fabric_.device_trouble(), "");
  }
  ~VerbsRig() override {
    tell(PartnerCommand::kill);
    VerbsRig::heal();
  }

  // Its kernel tells, or its silence does: whichever comes first.
  [[nodiscard]] FabricTraits traits() const override {
    return {.connects_when_stopped = false,
            .killed = FabricError::disconnected,
            .no_right = given("FABRIC") == "siw" ? FabricError::disconnected : FabricError::remote_access};
  }
  Fabric& fabric() override { return fabric_; }
  void start_partner(std::byte mark) override { tell(PartnerCommand::start, mark); }
  void stop_partner() override { tell(PartnerCommand::stop); }
  void continue_partner() override { tell(PartnerCommand::go_on); }
  void kill_partner() override { tell(PartnerCommand::kill); }
  std::array<std::byte, kPageBytes> partner_mailbox() override {
    std::array<std::byte, kPageBytes> page{};
    ask(PartnerCommand::mailbox, std::byte{0});
    EXPECT_EQ(::recv(link_.get(), page.data(), page.size(), MSG_WAITALL), static_cast<ssize_t>(page.size()));
    return page;
  }
  void cut_partner() override { tell(PartnerCommand::link_down); }
  void cut_own() override { EXPECT_TRUE(set_link(false)); }
  void heal() override {
    tell(PartnerCommand::link_up);
    EXPECT_TRUE(set_link(true));
  }

 private:
  void ask(PartnerCommand command, std::byte argument) {
    const std::array<char, 2> words{static_cast<char>(command), static_cast<char>(argument)};
    EXPECT_EQ(::send(link_.get(), words.data(), words.size(), MSG_NOSIGNAL), 2);
  }
  void tell(PartnerCommand command, std::byte argument = std::byte{0}) {
    ask(command, argument);
    char answer = 0;
    EXPECT_EQ(::recv(link_.get(), &answer, 1, 0), 1);
    EXPECT_EQ(answer, 'y') << "the partner's program could not do '" << static_cast<char>(command) << "'";
  }
  VerbsFabric fabric_;
  Fd link_;
};

std::unique_ptr<FabricRig> make_verbs_rig() { return std::make_unique<VerbsRig>(); }
INSTANTIATE_TEST_SUITE_P(Verbs, FabricContract, ::testing::Values(&make_verbs_rig));

}  // namespace
}  // namespace hapair::ccm
