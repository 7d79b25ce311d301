#include "agent/shell/pair_alerts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hapair::agent {
namespace {

using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Kind = ClusterAlert::Kind;
using Fields = std::vector<std::pair<std::string, std::string>>;

Record record(const std::string& kind, const Fields& fields, const std::string& text = "a sentence") {
  return {instant_of_ns(9), Severity::notice, kind, *PoolName::parse("pool-a"), 7, text, fields};
}

class TheAlertsOfAPair : public testing::Test {
 protected:
  TheAlertsOfAPair()
      : alerts_(*NodeName::parse("alpha"), *NodeName::parse("beta"),
                {{.name = "ipmi", .program = "/x", .options = {}, .action = FenceAction::reboot}}) {}
  // "kind node task rsc rc: desc"
  std::string told(const std::string& kind, const Fields& fields, const std::string& text = "a sentence") {
    const auto alert = alerts_.take(record(kind, fields, text));
    if (!alert) return "";
    return std::string(text_of(alert->kind)) + " " + alert->node + " " + alert->task + " " + alert->resource + " " +
           (alert->rc ? std::to_string(*alert->rc) : "") + ": " + alert->desc;
  }
  std::string verdict(const char* word) { return told("verdict", {{"verdict", word}}); }

  PairAlerts alerts_;
};

TEST_F(TheAlertsOfAPair, TellThatThePartnerIsLostAndReturnsOnceEach) {
  EXPECT_EQ(verdict("alive"), "") << "nothing was told lost before";
  EXPECT_EQ(verdict("interconnect-lost"), "") << "it is heard elsewhere";
  EXPECT_EQ(verdict("agent-hung"), "");
  EXPECT_EQ(verdict("unreachable"), "node beta   : lost");
  EXPECT_EQ(verdict("rebooted"), "");
  EXPECT_EQ(verdict("ccm-restarted"), "");
  EXPECT_EQ(verdict("alive"), "node beta   : member");
  EXPECT_EQ(verdict("alive"), "");
  for (const char* lost : {"hung", "panicked", "rebooted"}) {
    EXPECT_EQ(verdict(lost), "node beta   : lost") << lost;
    EXPECT_EQ(verdict("alive"), "node beta   : member");
  }
}

TEST_F(TheAlertsOfAPair, TellOfAFenceWithTheDevicesActionAndItsResult) {
  EXPECT_EQ(told("fence-confirmed", {{"device", "ipmi"}, {"result", "confirmed"}, {"took_ms", "812.5"}}),
            "fencing beta reboot  0: Operation reboot of beta by alpha for hapaird@alpha: OK (ref=hapair-7-9)");
  EXPECT_EQ(
      told("fence-failed", {{"device", "ipmi"}, {"result", "unknown"}}, "fence of beta: unknown after 20000 ms"),
      "fencing beta reboot  -201: Operation reboot of beta by alpha for hapaird@alpha: fence of beta: unknown after "
      "20000 ms (ref=hapair-7-9)");
  EXPECT_THAT(told("fence-confirmed", {{"device", "root (pid 7)"}, {"result", "confirmed"}}),
              StartsWith("fencing beta off  0: "));
}

TEST_F(TheAlertsOfAPair, TellOfPoolsThatComeGoAndFail) {
  EXPECT_EQ(told("pool-serving", {{"permit", "fenced"}, {"took_ms", "812.345"}}), "resource alpha start pool-a 0: ok");
  EXPECT_EQ(alerts_.take(record("pool-serving", {{"permit", "fenced"}, {"took_ms", "812.345"}}))->exec_time_ms, 812);
  EXPECT_EQ(told("pool-serving", {{"permit", "held"}}), "") << "a restarted agent moved nothing";
  EXPECT_EQ(told("pool-state", {{"from", "releasing"}, {"to", "released"}}), "resource alpha stop pool-a 0: ok");
  EXPECT_EQ(told("pool-state", {{"from", "probing"}, {"to", "released"}}), "");
  EXPECT_EQ(told("pool-state", {{"from", "stopping"}, {"to", "failed"}}), "resource alpha stop pool-a 1: error");
  EXPECT_EQ(told("pool-state", {{"from", "claiming"}, {"to", "fencing"}}), "");
  EXPECT_EQ(told("resource-failed", {{"resource", "fs"}, {"action", "start"}, {"outcome", "failed"}}),
            "resource alpha start pool-a/fs 1: error");
  EXPECT_EQ(told("resource-restarting", {{"resource", "fs"}, {"action", "monitor"}, {"outcome", "not-running"}}),
            "resource alpha monitor pool-a/fs 7: not running");
  EXPECT_EQ(told("resource-started", {{"resource", "fs"}}), "");
  EXPECT_EQ(told("pacemaker-node", {{"channel", "Pacemaker on alpha"}}), "") << "what Pacemaker told goes nowhere else";
}

TEST_F(TheAlertsOfAPair, HaveTheEnvironmentThatPacemakersOwnHave) {
  AlertAgentConfig agent{.path = "/x", .recipient = "ops@example.org", .options = {{"email_sender", "hapair"}}};
  ClusterAlert alert = *alerts_.take(record("pool-serving", {{"permit", "fenced"}, {"took_ms", "812.345"}}));
  alert.wall_us = 1'700'000'000'000'250;
  const auto variables = alert_environment(alert, agent, 3, "hapair-0.1.0");
  for (const char* expected :
       {"CRM_alert_kind=resource", "CRM_alert_node=alpha", "CRM_alert_rsc=pool-a", "CRM_alert_task=start",
        "CRM_alert_desc=ok", "CRM_alert_rc=0", "CRM_alert_target_rc=0", "CRM_alert_status=0", "CRM_alert_interval=0",
        "CRM_alert_exec_time=812", "CRM_alert_recipient=ops@example.org", "CRM_alert_version=hapair-0.1.0",
        "CRM_alert_node_sequence=3", "CRM_alert_timestamp_epoch=1700000000", "CRM_alert_timestamp_usec=000250",
        "email_sender=hapair", "LC_ALL=C"}) {
    EXPECT_THAT(variables, Contains(expected));
  }
  EXPECT_THAT(variables, Contains(testing::MatchesRegex("CRM_alert_timestamp=..:..:..\\.000250")));
  // And can be told to a hapaird under Pacemaker as well: both ends speak of one form.
  const auto read = read_alert([&](const std::string& name) -> std::optional<std::string> {
    for (const std::string& variable : variables) {
      if (variable.starts_with(name + "=")) return variable.substr(name.size() + 1);
    }
    return std::nullopt;
  });
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(*read, alert);
  alert = *alerts_.take(record("verdict", {{"verdict", "hung"}}));
  EXPECT_THAT(alert_environment(alert, agent, 4, "x"), Each(Not(StartsWith("CRM_alert_rsc"))));
}

}  // namespace
}  // namespace hapair::agent
