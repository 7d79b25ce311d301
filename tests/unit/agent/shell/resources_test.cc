#include "agent/shell/resources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/shell/held_process.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kDummy = "/usr/lib/ocf/resource.d/heartbeat/Dummy";

ResourceConfig ocf(const std::string& provider, const std::string& agent) {
  ResourceConfig resource;
  resource.name = "thing";
  resource.kind = ResourceKind::ocf;
  resource.type = "ocf:" + provider + ":" + agent;
  resource.provider = provider;
  resource.agent = agent;
  resource.start_timeout = resource.stop_timeout = resource.monitor_timeout = std::chrono::seconds(20);
  return resource;
}

ResourceConfig unit(const std::string& name) {
  ResourceConfig resource = ocf("", "");
  resource.kind = ResourceKind::systemd;
  resource.type = "systemd:" + name;
  resource.unit = name;
  return resource;
}

class AResource : public testing::Test {
 protected:
  AResource() {
    places_.ocf_root = folder_ / "ocf";
    places_.scratch_dir = folder_ / "scratch";
    places_.systemctl = folder_ / "systemctl";
  }
  // An agent of provider "test" with this body.
  ResourceConfig scripted(const std::string& body) {
    folder_.write_script("ocf/resource.d/test/Scripted", body);
    return ocf("test", "Scripted");
  }
  ResourceConfig systemctl_that(const std::string& body) {
    folder_.write_script("systemctl", body);
    return unit("thing.service");
  }
  ActionResult run(const ResourceConfig& resource, ResourceAction action, Duration interval = Duration::zero()) {
    pools_ = {PoolConfig{*PoolName::parse("pool-a"), *NodeName::parse("alpha"), {resource}}};
    std::optional<ActionResult> got;
    Resources resources(runner_, pools_, places_, [&](ResourceId id, ResourceAction of, const ActionResult& result) {
      EXPECT_EQ(id, (ResourceId{0, 0}));
      EXPECT_EQ(of, action);
      got = result;
    });
    resources.run({0, 0}, action, interval);
    EXPECT_FALSE(resources.idle({0, 0}));
    EXPECT_TRUE(loop_.run_until([&] { return got.has_value(); }));
    EXPECT_TRUE(resources.idle({0, 0}));
    return got.value_or(ActionResult{});
  }

  test::TempFolder folder_;
  test::EventLoop loop_;
  SystemClock clock_;
  SystemProcessRunner runner_{loop_.get(), clock_};
  ResourcePlaces places_;
  std::vector<PoolConfig> pools_;
};

TEST_F(AResource, GetsTheEnvironmentOfTheResourceAgentApi) {
  ResourceConfig resource = scripted("echo \"$1\" >$OCF_RESKEY_file; env | sort >>$OCF_RESKEY_file");
  resource.parameters = {{"file", folder_ / "seen"}, {"options", "rw,noatime,x=\"y z\""}};
  EXPECT_EQ(run(resource, ResourceAction::monitor, milliseconds(10'000)).outcome, ActionOutcome::succeeded);
  const std::string seen = test::content_of(folder_ / "seen");
  EXPECT_TRUE(seen.starts_with("monitor\n")) << seen;
  for (const std::string& line :
       {std::string("OCF_ROOT=") + places_.ocf_root, std::string("OCF_RA_VERSION_MAJOR=1"),
        std::string("OCF_RA_VERSION_MINOR=1"), std::string("OCF_RESOURCE_TYPE=Scripted"),
        std::string("OCF_RESOURCE_PROVIDER=test"), std::string("OCF_RESOURCE_INSTANCE=pool-a.thing"),
        std::string("OCF_RESKEY_options=rw,noatime,x=\"y z\""), std::string("OCF_RESKEY_CRM_meta_timeout=20000"),
        std::string("OCF_RESKEY_CRM_meta_interval=10000"), "HA_RSCTMP=" + places_.scratch_dir,
        std::string("HA_LOGFACILITY=none"), std::string("HA_debug=0"), std::string("LC_ALL=C")}) {
    EXPECT_THAT(seen, HasSubstr("\n" + line + "\n"));
  }
  EXPECT_TRUE(std::filesystem::is_directory(places_.scratch_dir));
}

TEST_F(AResource, OfTheRealDummyAgentStartsMonitorsAndStops) {
  ASSERT_TRUE(std::filesystem::exists(kDummy)) << kDummy << " is missing: run deploy/setup --for tests";
  places_.ocf_root = "/usr/lib/ocf";
  const ResourceConfig dummy = ocf("heartbeat", "Dummy");
  EXPECT_EQ(run(dummy, ResourceAction::monitor).outcome, ActionOutcome::not_running);
  EXPECT_EQ(run(dummy, ResourceAction::start).outcome, ActionOutcome::succeeded);
  EXPECT_TRUE(std::filesystem::exists(places_.scratch_dir + "/Dummy-pool-a.thing.state"));
  EXPECT_EQ(run(dummy, ResourceAction::monitor).outcome, ActionOutcome::succeeded);
  EXPECT_EQ(run(dummy, ResourceAction::stop).outcome, ActionOutcome::succeeded);
  EXPECT_EQ(run(dummy, ResourceAction::stop).outcome, ActionOutcome::succeeded);
  EXPECT_EQ(run(dummy, ResourceAction::monitor).outcome, ActionOutcome::not_running);
}

TEST_F(AResource, ThatFailsGivesTheAgentsOwnReason) {
  const auto result = run(scripted("echo noise >&2; echo ocf-exit-reason:first >&2\n"
                                   "echo 'ocf-exit-reason:cannot mount /dev/sdb1' >&2; echo more noise >&2; exit 5"),
                          ResourceAction::start);
  EXPECT_EQ(result.outcome, ActionOutcome::failed);
  EXPECT_EQ(result.code, 5);
  EXPECT_EQ(result.reason,
            "ocf:test:Scripted start answered OCF_ERR_INSTALLED (5, something that the agent needs is not installed on "
            "this node): cannot mount /dev/sdb1");
}

TEST_F(AResource, WithoutAReasonGivesTheLastLineOfItsAgent) {
  EXPECT_EQ(run(scripted("echo one >&2; echo two >&2; exit 1"), ResourceAction::start).reason,
            "ocf:test:Scripted start answered OCF_ERR_GENERIC (1): two");
  EXPECT_EQ(run(scripted("echo only this; exit 77"), ResourceAction::start).reason,
            "ocf:test:Scripted start answered exit code 77, which no OCF agent should: only this");
}

TEST_F(AResource, ThatIsNotRunningIsSoOnlyToAMonitor) {
  const ResourceConfig resource = scripted("exit 7");
  EXPECT_EQ(run(resource, ResourceAction::monitor).outcome, ActionOutcome::not_running);
  EXPECT_EQ(run(resource, ResourceAction::monitor).reason, "");
  EXPECT_EQ(run(resource, ResourceAction::start).outcome, ActionOutcome::failed);
  EXPECT_EQ(run(resource, ResourceAction::stop).outcome, ActionOutcome::failed);
}

TEST_F(AResource, ThatIsDegradedStillWorks) {
  const auto result = run(scripted("echo ocf-exit-reason:one path lost >&2; exit 190"), ResourceAction::monitor);
  EXPECT_EQ(result.outcome, ActionOutcome::succeeded);
  EXPECT_THAT(result.reason, HasSubstr("OCF_DEGRADED (190, it works, but the agent expects a failure soon): one path"));
}

TEST_F(AResource, OfReservedDisksIsAskedOfHapairReserve) {
  ResourceConfig resource = ocf("", "");
  resource.kind = ResourceKind::reservation;
  resource.type = "scsi:reservation";
  resource.devices = {"/dev/one", "/dev/two"};
  resource.command_timeout = milliseconds(1500);
  places_.reserve_program =
      folder_.write_script("hapair-reserve", "echo \"$@\" >" + (folder_ / "called") +
                                                 "; echo why not >&2; exit $(cat " + (folder_ / "code") + ")");
  places_.reserve_identity = {"--node", "alpha"};
  const auto answered = [&](ResourceAction action, const std::string& code) {
    folder_.write("code", code);
    return run(resource, action);
  };
  EXPECT_EQ(answered(ResourceAction::start, "0").outcome, ActionOutcome::succeeded);
  EXPECT_EQ(test::content_of(folder_ / "called"),
            "start --node alpha --title pool-a/thing --command-timeout-ms 1500 -- /dev/one /dev/two\n");
  const auto lost = answered(ResourceAction::monitor, "7");
  EXPECT_EQ(lost.outcome, ActionOutcome::not_running);
  EXPECT_EQ(lost.reason, "why not");
  EXPECT_EQ(answered(ResourceAction::monitor, "190").outcome, ActionOutcome::succeeded);
  EXPECT_EQ(answered(ResourceAction::monitor, "1").outcome, ActionOutcome::failed);
  EXPECT_EQ(answered(ResourceAction::stop, "7").outcome, ActionOutcome::failed);
  EXPECT_EQ(answered(ResourceAction::start, "190").outcome, ActionOutcome::failed);
}

TEST_F(AResource, WhoseAgentHangsTimesOut) {
  ResourceConfig resource = scripted("echo waiting for the disk >&2; sleep 600");
  resource.stop_timeout = milliseconds(200);
  const auto result = run(resource, ResourceAction::stop);
  EXPECT_EQ(result.outcome, ActionOutcome::timed_out);
  EXPECT_THAT(result.reason, HasSubstr("still ran after 200 ms and was ended with SIGTERM: waiting for the disk"));
}

TEST_F(AResource, IsNotToldStoppedWhileAProcessOfAnEarlierStartHangs) {
  // A mount that waits for its disk: its agent times out, and the stop that follows finds nothing mounted yet.
  ResourceConfig resource =
      scripted("case $1 in start) sleep 600 & echo $! >" + (folder_ / "mount") + "; wait ;; monitor) exit 7 ;; esac");
  resource.start_timeout = milliseconds(300);
  pools_ = {PoolConfig{*PoolName::parse("pool-a"), *NodeName::parse("alpha"), {resource}}};
  std::optional<ActionResult> got;
  Resources resources(runner_, pools_, places_, [&](ResourceId, ResourceAction, const ActionResult& r) { got = r; });
  const auto result_of = [&](ResourceAction action) {
    got.reset();
    resources.run({0, 0}, action);
    EXPECT_TRUE(loop_.run_until([&] { return got.has_value(); }));
    return got.value_or(ActionResult{});
  };
  const auto mount = [&] { return std::atoi(test::content_of(folder_ / "mount").c_str()); };
  resources.run({0, 0}, ResourceAction::start);
  ASSERT_TRUE(loop_.run_until([&] { return mount() > 0; }));
  test::HeldProcess held(mount());
  ASSERT_TRUE(loop_.run_until([&] { return got.has_value(); }));
  EXPECT_EQ(got->outcome, ActionOutcome::timed_out);
  const ActionResult stop = result_of(ResourceAction::stop);
  EXPECT_EQ(stop.outcome, ActionOutcome::failed);
  EXPECT_THAT(stop.reason, HasSubstr("the agent says that it is stopped, but a process of an earlier action"));
  EXPECT_EQ(result_of(ResourceAction::monitor).outcome, ActionOutcome::failed);
  held.let_go();
  EXPECT_EQ(result_of(ResourceAction::monitor).outcome, ActionOutcome::not_running);
  EXPECT_EQ(result_of(ResourceAction::stop).outcome, ActionOutcome::succeeded);
}

TEST_F(AResource, WhoseAgentDiesFails) {
  const auto result = run(scripted("kill -KILL $$"), ResourceAction::start);
  EXPECT_EQ(result.outcome, ActionOutcome::failed);
  EXPECT_EQ(result.reason, "ocf:test:Scripted start was ended by SIGKILL");
}

TEST_F(AResource, WhoseAgentIsGoneFails) {
  const auto result = run(ocf("test", "Missing"), ResourceAction::monitor);
  EXPECT_EQ(result.outcome, ActionOutcome::failed);
  EXPECT_THAT(result.reason, HasSubstr("could not be started: No such file or directory"));
}

TEST_F(AResource, ThatIsAUnitIsStartedAndStoppedThroughSystemctl) {
  const ResourceConfig resource = systemctl_that("echo \"$@\" >>" + (folder_ / "calls"));
  EXPECT_EQ(run(resource, ResourceAction::start).outcome, ActionOutcome::succeeded);
  EXPECT_EQ(run(resource, ResourceAction::stop).outcome, ActionOutcome::succeeded);
  EXPECT_EQ(test::content_of(folder_ / "calls"),
            "--no-ask-password --no-pager start -- thing.service\n"
            "--no-ask-password --no-pager stop -- thing.service\n");
  const auto result = run(systemctl_that("echo 'Job for thing.service failed.' >&2; exit 1"), ResourceAction::start);
  EXPECT_EQ(run(systemctl_that("exit 5"), ResourceAction::stop).outcome, ActionOutcome::succeeded)
      << "what is not loaded does not run";
  EXPECT_EQ(result.outcome, ActionOutcome::failed);
  EXPECT_EQ(result.reason,
            "systemctl start thing.service answered exit code 1 (see: journalctl -u thing.service): Job for "
            "thing.service failed.");
}

TEST_F(AResource, ThatIsAUnitIsMonitoredByItsState) {
  const auto state = [this](const std::string& word, const std::string& load = "loaded") {
    return run(systemctl_that("echo LoadState=" + load + "; echo ActiveState=" + word), ResourceAction::monitor);
  };
  EXPECT_EQ(state("active").outcome, ActionOutcome::succeeded);
  EXPECT_EQ(state("reloading").outcome, ActionOutcome::succeeded);
  EXPECT_EQ(state("inactive").outcome, ActionOutcome::not_running);
  EXPECT_EQ(state("failed").outcome, ActionOutcome::not_running);
  EXPECT_THAT(state("failed").reason, HasSubstr("in the state \"failed\""));
  EXPECT_EQ(state("activating").outcome, ActionOutcome::failed);
  EXPECT_EQ(state("deactivating").outcome, ActionOutcome::failed);
  EXPECT_EQ(state("inactive", "not-found").outcome, ActionOutcome::not_running);
  EXPECT_THAT(state("inactive", "not-found").reason, HasSubstr("systemd knows no unit thing.service"));
}

TEST_F(AResource, ThatIsAUnitFailsWhereSystemdDoesNotRun) {
  const auto result = run(systemctl_that("echo 'System has not been booted with systemd as init system' >&2; exit 1"),
                          ResourceAction::monitor);
  EXPECT_EQ(result.outcome, ActionOutcome::failed);
  EXPECT_THAT(result.reason, HasSubstr("System has not been booted with systemd"));
}

TEST_F(AResource, RunsBesideOthersAndMayBeAbandoned) {
  pools_ = {PoolConfig{*PoolName::parse("pool-a"), *NodeName::parse("alpha"), {}}};
  pools_[0].resources = {scripted("[ $OCF_RESOURCE_INSTANCE = pool-a.slow ] && sleep 600; exit 0"), {}};
  pools_[0].resources[1] = pools_[0].resources[0];
  pools_[0].resources[0].name = "slow";
  std::vector<ResourceId> finished;
  Resources resources(runner_, pools_, places_,
                      [&](ResourceId id, ResourceAction, const ActionResult&) { finished.push_back(id); });
  resources.run({0, 0}, ResourceAction::start);
  resources.run({0, 1}, ResourceAction::start);
  EXPECT_TRUE(loop_.run_until([&] { return !finished.empty(); }));
  EXPECT_THAT(finished, ElementsAre(ResourceId{0, 1}));
  resources.abandon({0, 0});
  EXPECT_TRUE(resources.idle({0, 0}));
  EXPECT_TRUE(loop_.run_until([&] { return runner_.lingering() == 0; }));
  EXPECT_EQ(finished.size(), 1U);
}

}  // namespace
}  // namespace hapair::agent
