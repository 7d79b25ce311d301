// The holder's side (ccm/watchdog) and the keeper's of a container's watchdog, over a real socket. That a container
// really ends is in tests/host/container_test.py.
#include "ccm/container/watchdog_service.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <expected>
#include <fstream>
#include <optional>

#include "ccm/watchdog/configured_watchdog.h"
#include "tests/unit/ccm/temp_folder.h"
#include "tests/unit/ccm/watchdog/simulated_watchdog.h"

namespace hapair::ccm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kTimeout = seconds(4);

class ContainersWatchdog : public testing::Test {
 protected:
  void SetUp() override { open(false); }

  void open(bool nowayout) {
    service_ = std::unexpected(std::string());  // its socket is gone before the next one's
    service_ = WatchdogService::open(path_, nowayout, clock_);
    ASSERT_TRUE(service_) << service_.error();
  }
  std::expected<Watchdog::Held, WatchdogFault> hold(Watchdog& watchdog, Duration timeout = kTimeout) {
    auto answer = watchdog.hold(timeout, {}, clock_.now());
    if (answer && !*answer) {
      service_->turn();
      answer = watchdog.look();
    }
    if (!answer) return std::unexpected(answer.error());
    EXPECT_TRUE(*answer) << "it has not answered";
    return answer->value_or(Watchdog::Held{});
  }
  Fd connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return socket;
  }
  std::optional<Duration> left() {
    service_->turn();
    if (!service_->ends_at()) return std::nullopt;
    return *service_->ends_at() - clock_.now();
  }

  TempFolder folder_;
  std::string path_ = folder_ / "watchdog";
  TestClock clock_{Instant(seconds(100))};
  std::expected<WatchdogService, std::string> service_ = std::unexpected(std::string());
  ConfiguredWatchdog ccmd_{path_};
};

TEST_F(ContainersWatchdog, IsHeldAndFed) {
  EXPECT_EQ(left(), std::nullopt);
  const auto held = hold(ccmd_);
  ASSERT_TRUE(held);
  EXPECT_EQ(held->kind, WatchdogKind::container);
  EXPECT_EQ(held->timeout, kTimeout);
  EXPECT_TRUE(held->can_stop && held->outlives_holder && held->resets && held->hardware);
  EXPECT_EQ(left(), kTimeout);
  clock_.advance(seconds(3));
  EXPECT_EQ(ccmd_.feed(clock_.now()), 0);
  EXPECT_EQ(left(), kTimeout);
  clock_.advance(kTimeout);
  service_->turn();
  EXPECT_TRUE(service_->over());
}

TEST_F(ContainersWatchdog, OfACcmdThatWasStoppedBetweenItsLookAtTheClockAndItsFeedTheLookCounts) {
  ASSERT_TRUE(hold(ccmd_));
  clock_.advance(seconds(1));
  const Instant decided = clock_.now();
  clock_.advance(seconds(2));
  EXPECT_EQ(ccmd_.feed(decided), 0);
  EXPECT_EQ(left(), seconds(2));
}

TEST_F(ContainersWatchdog, AFeedThatWasOnItsWayCountsFromWhenItWasDecided) {
  ASSERT_TRUE(hold(ccmd_));
  clock_.advance(seconds(1));
  EXPECT_EQ(ccmd_.feed(clock_.now()), 0);
  clock_.advance(seconds(2));
  EXPECT_EQ(left(), seconds(2));
}

TEST_F(ContainersWatchdog, ClosedWithoutTheWordRunsOn) {
  ASSERT_TRUE(hold(ccmd_));
  clock_.advance(seconds(1));
  ccmd_.leave_running();
  EXPECT_EQ(left(), seconds(3)) << "and nobody fed it on that occasion";
  EXPECT_EQ(ccmd_.feed(clock_.now()), EBADF);
}

TEST_F(ContainersWatchdog, StoppedItRunsNoMore) {
  ASSERT_TRUE(hold(ccmd_));
  ccmd_.stop();
  EXPECT_EQ(left(), std::nullopt);
  EXPECT_TRUE(hold(ccmd_));
}

TEST_F(ContainersWatchdog, WithoutAWayOutItRunsOnWhateverItsHolderSays) {
  open(true);
  const auto held = hold(ccmd_);
  ASSERT_TRUE(held);
  EXPECT_FALSE(held->can_stop);
  ccmd_.stop();
  EXPECT_EQ(left(), kTimeout);
}

TEST_F(ContainersWatchdog, ACcmdThatRestartsGoesOnFeeding) {
  ASSERT_TRUE(hold(ccmd_));
  ccmd_.leave_running();
  clock_.advance(seconds(3));
  ConfiguredWatchdog next(path_);
  const auto held = hold(next, seconds(2));
  ASSERT_TRUE(held);
  EXPECT_EQ(held->timeout, seconds(2));
  EXPECT_EQ(left(), seconds(2));
}

TEST_F(ContainersWatchdog, ASecondOpenerIsRefused) {
  ASSERT_TRUE(hold(ccmd_));
  ConfiguredWatchdog second(path_);
  const auto held = hold(second, seconds(60));
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error(), (WatchdogFault{WatchdogProblem::cannot_open, EBUSY}));
  EXPECT_EQ(left(), kTimeout);
  EXPECT_EQ(ccmd_.feed(clock_.now()), 0);
}

TEST_F(ContainersWatchdog, ATimeOutBeyondItsLimitsIsRoundedAndTold) {
  const auto held = hold(ccmd_, milliseconds(10));
  ASSERT_TRUE(held);
  EXPECT_EQ(held->timeout, milliseconds(kShortestContainerTimeoutMs));
}

TEST_F(ContainersWatchdog, GarbageTurnsItsSenderOutAndTheTimeRunsOn) {
  ASSERT_TRUE(hold(ccmd_));
  ccmd_.leave_running();
  ContainerWatchdogPacket answer = container_watchdog_packet(ContainerWatchdogMessage::held);
  ContainerWatchdogPacket other = container_watchdog_packet(ContainerWatchdogMessage::stop);
  other.magic ^= 1U;
  ContainerWatchdogPacket unknown = answer;
  unknown.message = 99;
  const std::string many(64 * 1024, 'x');
  const std::vector<std::string> all{
      "x",
      std::string(reinterpret_cast<const char*>(&other), sizeof other),
      std::string(reinterpret_cast<const char*>(&unknown), sizeof unknown),
      std::string(reinterpret_cast<const char*>(&answer), sizeof answer),
      std::string(reinterpret_cast<const char*>(&answer), sizeof answer - 1),
      many,
  };
  for (const std::string& bytes : all) {
    const Fd stranger = connect();
    ASSERT_EQ(::send(stranger.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    EXPECT_EQ(left(), kTimeout);
    char one = 0;
    errno = 0;
    EXPECT_LE(::recv(stranger.get(), &one, 1, MSG_DONTWAIT), 0);
    EXPECT_NE(errno, EAGAIN) << "it was turned out";
  }
  EXPECT_TRUE(hold(ccmd_));
}

TEST_F(ContainersWatchdog, WhoseServiceIsGoneIsTakenUpAnew) {
  ASSERT_TRUE(hold(ccmd_));
  service_ = std::unexpected(std::string());
  EXPECT_EQ(ccmd_.feed(clock_.now()), ENODEV);
  ccmd_.leave_running();
  const auto held = ccmd_.hold(kTimeout, {}, clock_.now());
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error(), (WatchdogFault{WatchdogProblem::cannot_open, ECONNREFUSED}));
  open(false);
  EXPECT_TRUE(hold(ccmd_));
}

TEST_F(ContainersWatchdog, ThatDoesNotAnswerIsNotWaitedFor) {
  auto answer = ccmd_.hold(kTimeout, {}, clock_.now());
  ASSERT_TRUE(answer);
  EXPECT_FALSE(*answer);
  clock_.advance(10 * kTimeout);
  EXPECT_EQ(left(), kTimeout) << "it runs from when the wish was read on";
  answer = ccmd_.look();
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ((*answer)->timeout, kTimeout);
}

TEST_F(ContainersWatchdog, TheWordBehindAWishThatLayUnreadStopsIt) {
  ASSERT_TRUE(ccmd_.hold(kTimeout, {}, clock_.now()));
  ccmd_.stop();
  EXPECT_EQ(left(), std::nullopt);
  EXPECT_FALSE(service_->over());
}

TEST_F(ContainersWatchdog, AFeedTellsWhetherTheOneBeforeWasRead) {
  ASSERT_TRUE(hold(ccmd_));
  for (int i = 0; i < 3; ++i) {
    clock_.advance(seconds(1));
    EXPECT_EQ(ccmd_.feed(clock_.now()), 0);
    service_->turn();
  }
  clock_.advance(seconds(1));
  EXPECT_EQ(ccmd_.feed(clock_.now()), 0) << "from here on nobody reads";
  clock_.advance(seconds(1));
  EXPECT_EQ(ccmd_.feed(clock_.now()), kFeedBeforeUnanswered);
  service_->turn();
  EXPECT_EQ(left(), kTimeout) << "it was fed all the same";
  clock_.advance(seconds(1));
  EXPECT_EQ(ccmd_.feed(clock_.now()), 0);
}

TEST_F(ContainersWatchdog, NoFeedThatLayThereInTimeIsOverlooked) {
  ASSERT_TRUE(hold(ccmd_));
  for (int i = 0; i < 100; ++i) {
    clock_.advance(milliseconds(100));
    (void)ccmd_.feed(clock_.now());
  }
  EXPECT_FALSE(service_->turn()) << "there is more";
  while (!service_->turn()) {
  }
  EXPECT_FALSE(service_->over());
}

TEST_F(ContainersWatchdog, IsForItsOwnUserAlone) {
  struct stat st{};
  ASSERT_EQ(::stat(path_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777U, 0600U);
}

TEST_F(ContainersWatchdog, DoesNotReplaceWhatIsNoSocket) {
  const std::string file = folder_ / "file";
  std::ofstream(file) << "text";
  EXPECT_FALSE(WatchdogService::open(file, false, clock_));
  EXPECT_FALSE(WatchdogService::open(folder_ / std::string(200, 'x'), false, clock_));
  std::string text;
  std::getline(std::ifstream(file), text);
  EXPECT_EQ(text, "text");
}

TEST_F(ContainersWatchdog, DoesNotReplaceOneThatIsServed) {
  ASSERT_TRUE(hold(ccmd_));
  const auto other = WatchdogService::open(path_, false, clock_);
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().find("somebody serves there"), std::string::npos);
  EXPECT_EQ(left(), kTimeout);
  EXPECT_EQ(ccmd_.feed(clock_.now()), 0);
}

TEST_F(ContainersWatchdog, ASocketOfAnotherKindIsNone) {
  const std::string path = folder_ / "stream";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const Fd stream(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(stream.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(stream.get(), 1), 0);
  ConfiguredWatchdog watchdog(path);
  const auto held = watchdog.hold(kTimeout, {}, clock_.now());
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error(), (WatchdogFault{WatchdogProblem::no_watchdog, 0}));
}

}  // namespace
}  // namespace hapair::ccm
