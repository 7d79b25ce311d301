// A contract rig over real verbs: this end in this machine, the partner's in the other one, told what to do over the
// second link. The addresses come from the environment, which tests/vm/run sets.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/fabric/verbs/verbs_fabric.h"
#include "tests/unit/ccm/fabric/fabric_contract.h"
#include "tests/vm/verbs/link.h"
#include "tests/vm/verbs/protocol.h"

namespace hapair::ccm {

inline std::string given(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value != nullptr ? value : "";
}

class VerbsRig final : public FabricRig {
 public:
  VerbsRig() : link_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const auto end = Endpoint::make(given("CONTROL_ADDRESS"), kPartnerProgramPort);
    EXPECT_TRUE(end);
    EXPECT_EQ(::connect(link_.get(), end->address(), end->length()), 0) << "verbs_partner does not run";
    reopen();
    EXPECT_EQ(fabric_->trouble(), "");
  }
  ~VerbsRig() override {
    tell(PartnerCommand::kill);
    if (!device_is_there(given("FABRIC"))) {
      EXPECT_TRUE(add_device(given("FABRIC")));
    }
    VerbsRig::heal();
  }
  // This end anew, as after a restart.
  void reopen() {
    fabric_.reset();
    fabric_.emplace(VerbsSettings{.address = given("OWN_ADDRESS"),
                                  .partner_address = given("PARTNER_ADDRESS"),
                                  .retry_timeout = std::chrono::milliseconds(500)});
    const auto opened = fabric_->open();
    EXPECT_TRUE(opened) << opened.error();
  }

  // Its kernel tells, or its silence does: whichever comes first.
  [[nodiscard]] FabricTraits traits() const override {
    return {.connects_when_stopped = false,
            .killed = FabricError::disconnected,
            .no_right = given("FABRIC") == "siw" ? FabricError::disconnected : FabricError::remote_access};
  }
  VerbsFabric& fabric() override { return *fabric_; }
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
  // The partner's RDMA device, as `rdma link delete` and `add` do.
  void remove_partners_device() { tell(PartnerCommand::device_away); }
  void add_partners_device() { tell(PartnerCommand::device_back); }

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
  std::optional<VerbsFabric> fabric_;
  Fd link_;
};

}  // namespace hapair::ccm
