#include "agent/config/forecast.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "agent/config/limits.h"

namespace hapair::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class AForecast : public ::testing::Test {
 protected:
  AForecast() {
    config_.pair.node = *NodeName::parse("alpha");
    config_.pair.partner = *NodeName::parse("beta");
    config_.pair.pace = milliseconds(10);
    config_.pair.operation_deadline = milliseconds(50);
    config_.heartbeat = {.floor = milliseconds(30), .ceiling = milliseconds(500), .agent_floor = milliseconds(60)};
    config_.takeover = {.hold = milliseconds(25),
                        .agent_silent = seconds(30),
                        .ccm_silent = seconds(30),
                        .storage_stalled = std::nullopt,
                        .reboot_silent = seconds(180)};
    config_.fencing.attempts = 3;
    config_.fencing.retry = seconds(2);
    add_device("power");
    PoolConfig pool{.name = *PoolName::parse("pool-b"), .home = config_.pair.partner, .resources = {}};
    pool.resources.resize(2);
    for (ResourceConfig& resource : pool.resources) resource.start_timeout = seconds(60);
    config_.pools.push_back(pool);
  }

  void add_device(const std::string& name) {
    config_.fencing.devices.push_back(
        {.name = name, .program = "", .options = {}, .timeout = seconds(20), .delay = seconds(1)});
  }
  void add_channel(const char* name, const std::string& device, Duration pace) {
    ccm::NetworkConfig network;
    network.name = *NetworkName::parse(name);
    network.device = device;
    network.pace = pace;
    config_.pair.networks.push_back(network);
  }
  // The outcome, with a mark where an operator is needed.
  std::string of(const std::string& failure) {
    for (const Forecast& row : forecast(config_)) {
      if (row.failure.starts_with(failure)) return (row.by_itself ? "" : "operator: ") + row.outcome;
    }
    return "no such failure";
  }

  AgentConfig config_;
};

TEST_F(AForecast, of_a_death_names_the_time_and_the_devices_in_order) {
  add_device("pdu");
  EXPECT_EQ(
      of("beta is dead, or"),
      "known 65 ms after its last beat; it is fenced by power, then pdu, and its pools are served here once that is "
      "confirmed");
}

TEST_F(AForecast, under_pacemaker_leaves_everything_to_it) {
  config_.arbiter = ArbiterKind::pacemaker;
  config_.pacemaker.consensus = milliseconds(500);
  EXPECT_EQ(
      of("beta is dead"),
      "known here 40 ms after its last beat; Corosync, asked by this node to look at once (pacemaker.look_at_once), "
      "gives it up within 500 ms (pacemaker.consensus_ms), so Pacemaker fences it and promotes the clone of its pools "
      "here, which this node obeys");
  config_.pacemaker.look_at_once = false;
  EXPECT_NE(of("beta is dead").find("when Corosync's token is lost"), std::string::npos);
  EXPECT_EQ(of("every link of hapair's").find("operator: "), std::string::npos);
  config_.pacemaker.request_fence = true;
  EXPECT_NE(of("beta is dead").find("(pacemaker.request_fence), fences it"), std::string::npos);
  EXPECT_EQ(of("every link of hapair's"),
            "operator: beta is fenced at this node's word, though Pacemaker sees it (pacemaker.request_fence)");
  EXPECT_EQ(of("nothing is promoted"), "operator: nothing is served: hapair starts no pool by itself");
  EXPECT_EQ(of("beta's agent dies").find("operator: "), std::string::npos);
  const auto steps = takeover_timeline(config_);
  EXPECT_TRUE(std::ranges::any_of(
      steps, [](const TimelineStep& step) { return step.what.starts_with("Pacemaker has it fenced"); }));
  EXPECT_FALSE(std::ranges::any_of(
      steps, [](const TimelineStep& step) { return step.what.starts_with("a fence is confirmed"); }));
}

TEST_F(AForecast, of_a_death_is_an_operators_where_nothing_is_taken_by_itself) {
  config_.takeover.automatic = false;
  EXPECT_TRUE(
      of("beta is dead, or")
          .starts_with("operator: known 65 ms after its last beat; an operator decides, for takeover.automatic"));
  config_.fencing.devices.clear();
  EXPECT_NE(of("beta is dead, or").find("hapair confirm-down beta"), std::string::npos);
  EXPECT_EQ(of("beta is dead, and no fence device"), "no such failure");
}

TEST_F(AForecast, of_cut_links_depends_on_what_else_is_left) {
  EXPECT_TRUE(of("every rail is cut").starts_with("cannot be told from a death"));
  EXPECT_NE(of("every rail and network is cut").find("the first confirmed fence wins"), std::string::npos);
  add_channel("lan", "", milliseconds(20));
  EXPECT_TRUE(of("every rail is cut").starts_with("each is still seen over network lan: interconnect-lost"));
  EXPECT_NE(of("every rail and network is cut").find("the first confirmed fence wins"), std::string::npos);
  EXPECT_EQ(of("the mailbox disk"), "no such failure");
  add_channel("m", "/dev/sdx", milliseconds(100));
  EXPECT_TRUE(of("every rail is cut").starts_with("each is still seen over network lan or disk m: interconnect-lost"));
  EXPECT_TRUE(of("every rail and network is cut").starts_with("each still beats on disk m: interconnect-lost"));
  EXPECT_TRUE(of("every rail and network is cut").ends_with("takeover and giveback go over the disk"));
  EXPECT_NE(of("the mailbox disk"), "no such failure");
}

TEST_F(AForecast, of_a_storage_that_stands_still_follows_the_rule) {
  EXPECT_TRUE(of("beta's storage").starts_with("operator: "));
  config_.takeover.storage_stalled = seconds(7);
  EXPECT_TRUE(of("beta's storage").starts_with("after 7000 ms more it is fenced by power"));
}

TEST_F(AForecast, has_the_arithmetic_of_a_takeover) {
  const auto steps = takeover_timeline(config_);
  ASSERT_EQ(steps.size(), 5U);
  EXPECT_EQ(steps[0].at_most, milliseconds(40));
  EXPECT_EQ(steps[1].at_most, milliseconds(25));
  EXPECT_FALSE(steps[2].at_most);
  EXPECT_EQ(steps[3].at_most, 3 * seconds(41) + 2 * seconds(2)) << "a delay, off, and the question whether it is off";
  EXPECT_EQ(steps[4].at_most, seconds(120));
}

// Where a disk is one of the channels, it is the slowest to fall silent.
TEST_F(AForecast, waits_for_the_slowest_channel) {
  EXPECT_EQ(silent_after(config_), milliseconds(40));
  add_channel("lan", "", milliseconds(20));
  EXPECT_EQ(silent_after(config_), milliseconds(60));
  add_channel("m", "/dev/sdx", milliseconds(100));
  EXPECT_EQ(silent_after(config_), milliseconds(510));
  EXPECT_GE(beats_end(config_), silent_after(config_));
}

TEST_F(AForecast, with_the_arbiter_mailbox_counts_on_the_end_of_a_lease) {
  config_.arbiter = ArbiterKind::mailbox;
  config_.lease = {.duration = seconds(5), .stop = seconds(10)};
  config_.pair.watchdog = {.device = "/dev/watchdog0", .timeout = seconds(10), .pretimeout = {}};
  add_channel("m", "/dev/sdx", milliseconds(100));
  EXPECT_EQ(lease_wait(config_), milliseconds(36'360)) << "5 + 10 + (2 x 10 + 1) s and a hundredth";
  EXPECT_NE(of("beta is dead, or").find("or, without that, when its lease must be over, 36 s after"),
            std::string::npos);
  EXPECT_TRUE(of("beta is dead, and no fence device answers").starts_with("its lease is waited for"));
  config_.fencing.devices.clear();
  EXPECT_NE(of("beta is dead").find("its pools are served here when its lease must be over, 36 s after"),
            std::string::npos);
  EXPECT_NE(of("beta's agent or its ccmd").find("after 36 s at the latest"), std::string::npos);
  EXPECT_NE(of("the mailbox disk is lost").find("freed from its lease by the other's word"), std::string::npos);
  EXPECT_EQ(of("one of the three"), "no such failure");
  EXPECT_TRUE(of("alpha is cut off from beta").starts_with("it stops its pools when its lease is over"));
  const auto steps = takeover_timeline(config_);
  ASSERT_EQ(steps.size(), 6U);
  EXPECT_EQ(steps[4].at_most, milliseconds(36'360));
  config_.takeover.automatic = false;
  EXPECT_TRUE(of("beta is dead").starts_with("operator: "));
}

TEST_F(AForecast, with_the_arbiter_corosync_counts_on_its_quorum_and_says_where_that_grants_nothing) {
  config_.arbiter = ArbiterKind::corosync;
  config_.lease = {.duration = seconds(20), .stop = seconds(10)};
  config_.pair.watchdog = {.device = "/dev/watchdog0", .timeout = seconds(10), .pretimeout = {}};
  EXPECT_EQ(lease_wait(config_), milliseconds(51'510)) << "20 + 10 + (2 x 10 + 1) s and a hundredth";
  config_.fencing.devices.clear();
  EXPECT_NE(of("beta is dead")
                .find("52 s after Corosync here has quorum without it, and with a quorum device another "
                      "5.2 x quorum.device.timeout"),
            std::string::npos)
      << of("beta is dead");
  EXPECT_TRUE(of("Corosync runs with two_node").starts_with("operator: no pool is served under a lease"));
  EXPECT_NE(of("the quorum device is lost").find("its pools stop when their leases are over"), std::string::npos);
  EXPECT_NE(of("Corosync stops on one node").find("freed from its leases by the other's word"), std::string::npos);
  EXPECT_TRUE(of("alpha is cut off from beta").starts_with("it stops its pools when its lease is over"));
  EXPECT_NE(of("every rail and network is cut").find("the node that keeps quorum goes on"), std::string::npos);
  EXPECT_EQ(of("the mailbox disk is lost"), "no such failure");
}

class AForecastWithPoison : public AForecast {
 protected:
  AForecastWithPoison() {
    config_.fencing.devices.clear();
    add_device("rails");
    config_.fencing.devices.back().kind = FenceKind::poison;
    config_.pair.poison = {.bound = seconds(15), .reset = ccm::PoisonReset::watchdog};
  }
};

TEST_F(AForecastWithPoison, says_that_it_helps_neither_a_dead_partner_nor_a_lost_interconnect) {
  EXPECT_TRUE(of("beta is dead, or").starts_with("operator: ")) << of("beta is dead, or");
  EXPECT_NE(of("beta is dead, or").find("poison needs its ccmd and a rail to it"), std::string::npos);
  EXPECT_TRUE(of("beta's ccmd dies").starts_with("operator: "));
  EXPECT_TRUE(of("every rail and network is cut").starts_with("operator: "));
  EXPECT_NE(
      of("beta lives, and was fenced by rails").find("neither when the interconnect is lost nor when beta has no"),
      std::string::npos);
}

TEST_F(AForecastWithPoison, says_what_it_helps) {
  EXPECT_EQ(of("beta's agent dies"),
            "nothing for 30 s, in which it may be restarted; then it is fenced by rails, and its pools are served here "
            "once that is confirmed");
  EXPECT_NE(of("beta lives, and was fenced by rails").find("within 15 s (ccm.poison.bound_ms) its watchdog resets it"),
            std::string::npos);
  config_.pair.poison.reset = ccm::PoisonReset::none;
  EXPECT_TRUE(of("beta lives, and was fenced by rails").starts_with("operator: "));
}

TEST_F(AForecastWithPoison, leaves_a_death_to_the_devices_behind_it) {
  add_device("power");
  EXPECT_NE(of("beta is dead, or").find("fenced by power, and"), std::string::npos) << of("beta is dead, or");
  EXPECT_NE(of("beta's agent dies").find("fenced by rails, then power"), std::string::npos);
  // Of a partner that died its rail is given up within the operation's deadline; each round, and what is between them.
  const auto steps = takeover_timeline(config_);
  const auto fence = std::ranges::find_if(steps, [](const TimelineStep& s) { return s.what.contains("a fence is"); });
  ASSERT_NE(fence, steps.end());
  EXPECT_EQ(fence->at_most, 3 * (seconds(1) + milliseconds(50) + seconds(1) + 2 * seconds(20)) + 2 * seconds(2));
}

}  // namespace
}  // namespace hapair::agent
