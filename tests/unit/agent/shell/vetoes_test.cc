#include "agent/shell/vetoes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class TheVetoesOfAPool : public testing::Test {
 protected:
  TheVetoesOfAPool() { pools_.push_back({.name = *PoolName::parse("pool-a"), .home = alpha_, .resources = {}}); }

  VetoConfig& add(const std::string& name, const std::string& body) {
    VetoConfig veto;
    veto.name = name;
    veto.program = {folder_.write_script(name, body), "an argument"};
    veto.timeout = std::chrono::seconds(20);
    pools_[0].vetoes.push_back(std::move(veto));
    return pools_[0].vetoes.back();
  }
  std::vector<std::string> ask() {
    std::optional<std::vector<std::string>> answer;
    Vetoes vetoes(loop_.get(), runner_, pools_, alpha_, beta_, [&](PoolIndex pool, std::vector<std::string> said) {
      EXPECT_EQ(pool, 0U);
      answer = std::move(said);
    });
    vetoes.ask(0);
    EXPECT_FALSE(answer) << "the answer came from inside ask()";
    EXPECT_TRUE(loop_.run_until([&] { return answer.has_value(); }));
    return answer.value_or(std::vector<std::string>{});
  }

  NodeName alpha_ = *NodeName::parse("alpha");
  NodeName beta_ = *NodeName::parse("beta");
  test::TempFolder folder_;
  test::EventLoop loop_;
  SystemClock clock_;
  SystemProcessRunner runner_{loop_.get(), clock_};
  std::vector<PoolConfig> pools_;
};

TEST_F(TheVetoesOfAPool, SayNothingWhereEveryProgramSucceeds) {
  add("mirror", "echo all is well");
  add("backup", "exit 0");
  EXPECT_THAT(ask(), IsEmpty());
}

TEST_F(TheVetoesOfAPool, AreAllAskedInOrderAndTellTheLastLineThatEachWrote) {
  add("mirror", "echo looked; echo \"312 records behind\"; exit 1");
  add("backup", "echo not this >&1; echo \"runs since 02:00\" >&2; exit 3");
  add("silent", "exit 4");
  add("content", "exit 0");
  EXPECT_THAT(ask(), ElementsAre("mirror says: 312 records behind", "backup says: runs since 02:00",
                                 "silent says: it answered exit code 4"));
}

TEST_F(TheVetoesOfAPool, KnowWhichPoolAndWhichNodesItIsAbout) {
  add("mirror", "echo \"$HAPAIR_POOL $HAPAIR_NODE $HAPAIR_PARTNER $1\"; exit 1");
  EXPECT_THAT(ask(), ElementsAre("mirror says: pool-a alpha beta an argument"));
}

TEST_F(TheVetoesOfAPool, AreAgainstItWhereAProgramGivesNoAnswer) {
  add("slow", "sleep 60").timeout = std::chrono::milliseconds(200);
  add("killed", "kill -SEGV $$");
  add("gone", "exit 0").program[0] = folder_ / "nowhere";
  const auto said = ask();
  ASSERT_EQ(said.size(), 3U);
  EXPECT_TRUE(said[0].starts_with("slow says: ")) << said[0];
  EXPECT_EQ(said[1], "killed says: it was ended by SIGSEGV");
  EXPECT_TRUE(said[2].starts_with("gone says: ")) << said[2];
}

}  // namespace
}  // namespace hapair::agent
