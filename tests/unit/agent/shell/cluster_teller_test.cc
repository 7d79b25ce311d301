#include "agent/shell/cluster_teller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using testing::HasSubstr;

class AClusterTeller : public testing::Test {
 protected:
  ClusterTold tell(const std::string& program, bool down) {
    config_.stonith_admin = program;
    config_.timeout = std::chrono::seconds(20);
    std::optional<ClusterTold> answer;
    ClusterTeller teller(runner_, config_, beta_, [&](const ClusterTold& told) { answer = told; });
    teller.tell(down);
    EXPECT_FALSE(answer) << "the answer came from inside tell()";
    EXPECT_TRUE(loop_.run_until([&] { return answer.has_value(); }));
    return answer.value_or(ClusterTold{});
  }

  NodeName beta_ = *NodeName::parse("beta");
  test::TempFolder folder_;
  test::EventLoop loop_;
  SystemClock clock_;
  SystemProcessRunner runner_{loop_.get(), clock_};
  PacemakerConfig config_;
};

TEST_F(AClusterTeller, AsksForAFenceAndConfirmsADeathByTheNodesNameInTheCluster) {
  const std::string program = folder_.write_script("stonith_admin", "echo \"$@\" >&2; exit 1");
  EXPECT_EQ(tell(program, false).said, "--reboot beta");
  EXPECT_EQ(tell(program, true).said, "--confirm beta");
  config_.partner_node = "beta.example";
  const ClusterTold told = tell(program, true);
  EXPECT_EQ(told.said, "--confirm beta.example");
  EXPECT_TRUE(told.down);
  EXPECT_FALSE(told.done);
}

TEST_F(AClusterTeller, SaysThatItIsDoneOnlyWhereTheProgramSaysSo) {
  EXPECT_TRUE(tell(folder_.write_script("good", "exit 0"), false).done);
  EXPECT_FALSE(tell(folder_.write_script("bad", "exit 7"), false).done);
  EXPECT_THAT(tell(folder_.write_script("bad", "exit 7"), false).said, HasSubstr("exit code 7"));
  const ClusterTold none = tell("/nowhere/stonith_admin", false);
  EXPECT_FALSE(none.done);
  EXPECT_FALSE(none.said.empty());
}

TEST_F(AClusterTeller, EndsARequestThatALaterOneReplaces) {
  config_.stonith_admin = folder_.write_script("slow", "[ \"$1\" = --confirm ] || sleep 60");
  config_.timeout = std::chrono::seconds(20);
  std::vector<ClusterTold> answers;
  ClusterTeller teller(runner_, config_, beta_, [&](const ClusterTold& told) { answers.push_back(told); });
  teller.tell(false);
  teller.tell(true);
  EXPECT_TRUE(loop_.run_until([&] { return !answers.empty(); }));
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_TRUE(answers[0].down);
  EXPECT_TRUE(answers[0].done);
}

}  // namespace
}  // namespace hapair::agent
