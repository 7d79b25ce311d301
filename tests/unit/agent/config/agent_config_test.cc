#include "agent/config/agent_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/agent/config/agent_config_file.h"

namespace hapair::agent {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(AgentConfigFile, KnowsLimitsAndVetoes) {
  json given = least();
  given["fencing"]["limit"] = 5;
  given["giveback"]["limit_within_ms"] = 120'000;
  given["pools"][0]["vetoes"] =
      json::array({{{"name", "mirror"}, {"program", {folder_ / "sbin/fence_ipmilan", "pool-a"}}, {"timeout_ms", 700}}});
  const auto config = load(given);
  ASSERT_TRUE(config) << testing::PrintToString(config.error().lines());
  EXPECT_EQ(config->fencing.limit, 5);
  EXPECT_EQ(config->fencing.limit_within, std::chrono::hours(1));
  EXPECT_EQ(config->giveback.limit, 3);
  EXPECT_EQ(config->giveback.limit_within, std::chrono::minutes(2));
  ASSERT_EQ(config->pools[0].vetoes.size(), 1U);
  EXPECT_EQ(config->pools[0].vetoes[0].name, "mirror");
  EXPECT_THAT(config->pools[0].vetoes[0].program, ElementsAre(folder_ / "sbin/fence_ipmilan", "pool-a"));
  EXPECT_EQ(config->pools[0].vetoes[0].timeout, milliseconds(700));

  given["fencing"]["limit"] = 17;
  EXPECT_THAT(only_problem(given), HasSubstr("fencing.limit: found 17"));
  given["fencing"]["limit"] = 0;
  given["pools"][0]["vetoes"][0]["program"] = json::array({"mirror-is-whole"});
  EXPECT_THAT(only_problem(given), HasSubstr("\"mirror-is-whole\", which is no absolute path"));
  given["pools"][0]["vetoes"][0]["program"] = json::array();
  EXPECT_THAT(only_problem(given), HasSubstr("which is missing"));
}

TEST_F(AgentConfigFile, TheLeastConfigurationGetsTheDocumentedDefaults) {
  const auto config = load(least());
  ASSERT_TRUE(config) << testing::PrintToString(config.error().lines());
  EXPECT_EQ(config->state_dir, "/var/lib/hapair");
  EXPECT_EQ(config->heartbeat.floor, milliseconds(30));
  EXPECT_EQ(config->heartbeat.ceiling, milliseconds(500));
  EXPECT_EQ(config->heartbeat.agent_floor, milliseconds(60));
  const auto bound_of = [&](ccm::BootPhase phase) {
    return config->heartbeat.phase_bounds.at(static_cast<std::size_t>(phase));
  };
  EXPECT_EQ(bound_of(ccm::BootPhase::early), milliseconds(60'000));
  EXPECT_EQ(bound_of(ccm::BootPhase::shutting_down), milliseconds(300'000));
  EXPECT_EQ(bound_of(ccm::BootPhase::storage_active), milliseconds(0)) << "a node serves as long as it likes";
  EXPECT_EQ(config->takeover.reboot_silent, milliseconds(180'000));
  EXPECT_EQ(config->giveback.bound, milliseconds(10'000));
  EXPECT_EQ(config->arbiter, ArbiterKind::none);
  EXPECT_EQ(config->fencing.attempts, 3);
  EXPECT_EQ(config->fencing.retry, milliseconds(2000));
  EXPECT_TRUE(config->takeover.automatic);
  EXPECT_EQ(config->takeover.agent_silent, milliseconds(30'000));
  EXPECT_TRUE(config->giveback.automatic);
  EXPECT_EQ(config->giveback.stable, milliseconds(10'000));
  EXPECT_TRUE(config->hand_over_at_shutdown);
  EXPECT_EQ(config->record_file_bytes, 4'194'304U);
  ASSERT_EQ(config->fencing.devices.size(), 1U);
  const FenceDeviceConfig& device = config->fencing.devices.front();
  EXPECT_EQ(device.program, folder_ / "sbin/fence_ipmilan");
  EXPECT_EQ(device.action, FenceAction::off);
  EXPECT_EQ(device.timeout, milliseconds(20'000));
  EXPECT_THAT(device.options, ElementsAre(std::pair("ip", "10.0.0.9"), std::pair("plug", "beta")));
}

TEST_F(AgentConfigFile, AResourceWaitsForTheOneBeforeItUnlessAfterSaysOtherwise) {
  json given = least();
  resource(given, 2)["after"] = json::array({"fs"});
  auto config = load(given);
  ASSERT_TRUE(config);
  const auto& resources = config->pools[0].resources;
  EXPECT_THAT(resources[0].after, IsEmpty());
  EXPECT_THAT(resources[1].after, ElementsAre(0));
  EXPECT_THAT(resources[2].after, ElementsAre(0));
  EXPECT_EQ(resources[1].kind, ResourceKind::systemd);
  EXPECT_EQ(resources[1].unit, "nfs-server.service");
  EXPECT_EQ(resources[0].provider, "heartbeat");
  EXPECT_EQ(resources[0].agent, "Filesystem");
  EXPECT_THAT(resources[0].parameters, ElementsAre(std::pair("device", "/dev/sda1"), std::pair("run_fsck", "false")));

  resource(given, 2)["after"] = json::array();
  config = load(given);
  ASSERT_TRUE(config);
  EXPECT_THAT(config->pools[0].resources[2].after, IsEmpty());
}

TEST_F(AgentConfigFile, AMonitorTimeoutThatWasNotGivenFitsTheInterval) {
  const auto config = load(least());
  ASSERT_TRUE(config);
  EXPECT_EQ(config->pools[0].resources[0].monitor_interval, milliseconds(10'000));
  EXPECT_EQ(config->pools[0].resources[0].monitor_timeout, milliseconds(10'000));
}

TEST_F(AgentConfigFile, EveryMistakeIsNamedAtOnce) {
  json given = least();
  given["pace"] = 3;
  given["takeover"]["automatik"] = true;
  resource(given, 0)["start_timeout_ms"] = "soon";
  EXPECT_THAT(problems(given),
              ElementsAre(HasSubstr("takeover.automatik: unknown key (did you mean \"automatic\"?)"),
                          HasSubstr("pools[0].resources[0].start_timeout_ms: found \"soon\"; allowed: milliseconds"),
                          HasSubstr("pace: unknown key")));
}

TEST_F(AgentConfigFile, PoolsWithoutResourcesAreRefused) {
  json given = least();
  given["pools"][0]["resources"] = json::array();
  EXPECT_EQ(only_problem(given), "pools[0].resources: found 0 resources; allowed: 1 to 64 resources");
  given = least();
  given["pools"] = json::array();
  EXPECT_EQ(only_problem(given), "pools: found 0 pools; allowed: 1 to 16 pools");
}

TEST_F(AgentConfigFile, MoreThanSixteenPoolsAreRefused) {
  json given = least();
  json pool = given["pools"][0];
  pool["resources"] = json::array({pool["resources"][0]});
  given["pools"] = json::array();
  for (int i = 0; i < 17; ++i) {
    pool["name"] = "pool-" + std::to_string(i);
    pool["resources"][0]["parameters"]["device"] = "/dev/disk/by-id/" + std::to_string(i);
    given["pools"].push_back(pool);
  }
  EXPECT_EQ(only_problem(given), "pools: found 17 pools; allowed: 1 to 16 pools");
  given["pools"].erase(16);
  EXPECT_THAT(problems(given), IsEmpty());
}

TEST_F(AgentConfigFile, NamesThatAreGivenTwiceAreRefused) {
  json given = least();
  resource(given, 2)["name"] = "fs";
  EXPECT_THAT(only_problem(given), HasSubstr("pools[0].resources[2].name: found \"fs\" for a second time"));
  given = least();
  given["pools"].push_back(given["pools"][0]);
  given["pools"][1]["resources"].erase(1);
  given["pools"][1]["resources"][0]["parameters"]["device"] = "/dev/sdb1";
  EXPECT_THAT(only_problem(given), HasSubstr("pools[1].name: found \"pool-a\" for a second time"));
  given = least();
  given["fencing"]["devices"].push_back(given["fencing"]["devices"][0]);
  EXPECT_THAT(only_problem(given), HasSubstr("fencing.devices[1].name: found \"power\" for a second time"));
}

TEST_F(AgentConfigFile, AHomeThatIsNeitherNodeIsRefused) {
  json given = least();
  given["pools"][0]["home"] = "gamma";
  EXPECT_EQ(only_problem(given), "pools[0].home: found \"gamma\"; allowed: \"alpha\" or \"beta\"");
}

TEST_F(AgentConfigFile, AnUnknownAfterNamesTheResourcesOfThePool) {
  json given = least();
  resource(given, 1)["after"] = json::array({"fss"});
  EXPECT_EQ(
      only_problem(given),
      "pools[0].resources[1].after: found \"fss\"; allowed: other resources of this pool: \"fs\", \"nfs\", \"ip\"");
  resource(given, 1)["after"] = json::array({"nfs"});
  EXPECT_THAT(only_problem(given), HasSubstr("found \"nfs\", itself"));
}

TEST_F(AgentConfigFile, ACircleOfAfterIsShownWithItsWayRound) {
  json given = least();
  resource(given, 0)["after"] = json::array({"ip"});
  EXPECT_THAT(only_problem(given), HasSubstr("\"after\" goes in a circle (fs after ip after nfs after fs)"));
}

TEST_F(AgentConfigFile, AgentsThatCannotBeRunAreRefused) {
  json given = least();
  resource(given, 0)["type"] = "ocf:heartbeat:Missing";
  EXPECT_THAT(only_problem(given), HasSubstr("/resource.d/heartbeat/Missing does not exist on this node"));
  resource(given, 0)["type"] = "ocf:heartbeat:NoRights";
  EXPECT_THAT(only_problem(given), HasSubstr("is not executable"));
  given = least();
  given["fencing"]["devices"][0]["agent"] = "fence_none";
  EXPECT_THAT(only_problem(given), HasSubstr("found \"fence_none\", which is no executable file in "));
  given["fencing"]["devices"][0]["agent"] = "/sbin/fence_none";
  EXPECT_THAT(only_problem(given), HasSubstr("which does not exist on this node"));
  given["fencing"]["devices"][0]["agent"] = "sbin/fence_none";
  EXPECT_THAT(only_problem(given), HasSubstr("allowed: a bare name or an absolute path"));
}

TEST_F(AgentConfigFile, TypesOfAnotherFormAreRefused) {
  for (const char* type :
       {"lsb:nfs", "ocf:heartbeat", "ocf:heartbeat:../x", "ocf:..:Filesystem", "ocf:a:b:c",
        "systemd:", "systemd:nfs-server", "systemd:-x.service", "systemd:a b.service", "Filesystem"}) {
    json given = least();
    resource(given, 0)["type"] = type;
    resource(given, 0).erase("parameters");
    EXPECT_THAT(only_problem(given),
                HasSubstr("allowed: \"ocf:PROVIDER:AGENT\", \"systemd:UNIT\" or \"scsi:reservation\""))
        << type;
  }
}

TEST_F(AgentConfigFile, WithoutArbiterAndFencingAnAutomaticTakeoverIsRefused) {
  json given = least();
  given["fencing"]["devices"] = json::array();
  EXPECT_THAT(only_problem(given), HasSubstr("nothing can prove that a silent partner has stopped"));
  given["takeover"]["automatic"] = false;
  EXPECT_THAT(problems(given), IsEmpty());
}

TEST_F(AgentConfigFile, TheArbiterMailboxWantsADiskAndAWatchdog) {
  json given = least();
  given["fencing"]["devices"] = json::array();
  given["arbiter"] = "mailbox";
  const auto all = problems(given);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_THAT(all[0], HasSubstr("no mailbox disk is given"));
  EXPECT_THAT(all[1], HasSubstr("ccm.watchdog is not given"));
  given["ccm"]["mailbox_disks"] = json::array({{{"name", "disk"}, {"device", "/dev/disk/by-id/mailbox"}}});
  given["ccm"]["watchdog"] = {{"device", "/dev/watchdog"}, {"timeout_ms", 10000}};
  EXPECT_THAT(problems(given), IsEmpty()) << "what a lease's end proves takes no fence device";
  given["lease"] = {{"duration_ms", 10}};
  EXPECT_THAT(only_problem(given), HasSubstr("duration_ms"));
  given["arbiter"] = "quorum";
  given.erase("lease");
  EXPECT_THAT(
      problems(given),
      Contains("arbiter: found \"quorum\"; allowed: one of \"none\", \"mailbox\", \"pacemaker\", \"corosync\""));
}

TEST_F(AgentConfigFile, TheArbiterCorosyncWantsAWatchdogAndLeasesThatOutlastARing) {
  json given = least();
  given["fencing"]["devices"] = json::array();
  given["arbiter"] = "corosync";
  EXPECT_THAT(only_problem(given), HasSubstr("arbiter is \"corosync\" and ccm.watchdog is not given"));
  given["ccm"]["watchdog"] = {{"device", "/dev/watchdog"}, {"timeout_ms", 10000}};
  const auto config = load(given);
  ASSERT_TRUE(config) << "what a lease's end proves takes neither a fence device nor a disk";
  EXPECT_EQ(config->arbiter, ArbiterKind::corosync);
  EXPECT_EQ(config->lease.duration, std::chrono::seconds(20));
}

TEST_F(AgentConfigFile, TheArbiterPacemakerWantsNoFenceDeviceOfItsOwn) {
  json given = least();
  given["fencing"]["devices"] = json::array();
  given["arbiter"] = "pacemaker";
  EXPECT_THAT(problems(given), IsEmpty());
}

TEST_F(AgentConfigFile, AFenceDeviceAgainstThisNodeItselfIsRefused) {
  json given = least();
  given["fencing"]["devices"][0]["options"]["plug"] = "alpha";
  EXPECT_THAT(only_problem(given), HasSubstr("the device would switch off the survivor"));
  given["fencing"]["devices"][0]["options"] = {{"action", "off"}};
  EXPECT_THAT(only_problem(given), HasSubstr("use the device's key \"action\""));
  given["fencing"]["devices"][0]["options"] = {{"ip", "10.0.0.9\naction=on"}};
  EXPECT_THAT(only_problem(given), HasSubstr("an agent reads its options line by line"));
}

TEST_F(AgentConfigFile, TimesThatContradictEachOtherAreRefusedWithTheArithmetic) {
  struct Case {
    const char* change;
    const char* sentence;
  };
  for (
      const Case& c : std::initializer_list<Case>{
          {R"({"heartbeat": {"phase_bounds_ms": {"early": -1}}})", "heartbeat.phase_bounds_ms.early"},
          {R"({"heartbeat": {"phase_bounds_ms": {"awaiting-giveback": 5}}})", "awaiting-giveback"},
          {R"({"giveback": {"bound_ms": 10}})", "giveback.bound_ms"},
          {R"({"heartbeat": {"floor_ms": 15}})",
           "heartbeat.floor_ms: floor_ms (15) is shorter than 2 x ccm.pace_ms (2 x 10 = 20): "},
          {R"({"heartbeat": {"agent_floor_ms": 15, "floor_ms": 20}, "ccm": {"pace_ms": 9, "operation_deadline_ms": 20}})",
           "agent_floor_ms (15) is shorter than 2 x ccm.pace_ms (2 x 9 = 18)"},
          {R"({"heartbeat": {"ceiling_ms": 100}})",
           "ceiling_ms (100) is shorter than ccm.operation_deadline_ms + ccm.pace_ms (100 + 10 = 110)"},
          {R"({"heartbeat": {"floor_ms": 300, "ceiling_ms": 200, "agent_floor_ms": 400}})",
           "ceiling_ms (200) is shorter than heartbeat.floor_ms (300)"},
          {R"({"heartbeat": {"agent_floor_ms": 25}})", "agent_floor_ms (25) is shorter than heartbeat.floor_ms (30)"},
          {R"({"heartbeat": {"agent_floor_ms": 600}})",
           "ceiling_ms (500) is shorter than heartbeat.agent_floor_ms (600)"},
          {R"({"ccm": {"operation_deadline_ms": 15}})",
           "operation_deadline_ms (15) is shorter than 2 x pace_ms (2 x 10 = 20)"},
          {R"({"takeover": {"agent_silent_ms": 50}})",
           "agent_silent_ms (50) is shorter than heartbeat.agent_floor_ms (60)"},
          {R"({"takeover": {"ccm_silent_ms": 29.5}})", "ccm_silent_ms (29.5) is shorter than heartbeat.floor_ms (30)"},
          {R"({"giveback": {"stable_ms": 200}})", "stable_ms (200) is shorter than heartbeat.ceiling_ms (500)"},
      }) {
    json given = least();
    given.merge_patch(json::parse(c.change));
    EXPECT_THAT(problems(given), testing::Contains(HasSubstr(c.sentence)));
  }
}

TEST_F(AgentConfigFile, TimesOfAResourceThatContradictEachOtherAreRefused) {
  json given = least();
  resource(given, 0)["monitor_timeout_ms"] = 3000;
  resource(given, 0)["monitor_interval_ms"] = 2000;
  EXPECT_THAT(only_problem(given), HasSubstr("monitor_timeout_ms (3000) is longer than monitor_interval_ms (2000)"));
  resource(given, 0)["monitor_interval_ms"] = 0;
  EXPECT_THAT(problems(given), IsEmpty());
  resource(given, 0)["restarts"] = 0;
  EXPECT_THAT(only_problem(given), HasSubstr("on_failure is \"restart\" with 0 restarts"));
  resource(given, 0)["on_failure"] = "give-away";
  EXPECT_THAT(problems(given), IsEmpty());
}

TEST_F(AgentConfigFile, GivebackMayBeQuickWhereItIsByHand) {
  json given = least();
  given["giveback"] = {{"automatic", false}, {"stable_ms", 0}};
  EXPECT_THAT(problems(given), IsEmpty());
}

TEST_F(AgentConfigFile, ParametersThatCannotReachTheAgentAreRefused) {
  json given = least();
  resource(given, 0)["parameters"] = {{"a b", 1}};
  EXPECT_THAT(only_problem(given), HasSubstr("found the name \"a b\""));
  resource(given, 0)["parameters"] = {{"CRM_meta_timeout", 1}};
  EXPECT_THAT(only_problem(given), HasSubstr("not with \"CRM_meta\""));
  resource(given, 0)["parameters"] = {{"nested", {1}}};
  EXPECT_THAT(only_problem(given), HasSubstr("parameters.nested"));
  given = least();
  resource(given, 1)["parameters"] = {{"x", "y"}};
  EXPECT_THAT(only_problem(given), HasSubstr("a systemd unit takes no parameters"));
}

TEST_F(AgentConfigFile, AUnitADiskAndAnAddressBelongToOneResourceOnly) {
  json given = least();
  resource(given, 2)["parameters"] = {{"ip", "192.0.2.10"}};
  json other = given["pools"][0];
  other["name"] = "pool-b";
  other["home"] = "beta";
  given["pools"].push_back(other);
  EXPECT_THAT(problems(given),
              ElementsAre(HasSubstr("disk /dev/sda1 is a resource of pool-a.fs and of pool-b.fs: both nodes could"),
                          HasSubstr("systemd unit nfs-server.service is a resource of pool-a.nfs and of pool-b.nfs"),
                          HasSubstr("address 192.0.2.10 is a resource of pool-a.ip and of pool-b.ip")));
  json& pool_b = given["pools"][1]["resources"];
  pool_b[0]["parameters"]["device"] = "/dev/sdb1";
  pool_b[1]["type"] = "systemd:smb.service";
  pool_b[2]["parameters"]["ip"] = "192.0.2.11";
  EXPECT_THAT(problems(given), IsEmpty());
  pool_b.push_back(pool_b[0]);
  pool_b.back()["name"] = "subvolume";
  EXPECT_THAT(problems(given), IsEmpty()) << "one pool may mount two parts of one disk";
  // Two may well mount what a network serves.
  given["pools"][0]["resources"][0]["parameters"]["device"] = pool_b[0]["parameters"]["device"] = "filer:/export";
  EXPECT_THAT(problems(given), IsEmpty());
}

TEST_F(AgentConfigFile, NodesThatAreRefusedAreTheOnlyProblem) {
  json given = least();
  given["node"] = "al pha";
  EXPECT_THAT(only_problem(given), HasSubstr("node: found \"al pha\""));
}

TEST_F(AgentConfigFile, AStateFolderInsideTheRunFolderIsRefused) {
  json given = least();
  given["state_dir"] = "/run/hapair/state";
  EXPECT_THAT(only_problem(given), HasSubstr("state_dir (/run/hapair/state) is inside run_dir (/run/hapair)"));
  given["state_dir"] = "relative";
  EXPECT_THAT(only_problem(given), HasSubstr("allowed: an absolute path"));
}

TEST_F(AgentConfigFile, ARunFolderTooLongForASocketIsRefused) {
  json given = least();
  given["run_dir"] = "/" + std::string(100, 'r');
  EXPECT_THAT(only_problem(given), HasSubstr("has 113 bytes; allowed: 107; use a shorter run_dir"));
}

TEST_F(AgentConfigFile, ASyntaxErrorComesWithItsLine) {
  const auto loaded =
      load_agent_config(folder_.write("broken.json", "{\n  \"pair\": \"lab\",\n  \"node\" \"alpha\"\n}"));
  ASSERT_FALSE(loaded);
  ASSERT_EQ(loaded.error().lines().size(), 1U);
  EXPECT_THAT(loaded.error().lines().front(), HasSubstr("line 3, column"));
}

TEST_F(AgentConfigFile, TheExampleIsInOrderWhereItsAgentsAreInstalled) {
  for (const char* agent : {"iSCSITarget", "iSCSILogicalUnit"}) {
    folder_.write_script(std::string("ocf/resource.d/heartbeat/") + agent, "exit 0");
  }
  const auto config = load_agent_config(HAPAIR_EXAMPLE_CONFIG, places_);
  ASSERT_TRUE(config) << testing::PrintToString(config.error().lines());
  ASSERT_EQ(config->pools.size(), 2U);
  EXPECT_THAT(config->pools[0].resources[2].after, ElementsAre(0, 1));
}

TEST_F(AgentConfigFile, BothNodesHashTheSame) {
  json there = least();
  there["node"] = "beta";
  there["partner"] = "alpha";
  there["fencing"]["devices"][0]["options"]["plug"] = "alpha";
  there["state_dir"] = "/srv/hapair";
  resource(there, 0)["start_timeout_ms"] = 5000;
  const auto alpha = load(least());
  const auto beta = load(there);
  ASSERT_TRUE(alpha);
  ASSERT_TRUE(beta);
  EXPECT_EQ(shared_config_hash(*alpha), shared_config_hash(*beta));
}

TEST_F(AgentConfigFile, TheHashTellsWhatBothNodesMustAgreeOn) {
  const auto hash = [this](const json& given) {
    const auto config = load(given);
    EXPECT_TRUE(config) << testing::PrintToString(config.error().lines());
    return shared_config_hash(*config);
  };
  std::vector<json> variants(8, least());
  variants[1]["pair"] = "lab2";
  variants[2]["partner"] = "gamma";
  variants[3]["pools"][0]["home"] = "beta";
  variants[4]["pools"][0]["name"] = "pool-c";
  resource(variants[5], 0)["parameters"]["device"] = "/dev/sdb1";
  resource(variants[6], 2)["after"] = json::array({"fs"});
  resource(variants[7], 2)["type"] = "ocf:heartbeat:Filesystem";
  std::set<std::uint64_t> hashes;
  for (const json& variant : variants) hashes.insert(hash(variant));
  EXPECT_EQ(hashes.size(), variants.size());
}

TEST_F(AgentConfigFile, TheFleetIsOffUnlessAskedFor) {
  auto given = least();
  EXPECT_FALSE(load(given)->corosync.fleet);
  given["corosync"] = {{"fleet", true}};
  EXPECT_TRUE(load(given)->corosync.fleet);
  EXPECT_EQ(load(given)->corosync.group, "hapair");
  given["corosync"]["group"] = "two words";
  EXPECT_THAT(only_problem(given), HasSubstr("corosync.group"));
}

TEST_F(AgentConfigFile, PoisonIsAFenceDeviceThatWaitsForItsPartnersBound) {
  auto given = least();
  const nlohmann::json rails = {{"name", "rails"}, {"type", "poison"}};
  given["fencing"]["devices"].insert(given["fencing"]["devices"].begin(), rails);
  const auto config = load(given);
  ASSERT_TRUE(config) << testing::PrintToString(config.error().lines());
  ASSERT_EQ(config->fencing.devices.size(), 2U);
  EXPECT_EQ(config->fencing.devices[0].kind, FenceKind::poison);
  EXPECT_EQ(config->fencing.devices[0].timeout, std::chrono::seconds(20));
  given["ccm"]["poison"] = {{"bound_ms", 30'000}};
  EXPECT_THAT(only_problem(given), HasSubstr("timeout_ms (20000) is shorter than ccm.poison.bound_ms (30000)"));
  given["fencing"]["devices"][0]["timeout_ms"] = 30'000;
  EXPECT_THAT(problems(given), testing::IsEmpty());
  given["fencing"]["devices"][0]["action"] = "off";
  EXPECT_THAT(only_problem(given), HasSubstr("action"));
}

}  // namespace
}  // namespace hapair::agent
