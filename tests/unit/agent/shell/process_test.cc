#include "agent/shell/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>

#include "agent/shell/capture.h"
#include "agent/shell/printable.h"
#include "agent/shell/process_table.h"
#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/shell/held_process.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using End = ProcessResult::End;

class AChild : public testing::Test {
 protected:
  std::unique_ptr<RunningProcess> start(const std::string& program, Duration timeout, const std::string& input = "") {
    result_.reset();
    ProcessSpec spec{.argv = {program, "first", "second word"},
                     .environment = {"PATH=/usr/bin:/bin", "FOLDER=" + folder_.path(), "GREETING=hello you"},
                     .input = input,
                     .timeout = timeout};
    return runner_.run(std::move(spec), [this](ProcessResult result) { result_ = std::move(result); });
  }
  ProcessResult run(const std::string& program, Duration timeout = std::chrono::seconds(20),
                    const std::string& input = "") {
    const auto running = start(program, timeout, input);
    EXPECT_FALSE(result_) << "the result came from inside run()";
    EXPECT_TRUE(loop_.run_until([this] { return result_.has_value(); }));
    return result_.value_or(ProcessResult{});
  }
  ProcessResult run_script(const std::string& body, Duration timeout = std::chrono::seconds(20)) {
    return run(folder_.write_script("child", body), timeout);
  }
  // The process whose number a script wrote to `name`; 0 while there is none.
  int pid_in(const std::string& name) { return std::atoi(test::content_of(folder_ / name).c_str()); }
  // A killed process whose parent is gone is a zombie until PID 1 reaps it.
  static bool is_gone(int pid) {
    const std::string stat = test::content_of("/proc/" + std::to_string(pid) + "/stat");
    return stat.empty() || stat.find(") Z ") != std::string::npos || stat.find(") X ") != std::string::npos;
  }

  test::TempFolder folder_;
  test::EventLoop loop_;
  SystemClock clock_;
  SystemProcessRunner runner_{loop_.get(), clock_};
  std::optional<ProcessResult> result_;
};

TEST_F(AChild, GetsArgumentsEnvironmentAndInputAndGivesOutputAndExitCode) {
  const std::string program =
      folder_.write_script("child", "echo \"$1|$2|$GREETING|$HOME\"; cat; echo oops >&2; exit 7");
  const ProcessResult result = run(program, std::chrono::seconds(20), "line one\nline two\n");
  EXPECT_EQ(result.end, End::exited);
  EXPECT_EQ(result.code, 7);
  EXPECT_EQ(result.out, "first|second word|hello you|\nline one\nline two\n");
  EXPECT_EQ(result.err, "oops\n");
}

TEST_F(AChild, InheritsNoDescriptorAndNoBlockedSignal) {
  const Fd leaked(::open("/dev/null", O_RDONLY));  // on purpose without O_CLOEXEC
  ASSERT_TRUE(leaked.valid());
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
  const auto look = [this](std::vector<std::string> argv) {
    result_.reset();
    const auto running = runner_.run({std::move(argv), {}, "", std::chrono::seconds(20)},
                                     [this](ProcessResult result) { result_ = std::move(result); });
    EXPECT_TRUE(loop_.run_until([this] { return result_.has_value(); }));
    return result_.value_or(ProcessResult{}).out;
  };
  const std::string descriptors = look({"/bin/ls", "/proc/self/fd"});
  const std::string signals = look({"/bin/grep", "-E", "SigBlk|SigIgn", "/proc/self/status"});
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(descriptors, "0\n1\n2\n3\n");  // 3 is the folder that ls reads
  EXPECT_THAT(signals, HasSubstr("SigBlk:\t0000000000000000"));
  const std::size_t ignored = signals.find("SigIgn:\t");
  ASSERT_NE(ignored, std::string::npos);
  constexpr std::uint64_t kOrdinary = 0x7fffffff;  // signals 1 to 31; 32 and 33 are glibc's own
  EXPECT_EQ(std::stoull(signals.substr(ignored + 8), nullptr, 16) & kOrdinary, 0U) << signals;
}

TEST_F(AChild, HasAProcessGroupOfItsOwn) {
  EXPECT_EQ(run_script("[ \"$(ps -o pgid= -p $$ | tr -d ' ')\" = $$ ]").code, 0);
}

TEST_F(AChild, ThatDiesBySignalIsReportedWithIt) {
  const ProcessResult result = run_script("kill -SEGV $$");
  EXPECT_EQ(result.end, End::signalled);
  EXPECT_EQ(result.code, SIGSEGV);
}

TEST_F(AChild, ThatIsNotThereCouldNotStart) {
  const ProcessResult result = run(folder_ / "missing");
  EXPECT_EQ(result.end, End::could_not_start);
  EXPECT_EQ(result.code, ENOENT);
  EXPECT_EQ(result.reason, (folder_ / "missing") + " could not be started: No such file or directory");
}

TEST_F(AChild, ThatIsNotExecutableCouldNotStart) {
  const ProcessResult result = run(folder_.write("plain", "exit 0"));
  EXPECT_EQ(result.end, End::could_not_start);
  EXPECT_EQ(result.code, EACCES);
}

TEST_F(AChild, ThatHangsIsEndedWithItsWholeGroup) {
  const ProcessResult result =
      run_script("echo before; sleep 600 & echo $! >$FOLDER/grandchild; wait", milliseconds(300));
  EXPECT_EQ(result.end, End::timed_out);
  EXPECT_THAT(result.reason, HasSubstr("still ran after 300 ms and was ended with SIGTERM"));
  EXPECT_EQ(result.out, "before\n");
  const int grandchild = pid_in("grandchild");
  ASSERT_GT(grandchild, 0);
  EXPECT_EQ(result.left_behind, 0);
  EXPECT_TRUE(is_gone(grandchild)) << "no answer before the whole group has ended";
}

TEST_F(AChild, IsAnsweredForOnlyWhenItsWholeGroupHasEnded) {
  // The leader ends at SIGTERM; what it waited for does not.
  const auto running =
      start(folder_.write_script("child", "sleep 600 & echo $! >$FOLDER/mount; wait"), milliseconds(300));
  ASSERT_TRUE(loop_.run_until([&] { return pid_in("mount") > 0; }));
  test::HeldProcess held(pid_in("mount"));
  ASSERT_TRUE(loop_.run_until([&] { return result_.has_value(); }));
  EXPECT_EQ(result_->end, End::timed_out);
  EXPECT_THAT(result_->reason, HasSubstr("did not end even at SIGKILL: it hangs in the kernel"));
  ASSERT_NE(result_->left_behind, 0);
  EXPECT_TRUE(group_lives(result_->left_behind));
  held.let_go();
  EXPECT_TRUE(loop_.run_until([&] { return !group_lives(result_->left_behind); }));
}

TEST_F(AChild, ThatHangsInTheKernelItselfIsLeftBehindAndReapedLater) {
  const auto running = start(folder_.write_script("child", "echo $$ >$FOLDER/pid; exec sleep 600"), milliseconds(300));
  ASSERT_TRUE(loop_.run_until([&] { return pid_in("pid") > 0; }));
  const int pid = pid_in("pid");
  test::HeldProcess held(pid);
  ASSERT_TRUE(loop_.run_until([&] { return result_.has_value(); }));
  EXPECT_EQ(result_->end, End::timed_out);
  EXPECT_EQ(result_->left_behind, pid);
  EXPECT_EQ(runner_.lingering(), 1U);
  held.let_go();
  EXPECT_TRUE(loop_.run_until([&] { return runner_.lingering() == 0 && !group_lives(pid); }));
}

TEST_F(AChild, ThatIgnoresSigtermIsKilled) {
  const ProcessResult result = run_script("trap '' TERM; while true; do sleep 0.05; done", milliseconds(200));
  EXPECT_EQ(result.end, End::timed_out);
  EXPECT_THAT(result.reason, HasSubstr("did not end at SIGTERM and was ended with SIGKILL"));
  EXPECT_EQ(runner_.lingering(), 0U);
}

TEST_F(AChild, ThatEndsWithSuccessAtSigtermIsStillTimedOut) {
  const ProcessResult result = run_script("trap 'exit 0' TERM; while true; do sleep 0.02; done", milliseconds(200));
  EXPECT_EQ(result.end, End::timed_out);
}

TEST_F(AChild, ThatFloodsIsNotHeldUpAndIsCutInTheMiddle) {
  const ProcessResult result =
      run_script("echo start; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo end; echo last words >&2");
  EXPECT_EQ(result.end, End::exited);
  EXPECT_EQ(result.code, 0);
  EXPECT_LE(result.out.size(), kCaptureBytes + 100);
  EXPECT_TRUE(result.out.starts_with("start\nxxx"));
  EXPECT_TRUE(result.out.ends_with("xxx\nend\n"));
  EXPECT_THAT(result.out, HasSubstr("bytes left out]"));
  EXPECT_EQ(result.err, "last words\n");
}

TEST_F(AChild, WhoseGrandchildKeepsThePipesOpenIsNotWaitedFor) {
  const ProcessResult result = run_script("sleep 600 & echo $! >$FOLDER/daemon; echo started; exit 0");
  EXPECT_EQ(result.end, End::exited);
  EXPECT_EQ(result.out, "started\n");
  const int daemon = pid_in("daemon");
  ASSERT_GT(daemon, 0);
  EXPECT_FALSE(is_gone(daemon)) << "a daemon that an agent started must live on";
  ::kill(daemon, SIGKILL);
}

TEST_F(AChild, WhoseGrandchildFloodsForeverIsNotWaitedForEither) {
  const ProcessResult result = run_script("yes & echo $! >$FOLDER/daemon; exit 3");
  EXPECT_EQ(result.end, End::exited);
  EXPECT_EQ(result.code, 3);
  ::kill(pid_in("daemon"), SIGKILL);
}

TEST_F(AChild, ThatIsAbandonedIsKilledWithItsGroupAndReaped) {
  auto running = start(folder_.write_script("child", "echo $$ >$FOLDER/pid; sleep 600 & echo $! >$FOLDER/more; wait"),
                       std::chrono::seconds(600));
  ASSERT_TRUE(loop_.run_until([&] { return pid_in("more") > 0; }));
  running.reset();
  EXPECT_EQ(runner_.lingering(), 1U);
  ASSERT_TRUE(loop_.run_until([&] { return runner_.lingering() == 0; }));
  EXPECT_FALSE(result_);
  EXPECT_TRUE(loop_.run_until([&] { return is_gone(pid_in("more")); }));
  EXPECT_FALSE(std::filesystem::exists("/proc/" + std::to_string(pid_in("pid"))));
}

TEST_F(AChild, MayBeDestroyedByItsOwnCallback) {
  std::unique_ptr<RunningProcess> running;
  bool called = false;
  running = runner_.run({.argv = {"/bin/true"}, .environment = {}, .input = "", .timeout = std::chrono::seconds(20)},
                        [&](const ProcessResult&) {
                          running.reset();
                          called = true;
                        });
  EXPECT_TRUE(loop_.run_until([&] { return called; }));
}

TEST_F(AChild, DoesNotHoldUpItsNeighbours) {
  const auto hanging = start(folder_.write_script("hang", "sleep 600"), std::chrono::seconds(600));
  int finished = 0;
  std::vector<std::unique_ptr<RunningProcess>> others;
  for (int i = 0; i < 8; ++i) {
    ProcessSpec spec{.argv = {"/bin/true"}, .environment = {}, .input = "", .timeout = std::chrono::seconds(20)};
    others.push_back(runner_.run(spec, [&](const ProcessResult& r) { finished += r.code == 0 ? 1 : 100; }));
  }
  EXPECT_TRUE(loop_.run_until([&] { return finished == 8; }));
}

TEST(ACapture, KeepsShortTextWhole) {
  Capture capture(8);
  capture.add("abcd");
  capture.add("efgh");
  EXPECT_EQ(capture.text(), "abcdefgh");
}

TEST(ACapture, KeepsTheFirstAndTheLastHalfOfLongText) {
  for (const std::size_t step : {1U, 3U, 100U}) {
    Capture capture(8);
    const std::string text = "abcdefghijklmnopqrstuvwxyz";
    for (std::size_t at = 0; at < text.size(); at += step) capture.add(std::string_view(text).substr(at, step));
    EXPECT_EQ(capture.text(), "abcd\n[18 bytes left out]\nwxyz") << step;
  }
}

TEST(APrintableLine, HasNoControlCharactersAndOnlyValidUtf8) {
  EXPECT_EQ(printable_line("  a\tb\nc\x1b[31m\n"), "a b c [31m");
  EXPECT_EQ(printable_line("gr\xc3\xbc\xc3\x9f \xff\xc3 \xed\xa0\x80 \xe2\x82\xac"),
            "gr\xc3\xbc\xc3\x9f ?? ??? \xe2\x82\xac");
  EXPECT_EQ(printable_line("\xc0\xaf"), "??");
  EXPECT_EQ(printable_line("0123456789", 4), "0123...");
  EXPECT_EQ(printable_line("aaa\xe2\x82\xac", 4), "aaa...");
  EXPECT_EQ(printable_line(" \n "), "");
}

TEST(APrintableLine, IsTakenFromTheLastOneThatIsNotBlank) {
  EXPECT_EQ(last_line("one\ntwo\n\n  \n"), "two");
  EXPECT_EQ(last_line("one"), "one");
  EXPECT_EQ(last_line("\n\n"), "");
}

}  // namespace
}  // namespace hapair::agent
