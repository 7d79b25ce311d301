// Whose interface a rail's early_boot means, and what a ccmd in an initramfs makes of it: with the kernel's own
// interfaces, in a network namespace of the test's own.
#include "ccm/daemon/interconnect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "ccm/base/fd.h"
#include "ccm/config/early_boot_note.h"
#include "tests/unit/ccm/daemon/running_ccmd.h"

namespace hapair::ccm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Optional;

// As /sys/class/net and the devices that it points at.
class Sysfs {
 public:
  Sysfs() { std::filesystem::create_directories(net()); }
  void add(const std::string& name, const std::string& mac, const std::string& device = "") {
    std::filesystem::create_directory(net() + "/" + name);
    std::ofstream(net() + "/" + name + "/address") << mac << "\n";
    if (device.empty()) return;
    std::filesystem::create_directories(folder_ / device);
    std::filesystem::create_directory_symlink(folder_ / device, net() + "/" + name + "/device");
  }
  [[nodiscard]] std::string net() const { return folder_ / "net"; }

 private:
  TempFolder folder_;
};

TEST(FindInterface, ByNameMacOrPlace) {
  Sysfs sysfs;
  sysfs.add("lo", "00:00:00:00:00:00");
  sysfs.add("bond0", "52:54:00:aa:00:01");  // has its port's address and no device
  sysfs.add("eth0", "52:54:00:aa:00:01", "pci0000:00/0000:00:03.0/virtio1");
  sysfs.add("eth1", "52:54:00:aa:00:02", "pci0000:00/0000:00:03.1");
  EXPECT_THAT(find_interface(sysfs.net(), "name:eth1"), Optional(std::string("eth1")));
  EXPECT_THAT(find_interface(sysfs.net(), "name:bond0"), Optional(std::string("bond0")));
  EXPECT_THAT(find_interface(sysfs.net(), "mac:52:54:00:aa:00:01"), Optional(std::string("eth0")));
  EXPECT_THAT(find_interface(sysfs.net(), "mac:52:54:00:AA:00:02"), Optional(std::string("eth1")));
  EXPECT_THAT(find_interface(sysfs.net(), "path:pci-0000:00:03.0"), Optional(std::string("eth0")));
  EXPECT_THAT(find_interface(sysfs.net(), "path:virtio-pci-0000:00:03.0"), Optional(std::string("eth0")));
  EXPECT_THAT(find_interface(sysfs.net(), "path:pci-0000:00:03.1"), Optional(std::string("eth1")));
}

TEST(FindInterface, NothingWhereNoneIsMeant) {
  Sysfs sysfs;
  sysfs.add("eth0", "52:54:00:aa:00:01", "pci0000:00/0000:00:03.0");
  for (const char* word : {"name:eth", "name:eth00", "mac:52:54:00:aa:00", "mac:00:00:00:00:00:00",
                           "path:pci-0000:00:03", "path:pci-0000:00:0", "path:", "eth0", ""}) {
    EXPECT_EQ(find_interface(sysfs.net(), word), std::nullopt) << word;
  }
  EXPECT_EQ(find_interface(sysfs.net() + "/nowhere", "name:eth0"), std::nullopt);
}

class EarlyInterfaces : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root makes network namespaces";
    ccmd_.options.more_rails =
        R"(,{"name":"fast","fabric":"iwarp","address":"10.9.0.1","partner_address":"10.9.0.2","early_boot":)"
        R"({"interface":"name:fast0","prefix_length":20}})"
        R"(,{"name":"slow","fabric":"iwarp","address":"fd99::1","partner_address":"fd99::2","early_boot":)"
        R"({"interface":"name:slow0"}})";
    ASSERT_EQ(ccmd_.run_to_end("--check"), 0) << ccmd_.log();
  }
  void TearDown() override { ccmd_.end_early(); }
  // In a network namespace of its own, which lives as long as what it starts. `early` runs ccmd to where it waits for
  // the interface that is not there, or to its end.
  void run(const std::string& script) {
    const std::string whole =
        "unshare --net --mount sh -euc 'mount -t sysfs sysfs /sys; ip link add fast0 type veth peer name fast1; "
        "early() { " CCMD_PROGRAM " --early --config " +
        ccmd_.config_file() + " </dev/null >>" + log() + " 2>&1 & early=$!; until [ -s " + ccmd_.run_dir() +
        "/ccmd.lock ] || ! kill -0 $early; do sleep 0.05; done; }\n" + script + "' >" + (folder_ / "shown") + " 2>&1";
    EXPECT_EQ(std::system(whole.c_str()), 0) << shown() << said();
  }
  [[nodiscard]] std::string log() const { return folder_ / "early.log"; }
  [[nodiscard]] std::string said() const { return read_file(log(), 1 << 20).value_or(""); }
  [[nodiscard]] std::string shown() const { return read_file(folder_ / "shown", 1 << 20).value_or(""); }

  [[nodiscard]] std::vector<std::string> problems() const {
    return read_early_boot_note(ccmd_.run_dir()).value_or(EarlyBootNote{}).problems;
  }

  TempFolder folder_;
  RunningCcmd ccmd_{folder_, {}};
};

TEST_F(EarlyInterfaces, AreBroughtUpWithTheirRailsAddressesAlsoWhenTheyComeLater) {
  run(R"(early
    ip -oneline link show fast0; ip -oneline address show fast0
    kill -0 $early
    ip link add slow0 type veth peer name slow1
    wait $early
    ip -oneline link show slow0; ip -oneline address show slow0)");
  EXPECT_THAT(shown(), testing::ContainsRegex("fast0@.*[<,]UP[,>]"));
  EXPECT_THAT(shown(), HasSubstr("inet 10.9.0.1/20 "));
  EXPECT_THAT(shown(), testing::ContainsRegex("slow0@.*[<,]UP[,>]"));
  EXPECT_THAT(shown(), testing::ContainsRegex("inet6 fd99::1/64 .*nodad"));
  EXPECT_THAT(said(), HasSubstr("rail fast: fast0 is up with 10.9.0.1/20"));
  EXPECT_THAT(said(), HasSubstr("rail slow: slow0 is up with fd99::1/64"));
  EXPECT_THAT(problems(), IsEmpty()) << "what had not appeared at first has";
}

TEST_F(EarlyInterfaces, AreLeftToTheSystemOnceTheInitramfsIsGone) {
  run("early; kill -0 $early; rm " + ccmd_.config_file() + "; wait $early");
  EXPECT_THAT(said(), HasSubstr("the initramfs is left; interfaces of slow had not appeared"));
  EXPECT_THAT(said(), Not(HasSubstr("rail slow: slow0")));
  EXPECT_THAT(problems(), ElementsAre(HasSubstr("rail slow: its interface (name:slow0) had not appeared")));
}

TEST_F(EarlyInterfaces, WithTheAddressAlreadyAreNoError) {
  run("ip address add 10.9.0.1/20 dev fast0; early; rm " + ccmd_.config_file() + "; wait $early");
  EXPECT_THAT(said(), HasSubstr("rail fast: fast0 is up with 10.9.0.1/20"));
  EXPECT_THAT(said(), Not(HasSubstr("does not take address")));
}

TEST_F(EarlyInterfaces, HaveTheirSoftDeviceOrItIsToldWhyNot) {
  ccmd_.options.more_rails =
      R"(,{"name":"fast","fabric":"verbs","address":"10.9.0.1","partner_address":"10.9.0.2","early_boot":)"
      R"({"interface":"name:fast0","soft_rdma":"siw"}})";
  ASSERT_EQ(ccmd_.run_to_end("--check"), 0);
  run("early; wait $early");
  const bool refused = said().find("<4>ccmd: rail fast: no siw device on fast0: ") != std::string::npos;
  EXPECT_THAT(said(), HasSubstr(refused ? "early_boot.modules" : "10.9.0.1/24, device siw_fast0\n"));
  EXPECT_EQ(problems().size(), refused ? 1U : 0U);
}

}  // namespace
}  // namespace hapair::ccm
