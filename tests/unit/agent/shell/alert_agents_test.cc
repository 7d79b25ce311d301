#include "agent/shell/alert_agents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

ClusterAlert lost() {
  return {.kind = ClusterAlert::Kind::node, .node = "beta", .task = "", .desc = "lost", .resource = ""};
}

class TheAlertAgents : public testing::Test {
 protected:
  AlertAgentConfig& add(const std::string& name, const std::string& body) {
    configs_.push_back({.path = folder_.write_script(name, body),
                        .recipient = folder_ / (name + ".told"),
                        .options = {},
                        .timeout = std::chrono::seconds(20)});
    return configs_.back();
  }
  AlertAgents& agents() {
    if (!agents_) {
      agents_ = std::make_unique<AlertAgents>(runner_, configs_, "hapair-test",
                                              [this](const std::string& sentence) { troubles_.push_back(sentence); });
    }
    return *agents_;
  }
  std::string told(const std::string& name) { return test::content_of(folder_ / (name + ".told")); }
  bool until(const std::function<bool()>& condition) { return loop_.run_until(condition, std::chrono::seconds(60)); }

  test::TempFolder folder_;
  test::EventLoop loop_;
  SystemClock clock_;
  SystemProcessRunner runner_{loop_.get(), clock_};
  std::vector<AlertAgentConfig> configs_;
  std::vector<std::string> troubles_;
  std::unique_ptr<AlertAgents> agents_;
};

TEST_F(TheAlertAgents, AreCalledWithTheEnvironmentOfPacemakersOwn) {
  add("env", "env | sort >$CRM_alert_recipient.new && mv $CRM_alert_recipient.new $CRM_alert_recipient").options = {
      {"email_sender", "hapair"}};
  agents().send(lost());
  ASSERT_TRUE(until([&] { return !told("env").empty(); }));
  for (const char* line : {"CRM_alert_kind=node\n", "CRM_alert_node=beta\n", "CRM_alert_desc=lost\n",
                           "CRM_alert_node_sequence=1\n", "CRM_alert_version=hapair-test\n", "email_sender=hapair\n"}) {
    EXPECT_THAT(told("env"), HasSubstr(line));
  }
  EXPECT_THAT(told("env"), testing::Not(HasSubstr("HOME="))) << "nothing is inherited";
  EXPECT_THAT(troubles_, IsEmpty());
}

TEST_F(TheAlertAgents, AreEachToldInOrderAndOneDoesNotWaitForAnother) {
  add("slow",
      "while [ ! -e $CRM_alert_recipient.go ]; do sleep 0.05; done; echo $CRM_alert_node_sequence "
      ">>$CRM_alert_recipient");
  add("quick", "echo $CRM_alert_node_sequence >>$CRM_alert_recipient");
  for (int i = 0; i < 3; ++i) agents().send(lost());
  ASSERT_TRUE(until([&] { return told("quick") == "1\n2\n3\n"; }));
  EXPECT_EQ(told("slow"), "");
  folder_.write("slow.told.go", "");
  EXPECT_TRUE(until([&] { return told("slow") == "1\n2\n3\n"; }));
}

TEST_F(TheAlertAgents, AreComplainedAboutOnceUntilTheySucceedAgain) {
  add("bad",
      "echo $CRM_alert_node_sequence >>$CRM_alert_recipient; [ -e $CRM_alert_recipient.good ] && exit 0; echo no mail "
      ">&2; exit 1");
  for (int i = 0; i < 3; ++i) agents().send(lost());
  ASSERT_TRUE(until([&] { return told("bad") == "1\n2\n3\n" && !troubles_.empty(); }));
  folder_.write("bad.told.good", "");
  agents().send(lost());
  ASSERT_TRUE(until([&] { return told("bad").ends_with("4\n"); }));
  ASSERT_THAT(troubles_, SizeIs(1));
  EXPECT_THAT(troubles_[0], HasSubstr("the alert agent " + configs_[0].path));
  EXPECT_THAT(troubles_[0], HasSubstr("failed: no mail. "));
  agents().send(lost());
  ASSERT_TRUE(until([&] { return told("bad").ends_with("5\n"); }));
  std::filesystem::remove(folder_ / "bad.told.good");
  agents().send(lost());
  EXPECT_TRUE(until([&] { return troubles_.size() == 2; })) << "a failure after a success is news";
}

TEST_F(TheAlertAgents, AreEndedAtTheirTimeoutAndBoundedInNumber) {
  add("hangs", "echo x >>$CRM_alert_recipient; exec sleep 600").timeout = std::chrono::milliseconds(300);
  for (std::size_t i = 0; i < kAlertsWaiting + 100; ++i) agents().send(lost());
  EXPECT_THAT(troubles_, ElementsAre(HasSubstr("32 alerts wait for it already")));
  EXPECT_TRUE(until([&] { return told("hangs") == "x\nx\n"; })) << "the next one has its turn";
}

TEST_F(TheAlertAgents, ThatAreGoneAreAFailure) {
  add("gone", "exit 0");
  std::filesystem::remove(configs_[0].path);
  agents().send(lost());
  ASSERT_TRUE(until([&] { return !troubles_.empty(); }));
  EXPECT_THAT(troubles_[0], HasSubstr("could not be started: No such file"));
}

}  // namespace
}  // namespace hapair::agent
