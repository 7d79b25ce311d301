#include "agent/shell/cluster_alert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace hapair::agent {
namespace {

using testing::HasSubstr;
using Kind = ClusterAlert::Kind;
using Variables = std::map<std::string, std::string>;

Variables a_promotion() {
  return {{"CRM_alert_kind", "resource"},
          {"CRM_alert_node", "alpha"},
          {"CRM_alert_task", "promote"},
          {"CRM_alert_rsc", "pool-a:1"},
          {"CRM_alert_rc", "0"},
          {"CRM_alert_target_rc", "0"},
          {"CRM_alert_status", "0"},
          {"CRM_alert_interval", "0"},
          {"CRM_alert_exec_time", "812"},
          {"CRM_alert_desc", "ok"},
          {"CRM_alert_timestamp_epoch", "1700000000"},
          {"CRM_alert_timestamp_usec", "000250"},
          {"CRM_alert_node_sequence", "17"},
          {"CRM_alert_recipient", ""},
          {"CRM_alert_version", "2.1.5"}};
}

std::expected<ClusterAlert, std::string> read(const Variables& variables) {
  return read_alert([&](const std::string& name) {
    const auto it = variables.find(name);
    return it == variables.end() ? std::nullopt : std::optional(it->second);
  });
}

std::string mistake(const Variables& variables) {
  const auto alert = read(variables);
  return alert ? "none" : alert.error();
}

TEST(AnAlert, IsReadFromWhatPacemakerGivesItsAgents) {
  const auto alert = read(a_promotion());
  ASSERT_TRUE(alert) << alert.error();
  EXPECT_EQ(*alert, (ClusterAlert{.kind = Kind::resource,
                                  .node = "alpha",
                                  .task = "promote",
                                  .desc = "ok",
                                  .resource = "pool-a:1",
                                  .rc = 0,
                                  .target_rc = 0,
                                  .status = 0,
                                  .interval_ms = 0,
                                  .exec_time_ms = 812,
                                  .wall_us = 1'700'000'000'000'250}));
  EXPECT_TRUE(read({{"CRM_alert_kind", "node"}, {"CRM_alert_node", "beta"}, {"CRM_alert_desc", "lost"}}));
  EXPECT_TRUE(read({{"CRM_alert_kind", "attribute"}, {"CRM_alert_node", "beta"}}));
}

TEST(AnAlert, PassesTheControlSocketUnchanged) {
  const auto alert = read(a_promotion());
  ASSERT_TRUE(alert);
  EXPECT_EQ(alert_of(request_of(*alert)), *alert);
}

TEST(AnAlert, OfAnUnknownKindIsNone) {
  EXPECT_THAT(mistake({}), HasSubstr("CRM_alert_kind: found nothing; allowed: node, fencing, resource, attribute"));
  EXPECT_THAT(mistake({{"CRM_alert_kind", "weather"}}), HasSubstr("found \"weather\""));
}

TEST(AnAlert, IsRefusedWithTheVariableThatIsWrong) {
  struct Case {
    const char* name;
    std::string value;
    const char* sentence;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"CRM_alert_node", "", "CRM_alert_node: found nothing; allowed: a name"},
           {"CRM_alert_node", std::string(256, 'n'), "CRM_alert_node: found 256 bytes; allowed: a name of at most 255"},
           {"CRM_alert_node", "beta\nMESSAGE=x", "CRM_alert_node: found \"beta MESSAGE=x\"; allowed: printable ASCII"},
           {"CRM_alert_node", "b\xc3\xa9ta", "printable ASCII"},
           {"CRM_alert_task", "", "CRM_alert_task: found nothing"},
           {"CRM_alert_rsc", "", "CRM_alert_rsc: found nothing"},
           {"CRM_alert_rc", "", "CRM_alert_rc: found nothing; allowed: a number"},
           {"CRM_alert_rc", "zero", "CRM_alert_rc: found \"zero\"; allowed: a number"},
           {"CRM_alert_rc", "1e3", "CRM_alert_rc"},
           {"CRM_alert_rc", "99999999999999999999", "CRM_alert_rc"},
           {"CRM_alert_exec_time", "-1", "CRM_alert_exec_time: found -1; allowed: 0 to "},
           {"CRM_alert_timestamp_epoch", "9223372036854775807", "CRM_alert_timestamp_epoch"},
           {"CRM_alert_timestamp_usec", "1000000", "CRM_alert_timestamp_usec: found 1000000; allowed: 0 to 999999"}}) {
    Variables variables = a_promotion();
    variables[c.name] = c.value;
    EXPECT_THAT(mistake(variables), HasSubstr(c.sentence)) << c.name;
  }
  Variables node = {{"CRM_alert_kind", "node"}, {"CRM_alert_node", "beta"}, {"CRM_alert_desc", "asleep"}};
  EXPECT_THAT(mistake(node), HasSubstr("CRM_alert_desc: found \"asleep\"; allowed: member, lost"));
}

TEST(AnAlert, HasASummaryOfOneBoundedLine) {
  Variables variables = a_promotion();
  variables["CRM_alert_desc"] = "two\nlines \xff" + std::string(5000, 'x');
  const auto alert = read(variables);
  ASSERT_TRUE(alert);
  EXPECT_TRUE(alert->desc.starts_with("two lines ?x")) << alert->desc;
  EXPECT_LE(alert->desc.size(), kMaxAlertDescBytes + 3);
}

}  // namespace
}  // namespace hapair::agent
