#include "agent/shell/action_ledger.h"

#include <gmock/gmock.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>

#include "agent/shell/process.h"
#include "agent/shell/process_table.h"
#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/shell/held_process.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::IsEmpty;
using testing::SizeIs;

class AnActionLedger : public testing::Test {
 protected:
  void TearDown() override {
    // Whatever a failing test left: everything that carries a token of this folder.
    for (const std::string& token : entries()) {
      for (const ProcessEntry& process : living_processes()) {
        if (carries(process.pid, ActionLedger::setting_of(token))) ::kill(process.pid, SIGKILL);
      }
    }
  }

  // An agent that runs the script and is killed while it waits for it: its children live on without it.
  void agent_killed_while_it_runs(const std::string& body, const std::string& until) {
    const std::string program = folder_.write_script("program", body);
    const pid_t agent = ::fork();
    ASSERT_GE(agent, 0);
    if (agent == 0) {
      const test::EventLoop loop;
      const SystemClock clock;
      SystemProcessRunner runner(loop.get(), clock, actions());
      const auto running = runner.run({.argv = {program},
                                       .environment = {"PATH=/usr/bin:/bin", "FOLDER=" + folder_.path()},
                                       .input = "",
                                       .timeout = seconds(600),
                                       .what = "pool-a/fs start"},
                                      [](const ProcessResult&) {});
      while (running != nullptr) sd_event_run(loop.get(), UINT64_MAX);
    }
    ASSERT_TRUE(loop_.run_until([&] { return !test::content_of(folder_ / until).empty(); }));
    ASSERT_EQ(::kill(agent, SIGKILL), 0);
    ASSERT_EQ(::waitpid(agent, nullptr, 0), agent);
  }
  int pid_in(const std::string& name) { return std::atoi(test::content_of(folder_ / name).c_str()); }
  static bool lives(int pid) {
    return std::ranges::any_of(living_processes(), [pid](const ProcessEntry& entry) { return entry.pid == pid; });
  }
  [[nodiscard]] std::string actions() const { return folder_ / "actions"; }
  [[nodiscard]] std::vector<std::string> entries() const {
    std::vector<std::string> out;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(actions(), none))
      out.push_back(entry.path().filename());
    return out;
  }

  test::TempFolder folder_;
  test::EventLoop loop_;
  SystemClock clock_;
};

TEST_F(AnActionLedger, LetsTheNextAgentEndWhatAKilledOneWaitedFor) {
  agent_killed_while_it_runs("sleep 600 & echo $! >$FOLDER/child; wait; echo done >$FOLDER/done", "child");
  ASSERT_TRUE(lives(pid_in("child")));
  ASSERT_THAT(entries(), SizeIs(1));
  const auto leftovers = end_leftovers(actions(), seconds(20));
  ASSERT_THAT(leftovers, SizeIs(1));
  EXPECT_EQ(leftovers[0].what, "pool-a/fs start");
  EXPECT_TRUE(leftovers[0].ended);
  EXPECT_FALSE(lives(pid_in("child")));
  EXPECT_FALSE(lives(leftovers[0].group));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "done"));
  EXPECT_THAT(entries(), IsEmpty());
}

TEST_F(AnActionLedger, LetsADaemonLiveThatLeftItsGroup) {
  agent_killed_while_it_runs("setsid sleep 600 & echo $! >$FOLDER/daemon; sleep 600 & echo $! >$FOLDER/child; wait",
                             "child");
  const int daemon = pid_in("daemon");
  ASSERT_TRUE(loop_.run_until([&] { return ::getpgid(daemon) == daemon; }));
  EXPECT_THAT(end_leftovers(actions(), seconds(20)), SizeIs(1));
  EXPECT_FALSE(lives(pid_in("child")));
  EXPECT_TRUE(lives(daemon));
  ::kill(daemon, SIGKILL);
}

TEST_F(AnActionLedger, FindsAProgramWhoseGroupWasNotWrittenDownInTime) {
  agent_killed_while_it_runs("sleep 600 & echo $! >$FOLDER/child; wait", "child");
  ASSERT_THAT(entries(), SizeIs(1));
  folder_.write("actions/" + entries()[0], "pool-a/fs start\n");
  const auto leftovers = end_leftovers(actions(), seconds(20));
  ASSERT_THAT(leftovers, SizeIs(1));
  EXPECT_EQ(leftovers[0].what, "pool-a/fs start");
  EXPECT_FALSE(lives(pid_in("child")));
}

TEST_F(AnActionLedger, TellsOfAProgramThatDoesNotEndAndKeepsIt) {
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0) << "so that this test may hold and reap it";
  agent_killed_while_it_runs("echo $$ >$FOLDER/pid; exec sleep 600", "pid");
  {
    const test::HeldProcess held(pid_in("pid"));
    auto leftovers = end_leftovers(actions(), milliseconds(50));
    ASSERT_THAT(leftovers, SizeIs(1));
    EXPECT_FALSE(leftovers[0].ended);
    EXPECT_EQ(leftovers[0].group, pid_in("pid"));
    EXPECT_THAT(entries(), SizeIs(1)) << "for an agent that comes still later";
  }
  // It may be gone before it is looked for, or be found and end now.
  for (const auto& leftover : end_leftovers(actions(), seconds(20))) EXPECT_TRUE(leftover.ended);
  EXPECT_THAT(entries(), IsEmpty());
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_F(AnActionLedger, LeavesAStrangerWithTheSameGroupNumberAlone) {
  const pid_t stranger = ::fork();
  ASSERT_GE(stranger, 0);
  if (stranger == 0) {
    ::setsid();
    while (true) ::pause();
  }
  ASSERT_TRUE(loop_.run_until([&] { return ::getpgid(stranger) == stranger; }));
  folder_.write("actions/12-1", "pool-a/fs start\n" + std::to_string(stranger) + "\n");
  EXPECT_THAT(end_leftovers(actions(), seconds(20)), IsEmpty());
  EXPECT_TRUE(lives(stranger));
  EXPECT_THAT(entries(), IsEmpty());
  ::kill(stranger, SIGKILL);
  ::waitpid(stranger, nullptr, 0);
}

TEST_F(AnActionLedger, HoldsWhatRunsAndNothingElse) {
  SystemProcessRunner runner(loop_.get(), clock_, actions());
  std::optional<ProcessResult> result;
  const auto run = [&](const std::string& body) {
    result.reset();
    return runner.run({.argv = {folder_.write_script("program", body)},
                       .environment = {"PATH=/usr/bin:/bin"},
                       .input = "",
                       .timeout = seconds(20),
                       .what = "pool-a/ip stop"},
                      [&](ProcessResult given) { result = std::move(given); });
  };
  auto running = run("echo $HAPAIR_ACTION");
  ASSERT_THAT(entries(), SizeIs(1));
  const std::string token = entries()[0];
  EXPECT_TRUE(test::content_of(actions() + "/" + token).starts_with("pool-a/ip stop\n"));
  ASSERT_TRUE(loop_.run_until([&] { return result.has_value(); }));
  EXPECT_EQ(result->out, token + "\n");
  EXPECT_THAT(entries(), IsEmpty());
  std::filesystem::remove(folder_ / "program");
  running = runner.run({.argv = {folder_ / "program"}, .environment = {}, .input = "", .timeout = seconds(20)},
                       [&](ProcessResult given) { result = std::move(given); });
  result.reset();
  ASSERT_TRUE(loop_.run_until([&] { return result.has_value(); }));
  EXPECT_EQ(result->end, ProcessResult::End::could_not_start);
  EXPECT_THAT(entries(), IsEmpty());
}

TEST(NoActionLedger, MeansNothingToEnd) { EXPECT_THAT(end_leftovers("/nonexistent/actions", seconds(20)), IsEmpty()); }

}  // namespace
}  // namespace hapair::agent
