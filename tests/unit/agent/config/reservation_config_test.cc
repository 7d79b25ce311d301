#include "agent/config/reservation_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/agent/config/agent_config_file.h"

namespace hapair::agent {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;

// Two pools, each on a reserved disk, and the fence that stands on these.
class AReservation : public AgentConfigFile {
 protected:
  AReservation() {
    places_.reserve_program = folder_.write_script("sbin/hapair-reserve", "exit 0");
    given_ = least();
    for (const char* pool : {"pool-a", "pool-b"}) {
      pools_.push_back({{"name", pool},
                        {"home", "alpha"},
                        {"resources",
                         {{{"name", "disks"}, {"type", "scsi:reservation"}, {"devices", {std::string("/dev/") + pool}}},
                          {{"name", "fs"}, {"type", "ocf:heartbeat:Filesystem"}}}}});
    }
    given_["pools"] = pools_;
  }
  json& disks() { return resource(given_, 0); }

  json given_;
  json pools_ = json::array();
};

TEST_F(AReservation, HasItsDefaults) {
  const auto config = load(given_);
  ASSERT_TRUE(config) << testing::PrintToString(config.error().lines());
  const ResourceConfig& reservation = config->pools[0].resources[0];
  EXPECT_EQ(reservation.kind, ResourceKind::reservation);
  EXPECT_THAT(reservation.devices, ElementsAre("/dev/pool-a"));
  EXPECT_EQ(reservation.command_timeout, milliseconds(3000));
  EXPECT_EQ(reservation.on_failure, OnFailure::give_away);
  json other = given_;
  resource(other, 0)["devices"] = {"/dev/another"};
  EXPECT_NE(shared_config_hash(*config), shared_config_hash(*load(other)));
}

TEST_F(AReservation, NamesDisks) {
  disks()["devices"] = json::array();
  EXPECT_THAT(only_problem(given_), HasSubstr("found 0 disks; allowed: 1 to 64 disks that both nodes reach"));
  disks()["devices"] = {"sda"};
  EXPECT_THAT(only_problem(given_), HasSubstr("found \"sda\"; allowed: the path of a disk"));
  disks()["devices"] = {"/dev/x", "/dev/x"};
  EXPECT_THAT(only_problem(given_), HasSubstr("found \"/dev/x\" for a second time"));
  disks()["devices"] = {"/dev/pool-b"};
  EXPECT_THAT(only_problem(given_), HasSubstr("disk /dev/pool-b is a resource of pool-a.disks and of pool-b.disks"));
}

TEST_F(AReservation, IsNotRestartedByItself) {
  disks()["on_failure"] = "restart";
  EXPECT_THAT(only_problem(given_), HasSubstr("must not take it back by itself"));
}

TEST_F(AReservation, IsLookedAtAndGivenUpInTime) {
  disks()["monitor_interval_ms"] = 0;
  EXPECT_THAT(only_problem(given_), HasSubstr("would not notice that it was preempted"));
  disks()["monitor_interval_ms"] = 5000;
  EXPECT_THAT(only_problem(given_),
              HasSubstr("monitor_timeout_ms (5000) is shorter than 2 x command_timeout_ms (2 x 3000)"));
  disks()["monitor_interval_ms"] = 10'000;
  disks()["stop_timeout_ms"] = 9000;
  EXPECT_THAT(only_problem(given_), HasSubstr("stop_timeout_ms (9000) is shorter than 4 x command_timeout_ms"));
}

TEST_F(AReservation, ComesBeforeAllElse) {
  resource(given_, 1)["after"] = json::array();
  EXPECT_THAT(only_problem(given_),
              HasSubstr("fs does not come after disks: it could write to the disks before they are "
                        "this node's"));
}

TEST_F(AReservation, NeedsItsProgram) {
  places_.reserve_program.clear();
  EXPECT_THAT(problems(given_), Each(HasSubstr("hapair-reserve is neither beside this program nor in /usr/sbin")));
}

TEST_F(AReservation, CarriesAFenceOfAllDisks) {
  given_["fencing"]["devices"] = {{{"name", "disks"}, {"type", "scsi"}, {"delay_ms", 500}}};
  const auto config = load(given_);
  ASSERT_TRUE(config) << testing::PrintToString(config.error().lines());
  const FenceDeviceConfig& device = config->fencing.devices[0];
  EXPECT_EQ(device.program, places_.reserve_program);
  EXPECT_EQ(device.action, FenceAction::off);
  EXPECT_EQ(device.arguments.front(), "fence");
  EXPECT_THAT(device.arguments, IsSupersetOf({"--pair", "lab", "--node", "alpha", "--partner", "beta"}));
  const std::vector<std::string> last(device.arguments.end() - 3, device.arguments.end());
  EXPECT_THAT(last, ElementsAre("--", "/dev/pool-a", "/dev/pool-b"));
}

TEST_F(AReservation, IsNeededOfEachPoolWhereAFenceStandsOnIt) {
  given_["fencing"]["devices"] = {{{"name", "disks"}, {"type", "scsi"}}};
  given_["pools"][1]["resources"] = {{{"name", "fs"}, {"type", "ocf:heartbeat:Filesystem"}}};
  EXPECT_THAT(only_problem(given_), HasSubstr("pool-b has none: it would confirm a fence that stops nothing there"));
  given_["fencing"]["devices"][0]["agent"] = "fence_ipmilan";
  EXPECT_THAT(problems(given_), Contains(HasSubstr("fencing.devices[0].agent")));
}

}  // namespace
}  // namespace hapair::agent
