#include "ccm/config/pair_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/unit/ccm/temp_folder.h"

namespace hapair::ccm {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

struct Read {
  PairConfig config;
  std::vector<std::string> problems;
};

Read read(const std::string& text) {
  const auto document = nlohmann::json::parse(text);
  ConfigProblems problems("hapair.json");
  ConfigObject root(&document, "", problems);
  PairConfig config = read_pair_config(root);
  return {config, problems.lines()};
}

std::string with(const std::string& ccm, const std::string& root = "") {
  return R"({"pair": "lab", "node": "alpha", "partner": "beta", )" + root +
         R"("ccm": {"rails": [{"name": "r0", "fabric": "shm"}])" + ccm + "}}";
}

TEST(PairConfig, HasDefaultsForAllButTheNames) {
  const Read least = read(with(""));
  EXPECT_THAT(least.problems, IsEmpty());
  EXPECT_EQ(least.config.pair.view(), "lab");
  EXPECT_EQ(least.config.key_file, "/etc/hapair/pair.key");
  EXPECT_EQ(least.config.ccm_socket(), "/run/hapair/ccm.sock");
  EXPECT_EQ(least.config.pace, std::chrono::milliseconds(10));
  EXPECT_EQ(least.config.operation_deadline, std::chrono::milliseconds(100));
}

TEST(PairConfig, NamesAreRequiredAndChecked) {
  EXPECT_THAT(read(R"({"ccm": {"rails": [{"name": "r0", "fabric": "shm"}]}})").problems,
              ElementsAre(HasSubstr("pair: found nothing"), HasSubstr("node: found nothing"),
                          HasSubstr("partner: found nothing")));
  EXPECT_THAT(
      read(R"({"pair": "-x", "node": "a b", "partner": "b", "ccm": {"rails": [{"name": "r0", "fabric": "shm"}]}})")
          .problems,
      ElementsAre(HasSubstr("pair: found \"-x\""), HasSubstr("node: found \"a b\"")));
}

TEST(PairConfig, ANodeIsNotItsOwnPartner) {
  EXPECT_THAT(
      read(R"({"pair": "lab", "node": "a", "partner": "a", "ccm": {"rails": [{"name": "r0", "fabric": "shm"}]}})")
          .problems,
      ElementsAre(HasSubstr("this node's own name")));
}

TEST(PairConfig, LimitsOutOfRangeAreNamed) {
  EXPECT_THAT(read(with(R"(, "pace_ms": 0.4)")).problems, Contains(HasSubstr("ccm.pace_ms: found 0.4")));
  EXPECT_THAT(read(with(R"(, "pace_ms": 1001)")).problems, Contains(HasSubstr("ccm.pace_ms: found 1001")));
  EXPECT_THAT(read(with(R"(, "operation_deadline_ms": 10001)")).problems,
              Contains(HasSubstr("ccm.operation_deadline_ms")));
}

TEST(PairConfig, ADeadlineShorterThanTwoPacesIsRefusedWithTheArithmetic) {
  EXPECT_THAT(read(with(R"(, "pace_ms": 20, "operation_deadline_ms": 30)")).problems,
              ElementsAre(HasSubstr("2 x 20 = 40")));
}

// The configuration with these rails.
Read read_rails(const std::string& rails) {
  return read(R"({"pair": "lab", "node": "alpha", "partner": "beta", "ccm": {"rails": )" + rails + "}}");
}

TEST(PairConfig, RailsAreReadInTheirOrder) {
  const Read read = read_rails(R"([
      {"name": "ib0", "fabric": "verbs", "address": "10.0.0.1", "partner_address": "10.0.0.2"},
      {"name": "eth1", "fabric": "iwarp", "address": "fd00::1", "partner_address": "fd00::2", "service_port": 9000,
       "retry_timeout_ms": 20, "crc": false}])");
  EXPECT_THAT(read.problems, IsEmpty());
  ASSERT_EQ(read.config.rails.size(), 2U);
  EXPECT_EQ(read.config.rails[0].fabric, FabricKind::verbs);
  EXPECT_EQ(read.config.rails[0].service_port, 7480);
  EXPECT_EQ(read.config.rails[0].ack_timeout, 10);
  EXPECT_EQ(read.config.rails[0].retry_count, 3);
  EXPECT_EQ(read.config.rails[1].name.view(), "eth1");
  EXPECT_EQ(read.config.rails[1].partner_address, "fd00::2");
  EXPECT_EQ(read.config.rails[1].retry_timeout, std::chrono::milliseconds(20));
  EXPECT_FALSE(read.config.rails[1].crc);
}

TEST(PairConfig, AnInitramfsKnowsOfARailWhatIsSaidOfIt) {
  const Read read = read_rails(R"([
      {"name": "ib0", "fabric": "verbs", "address": "10.0.0.1", "partner_address": "10.0.0.2",
       "early_boot": {"interface": "path:pci-0000:3b:00.0", "soft_rdma": "rxe", "modules": ["mlx5_ib"]}},
      {"name": "eth1", "fabric": "iwarp", "address": "fd00::1", "partner_address": "fd00::2",
       "early_boot": {"interface": "name:eth1"}},
      {"name": "eth2", "fabric": "iwarp", "address": "10.1.0.1", "partner_address": "10.1.0.2"}])");
  EXPECT_THAT(read.problems, IsEmpty());
  ASSERT_EQ(read.config.rails.size(), 3U);
  ASSERT_TRUE(read.config.rails[0].early_boot && read.config.rails[1].early_boot);
  EXPECT_EQ(read.config.rails[0].early_boot->soft_rdma, "rxe");
  EXPECT_EQ(read.config.rails[0].early_boot->prefix_length, 24);
  EXPECT_EQ(read.config.rails[1].early_boot->prefix_length, 64);
  EXPECT_FALSE(read.config.rails[2].early_boot);
}

TEST(PairConfig, WhatWouldNotReachAnInitramfsAsItIsMeantIsRefused) {
  EXPECT_THAT(read_rails(R"([{"name": "r", "fabric": "iwarp", "address": "10.1.0.1", "partner_address": "10.1.0.2",
       "early_boot": {"interface": "eth1", "prefix_length": 33, "soft_rdma": "rxe", "modules": ["a;b"]}}])")
                  .problems,
              ElementsAre(HasSubstr("early_boot.interface: found \"eth1\""), HasSubstr("early_boot.prefix_length"),
                          HasSubstr("early_boot.modules"), HasSubstr("early_boot.soft_rdma")));
}

TEST(PairConfig, RailsThatCannotBeAreNamed) {
  const std::string ends = R"("address": "10.0.0.1", "partner_address": "10.0.0.2")";
  EXPECT_THAT(read(R"({"pair": "lab", "node": "a", "partner": "b", "ccm": {}})").problems,
              ElementsAre(HasSubstr("ccm.rails: found nothing")));
  EXPECT_THAT(read_rails("[]").problems, ElementsAre(HasSubstr("ccm.rails: found 0 rails; allowed: 1 to 4")));
  EXPECT_THAT(read_rails(R"([{"name": "r", "fabric": "tcp"}])").problems,
              Contains(HasSubstr("ccm.rails[0].fabric: found \"tcp\"")));
  EXPECT_THAT(read_rails(R"([{"name": "r", "fabric": "iwarp"}])").problems,
              Contains(HasSubstr("ccm.rails[0].address: found nothing")));
  EXPECT_THAT(
      read_rails(R"([{"name": "r", "fabric": "iwarp", "address": "node-a", "partner_address": "10.0.0.2"}])").problems,
      ElementsAre(HasSubstr("found \"node-a\"; allowed: a numeric IPv4 or IPv6 address")));
  EXPECT_THAT(read_rails(R"([{"name": "r", "fabric": "iwarp", "address": "10.0.0.1", "partner_address": "10.0.0.1"}])")
                  .problems,
              ElementsAre(HasSubstr("which is this node's own")));
  EXPECT_THAT(
      read_rails(R"([{"name": "r", "fabric": "iwarp", "address": "10.0.0.1", "partner_address": "fd00::2"}])").problems,
      ElementsAre(HasSubstr("of one family")));
  EXPECT_THAT(read_rails(R"([{"name": "r", "fabric": "verbs", )" + ends + R"(, "retry_count": 7}])").problems,
              ElementsAre(HasSubstr("ccm.rails[0].retry_count: found 7")));
  EXPECT_THAT(read_rails(R"([{"name": "r", "fabric": "iwarp", )" + ends + R"(, "retry_timeout_ms": 200}])").problems,
              ElementsAre(HasSubstr("it would never be reached")));
  EXPECT_THAT(read_rails(R"([{"name": "r", "fabric": "shm"}, {"name": "r", "fabric": "shm", "dir": "/x"}])").problems,
              ElementsAre(HasSubstr("\"r\" a second time")));
  EXPECT_THAT(read_rails(R"([{"name": "r", "fabric": "shm"}, {"name": "s", "fabric": "shm"}])").problems,
              ElementsAre(HasSubstr("both at /dev/shm/hapair")));
}

TEST(PairConfig, APoisonedNodeIsResetByItsWatchdogWhereItHasOne) {
  const Read without = read(with(""));
  EXPECT_EQ(without.config.poison.reset, PoisonReset::none);
  EXPECT_EQ(without.config.poison.bound, std::chrono::seconds(15));
  const std::string watchdog = R"(, "watchdog": {"device": "/dev/watchdog0", "timeout_ms": 10000})";
  EXPECT_EQ(read(with(watchdog)).config.poison.reset, PoisonReset::watchdog);
  const Read sysrq = read(with(watchdog + R"(, "poison": {"bound_ms": 8000, "reset": "sysrq"})"));
  EXPECT_THAT(sysrq.problems, IsEmpty());
  EXPECT_EQ(sysrq.config.poison.reset, PoisonReset::sysrq);
  EXPECT_EQ(sysrq.config.poison.bound, std::chrono::seconds(8));
}

TEST(PairConfig, AResetOfAPoisonedNodeThatCannotBeIsRefused) {
  EXPECT_THAT(read(with(R"(, "poison": {"reset": "watchdog"})")).problems,
              ElementsAre(HasSubstr("ccm.watchdog is not given")));
  EXPECT_THAT(read(with(R"(, "poison": {"reset": "axe"})")).problems, Contains(HasSubstr("ccm.poison.reset")));
  EXPECT_THAT(read(with(R"(, "poison": {"bound_ms": 10})")).problems, Contains(HasSubstr("ccm.poison.bound_ms")));
  EXPECT_THAT(read(with(R"(, "poison": {"bond_ms": 10000})")).problems, Contains(HasSubstr("bound_ms")));
}

TEST(PairConfig, AnUnknownKeyOfTheCcmIsNamedWithASuggestion) {
  EXPECT_THAT(read(with(R"(, "pace": 20)")).problems, ElementsAre(HasSubstr("did you mean \"pace_ms\"?")));
}

TEST(PairConfig, PathsAreAbsolute) {
  EXPECT_THAT(read(with("", R"("run_dir": "run", )")).problems, ElementsAre(HasSubstr("run_dir: found \"run\"")));
}

// The configuration with one rail and these networks.
Read read_networks(const std::string& networks) {
  return read(R"({"pair": "lab", "node": "alpha", "partner": "beta",
                  "ccm": {"rails": [{"name": "r0", "fabric": "shm"}], "networks": )" +
              networks + "}}");
}

TEST(PairConfig, NetworksHaveAddressesAndPacesOfTheirOwn) {
  const Read read = read_networks(R"([
      {"name": "mgmt", "address": "10.0.0.1", "partner_address": "10.0.0.2"},
      {"name": "lan", "address": "fd00::1", "partner_address": "fd00::2", "port": 7000, "pace_ms": 50}])");
  EXPECT_THAT(read.problems, IsEmpty());
  ASSERT_EQ(read.config.networks.size(), 2U);
  EXPECT_EQ(read.config.networks[0].name.view(), "mgmt");
  EXPECT_EQ(read.config.networks[0].port, 7490);
  EXPECT_EQ(read.config.networks[0].pace, 2 * read.config.pace);
  EXPECT_EQ(read.config.networks[1].partner_address, "fd00::2");
  EXPECT_EQ(read.config.networks[1].port, 7000);
  EXPECT_EQ(read.config.networks[1].pace, std::chrono::milliseconds(50));
  EXPECT_THAT(read_networks("[]").problems, IsEmpty()) << "no network is needed";
}

// With these mailbox disks beside.
Read read_disks(const std::string& networks, const std::string& disks, const std::string& more = "") {
  return read_networks(networks + R"(, "mailbox_disks": )" + disks + more);
}

TEST(PairConfig, MailboxDisksComeAfterTheNetworks) {
  const Read read = read_disks(
      R"([{"name": "mgmt", "address": "10.0.0.1", "partner_address": "10.0.0.2"}])",
      R"([{"name": "mailbox", "device": "/dev/vdb"}, {"name": "two", "device": "/dev/vdc", "pace_ms": 20}])");
  ASSERT_THAT(read.problems, IsEmpty());
  ASSERT_EQ(read.config.networks.size(), 3U);
  EXPECT_EQ(read.config.networks[0].title(), "network mgmt");
  EXPECT_EQ(read.config.networks[1].title(), "disk mailbox");
  EXPECT_EQ(read.config.networks[1].device, "/dev/vdb");
  EXPECT_EQ(read.config.networks[1].pace, std::chrono::milliseconds(100));
  EXPECT_EQ(read.config.networks[2].pace, std::chrono::milliseconds(20));
  EXPECT_EQ(
      read_disks("[]", R"([{"name": "mailbox", "device": "/dev/vdb"}])", R"(, "pace_ms": 30)").config.networks[0].pace,
      std::chrono::milliseconds(120))
      << "a multiple of the CCM's";
}

TEST(PairConfig, MailboxDisksThatCannotWorkAreNamed) {
  const std::string disk = R"({"name": "mailbox", "device": "/dev/vdb"})";
  EXPECT_THAT(read_disks("[]", "[" + disk + "," + disk + "]").problems,
              UnorderedElementsAre(HasSubstr("\"mailbox\" a second time"), HasSubstr("are both /dev/vdb")));
  EXPECT_THAT(read_disks("[]", R"([{"name": "mailbox", "device": "vdb"}])").problems,
              ElementsAre(HasSubstr("mailbox_disks[0].device")));
  EXPECT_THAT(read_disks("[]", R"([{"name": "mailbox"}])").problems, ElementsAre(HasSubstr("mailbox_disks[0].device")));
  EXPECT_THAT(read_disks("[]", R"([{"name": "mailbox", "device": "/dev/vdb", "pace_ms": 15}])").problems,
              ElementsAre(HasSubstr("no multiple of ccm.pace_ms")));
  EXPECT_THAT(read_disks("[]", R"([{"name": "mailbox", "device": "/dev/vdb", "pace_ms": 300}])").problems,
              ElementsAre(HasSubstr("pace_ms")));
  std::string five;
  for (int i = 0; i < 5; ++i) {
    five += (i == 0 ? "" : ",") + std::string(R"({"name": "d)") + std::to_string(i) + R"(", "device": "/dev/vd)" +
            std::to_string(i) + "\"}";
  }
  EXPECT_THAT(read_disks("[]", "[" + five + "]").problems, ElementsAre(HasSubstr("at most 4 of both together")));
}

TEST(PairConfig, NetworksThatCannotWorkAreNamed) {
  const std::string mgmt = R"({"name": "mgmt", "address": "10.0.0.1", "partner_address": "10.0.0.2"})";
  EXPECT_THAT(read_networks("[" + mgmt + "," + mgmt + "]").problems,
              UnorderedElementsAre(HasSubstr("\"mgmt\" a second time"), HasSubstr("are both at 10.0.0.1 port 7490")));
  EXPECT_THAT(read_networks(R"([{"name": "mgmt", "address": "host", "partner_address": "10.0.0.2"}])").problems,
              ElementsAre(HasSubstr("ccm.networks[0].address: found \"host\"")));
  EXPECT_THAT(read_networks(R"([{"name": "m", "address": "10.0.0.1", "partner_address": "10.0.0.1"}])").problems,
              ElementsAre(HasSubstr("which is this node's own")));
  EXPECT_THAT(read_networks(R"([{"name": "m", "address": "10.0.0.1", "partner_address": "fd00::2"}])").problems,
              ElementsAre(HasSubstr("not of one family")));
  EXPECT_THAT(
      read_networks(R"([{"name": "m", "address": "10.0.0.1", "partner_address": "10.0.0.2", "pace_ms": 15}])").problems,
      ElementsAre(HasSubstr("pace_ms (15) is no multiple of ccm.pace_ms (10)")));
  EXPECT_THAT(
      read_networks(R"([{"name": "m", "address": "10.0.0.1", "partner_address": "10.0.0.2", "pace_ms": 1}])").problems,
      Not(IsEmpty()));
  EXPECT_THAT(read_networks(R"([{"nam": "m", "address": "10.0.0.1", "partner_address": "10.0.0.2"}])").problems,
              Contains(HasSubstr("ccm.networks[0].nam: unknown key")));
}

Read read_watchdog(const std::string& watchdog, const std::string& more = "") {
  return read(with(R"(, "watchdog": )" + watchdog + more));
}

TEST(PairConfig, AWatchdogHasADeviceAndATimeout) {
  EXPECT_FALSE(read(with("")).config.watchdog) << "none unless it is configured";
  const Read least = read_watchdog(R"({"device": "/dev/watchdog0", "timeout_ms": 5000})");
  EXPECT_THAT(least.problems, IsEmpty());
  ASSERT_TRUE(least.config.watchdog);
  EXPECT_EQ(least.config.watchdog->device, "/dev/watchdog0");
  EXPECT_EQ(least.config.watchdog->timeout, std::chrono::seconds(5));
  EXPECT_EQ(least.config.watchdog->pretimeout, Duration{});
  const Read more = read_watchdog(R"({"device": "/dev/watchdog1", "timeout_ms": 10000, "pretimeout_ms": 5000})");
  EXPECT_THAT(more.problems, IsEmpty());
  EXPECT_EQ(more.config.watchdog->pretimeout, std::chrono::seconds(5));
}

TEST(PairConfig, AWatchdogThatCannotWorkIsNamed) {
  EXPECT_THAT(read_watchdog("{}").problems, ElementsAre(HasSubstr("ccm.watchdog.device: found nothing"),
                                                        HasSubstr("ccm.watchdog.timeout_ms: found nothing")));
  EXPECT_THAT(read_watchdog(R"("/dev/watchdog0")").problems, Contains(HasSubstr("ccm.watchdog: found")));
  EXPECT_THAT(read_watchdog(R"({"device": "watchdog0", "timeout_ms": 5000})").problems,
              ElementsAre(HasSubstr("ccm.watchdog.device: found \"watchdog0\"; allowed: an absolute path")));
  EXPECT_THAT(read_watchdog(R"({"device": "/dev/watchdog0", "timeout_ms": 1000})").problems,
              ElementsAre(HasSubstr("ccm.watchdog.timeout_ms: found 1000")));
  EXPECT_THAT(read_watchdog(R"({"device": "/dev/watchdog0", "timeout_ms": 601000})").problems,
              ElementsAre(HasSubstr("ccm.watchdog.timeout_ms: found 601000")));
  EXPECT_THAT(read_watchdog(R"({"device": "/dev/watchdog0", "timeout_ms": 2500})").problems,
              ElementsAre(HasSubstr("timeout_ms (2500) is no whole number of seconds")));
  EXPECT_THAT(read_watchdog(R"({"device": "/dev/watchdog0", "timeout_ms": 5000, "pretimeout_ms": 1500})").problems,
              ElementsAre(HasSubstr("pretimeout_ms (1500) is no whole number of seconds")));
  EXPECT_THAT(read_watchdog(R"({"device": "/dev/watchdog0", "timeout_ms": 5000, "pretimout_ms": 1000})").problems,
              ElementsAre(HasSubstr("did you mean \"pretimeout_ms\"?")));
  EXPECT_THAT(read(with(R"(, "watchdgo": {})")).problems, ElementsAre(HasSubstr("did you mean \"watchdog\"?")));
}

TEST(PairConfig, ThatAContainerCoversItsPoolsIsPromisedOfNothingElse) {
  const Read silent = read_watchdog(R"({"device": "/run/hapair-watchdog", "timeout_ms": 5000})");
  EXPECT_THAT(silent.problems, IsEmpty());
  EXPECT_FALSE(silent.config.watchdog->container_covers_pools) << "unless somebody says so";
  EXPECT_TRUE(silent.config.watchdog->names_container());
  const Read promised =
      read_watchdog(R"({"device": "/run/hapair-watchdog", "timeout_ms": 5000, "container_covers_pools": true})");
  EXPECT_THAT(promised.problems, IsEmpty());
  EXPECT_TRUE(promised.config.watchdog->container_covers_pools);
  EXPECT_THAT(
      read_watchdog(R"({"device": "/dev/watchdog0", "timeout_ms": 5000, "container_covers_pools": true})").problems,
      ElementsAre(HasSubstr("/dev/watchdog0 resets the machine")));
}

TEST(PairConfig, TheTimesOfAWatchdogAreRefusedWithTheArithmetic) {
  EXPECT_THAT(read_watchdog(R"({"device": "/dev/watchdog0", "timeout_ms": 4000})",
                            R"(, "pace_ms": 500, "operation_deadline_ms": 1000)")
                  .problems,
              ElementsAre(HasSubstr("timeout_ms (4000) is shorter than 10 x ccm.pace_ms (10 x 500 = 5000)")));
  EXPECT_THAT(read_watchdog(R"({"device": "/dev/watchdog0", "timeout_ms": 5000, "pretimeout_ms": 3000})").problems,
              ElementsAre(HasSubstr("pretimeout_ms (3000) is longer than half of timeout_ms (5000 / 2 = 2500)")));
}

class KeyFile : public testing::Test {
 protected:
  std::string write(const std::string& content, unsigned mode) {
    const std::string file = folder_ / "pair.key";
    std::ofstream(file) << content;
    ::chmod(file.c_str(), mode);
    return file;
  }
  std::string error_of(const std::string& file) {
    const auto key = load_key(file);
    return key ? "no error" : key.error();
  }
  TempFolder folder_;
  std::string secret_ = std::string(32, 's');
};

TEST_F(KeyFile, IsReadWholeWhereItIsInOrder) {
  const auto first = load_key(write(secret_, 0600));
  ASSERT_TRUE(first);
  const auto longer = load_key(write(secret_ + "x", 0400));
  ASSERT_TRUE(longer);
  EXPECT_FALSE(*first == *longer) << "every byte counts";
}

TEST_F(KeyFile, MissingIsSaidWithHowToMakeOne) {
  EXPECT_THAT(error_of(folder_ / "none"), HasSubstr("head -c 32 /dev/urandom"));
}

TEST_F(KeyFile, ReadableByOthersIsRefusedWithItsMode) {
  for (const unsigned mode : {0644U, 0640U, 0604U, 0660U}) {
    EXPECT_THAT(error_of(write(secret_, mode)), HasSubstr("which others can read or write")) << mode;
  }
}

TEST_F(KeyFile, OfAnotherUserIsRefused) {
  const std::string file = write(secret_, 0600);
  constexpr uid_t kNobody = 65534;
  if (::chown(file.c_str(), kNobody, kNobody) != 0) GTEST_SKIP() << "only root can give a file away";
  EXPECT_THAT(error_of(file), HasSubstr("found an owner (uid 65534)"));
}

TEST_F(KeyFile, TooShortIsRefusedWithItsLength) {
  EXPECT_THAT(error_of(write(std::string(31, 's'), 0600)), HasSubstr("found 31 bytes"));
}

TEST_F(KeyFile, AFolderIsNoKey) { EXPECT_THAT(error_of(folder_.path()), HasSubstr("not a regular file")); }

TEST(BootIdFile, HoldsABootIdOrIsRefused) {
  const TempFolder folder;
  const std::string file = folder / "boot_id";
  std::ofstream(file) << "11111111-2222-3333-4444-555555555555\n";
  EXPECT_TRUE(load_boot_id(file));
  for (const char* content : {"", "garbage", "00000000-0000-0000-0000-000000000000\n"}) {
    std::ofstream(file) << content;
    EXPECT_FALSE(load_boot_id(file)) << content;
  }
}

}  // namespace
}  // namespace hapair::ccm
