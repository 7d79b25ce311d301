#include "ccm/fabric/iwarp/iwarp_fabric.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <optional>
#include <string_view>
#include <vector>

#include "tests/unit/ccm/fabric/fabric_contract.h"
#include "tests/unit/ccm/fabric/iwarp/frames.h"
#include "tests/unit/ccm/fabric/page_server.h"
#include "tests/unit/ccm/fabric/two_hosts.h"

namespace hapair::ccm {
namespace {

using Host = TwoHosts::Host;

IwarpSettings settings(Host own, bool v6) {
  const Host partner = own == Host::alpha ? Host::beta : Host::alpha;
  return {.address = TwoHosts::address(own, v6), .partner_address = TwoHosts::address(partner, v6)};
}

// The partner's process, on its own host.
[[noreturn]] void be_partner(const TwoHosts& hosts, bool v6, std::byte mark, int channel) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  hosts.enter(Host::beta);
  IwarpFabric fabric(settings(Host::beta, v6));
  if (!fabric.open()) ::_exit(1);
  serve_pages(fabric, mark, channel);
  ::_exit(0);
}

class IwarpRig final : public FabricRig {
 public:
  explicit IwarpRig(bool v6) : v6_(v6), fabric_(settings(Host::alpha, v6)) {
    hosts_.enter(Host::alpha);
    const auto opened = fabric_.open();
    EXPECT_TRUE(opened) << opened.error();
  }
  ~IwarpRig() override { kill_partner(); }

  [[nodiscard]] FabricTraits traits() const override {
    return {.memory_answers_when_stopped = false, .connects_when_stopped = false, .killed = FabricError::disconnected};
  }
  Fabric& fabric() override { return fabric_; }
  void start_partner(std::byte mark) override {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    partner_ = ::fork();
    ASSERT_GE(partner_, 0);
    if (partner_ == 0) {
      ::close(ends[0]);
      be_partner(hosts_, v6_, mark, ends[1]);
    }
    ::close(ends[1]);
    channel_ = Fd(ends[0]);
    char ready = 0;
    ASSERT_EQ(::read(channel_.get(), &ready, 1), 1) << "the partner's process could not open its fabric";
  }
  void stop_partner() override {
    ::kill(partner_, SIGSTOP);
    int status = 0;
    ASSERT_EQ(::waitpid(partner_, &status, WUNTRACED), partner_);
    ASSERT_TRUE(WIFSTOPPED(status));
  }
  void continue_partner() override { ::kill(partner_, SIGCONT); }
  void kill_partner() override {
    if (partner_ <= 0) return;
    ::kill(partner_, SIGKILL);
    ::waitpid(partner_, nullptr, 0);
    partner_ = -1;
  }
  std::array<std::byte, kPageBytes> partner_mailbox() override {
    std::array<std::byte, kPageBytes> bytes{};
    char question = 'm';
    EXPECT_EQ(::write(channel_.get(), &question, 1), 1);
    EXPECT_EQ(::recv(channel_.get(), bytes.data(), bytes.size(), MSG_WAITALL), static_cast<ssize_t>(bytes.size()));
    return bytes;
  }
  void cut_partner() override { hosts_.cut_partner(); }
  void cut_own() override { hosts_.cut_own(); }
  void heal() override { hosts_.heal(); }

 private:
  bool v6_;
  TwoHosts hosts_;
  IwarpFabric fabric_;
  pid_t partner_ = -1;
  Fd channel_;
};

std::unique_ptr<FabricRig> make_iwarp_rig() {
  return TwoHosts::possible() ? std::make_unique<IwarpRig>(false) : nullptr;
}
std::unique_ptr<FabricRig> make_iwarp6_rig() {
  return TwoHosts::possible() ? std::make_unique<IwarpRig>(true) : nullptr;
}
INSTANTIATE_TEST_SUITE_P(Iwarp, FabricContract, ::testing::Values(&make_iwarp_rig));
INSTANTIATE_TEST_SUITE_P(IwarpOverIpv6, FabricContract, ::testing::Values(&make_iwarp6_rig));

// A stranger at the partner's address, beside the pair's own connection.
class AStranger : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!TwoHosts::possible()) GTEST_SKIP() << "network namespaces cannot be made: not root";
    hosts_.emplace();
    hosts_->enter(Host::alpha);
    alpha_.emplace(settings(Host::alpha, false));
    ASSERT_TRUE(alpha_->open());
    hosts_->enter(Host::beta);
    beta_.emplace(settings(Host::beta, false));
    ASSERT_TRUE(beta_->open());
    beta_->connect(clock_.now());
    ASSERT_TRUE(turns_until([this] { return connected_; }));
    expect_own_connection_serves();
  }

  // Both ends get their turns, until `condition`.
  template <class Condition>
  bool turns_until(const Condition& condition) {
    for (int i = 0; i < 3000; ++i) {
      std::array<FabricEvent, 8> events;
      (void)alpha_->poll(clock_.now(), events);
      const std::size_t count = beta_->poll(clock_.now(), events);
      for (std::size_t e = 0; e < count; ++e) {
        connected_ |= events.at(e).kind == FabricEvent::Kind::connected;
        lost_ |= events.at(e).kind == FabricEvent::Kind::lost;
        if (events.at(e).kind == FabricEvent::Kind::read_done && events.at(e).error == FabricError::none) ++read_;
      }
      if (condition()) return true;
      ::usleep(1000);
    }
    return false;
  }
  void expect_own_connection_serves() {
    const int before = read_;
    ASSERT_TRUE(beta_->post_read(clock_.now(), OperationId(1), RemotePage::status, 0, page_));
    EXPECT_TRUE(turns_until([&] { return read_ > before; }));
    EXPECT_FALSE(lost_);
  }
  // A socket of beta's host to alpha's service port.
  Fd dial() {
    const auto to = Endpoint::make(TwoHosts::address(Host::alpha, false), 7480);
    Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(socket.get(), to->address(), to->length()), 0);
    return socket;
  }
  static void send_all(const Fd& socket, std::span<const std::byte> bytes) {
    (void)::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  static bool ended(const Fd& socket) {
    std::array<char, 4096> bytes{};
    const ssize_t n = ::recv(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
  }
  // A connection of the stranger's that alpha has let in.
  Fd admitted() {
    Fd socket = dial();
    const ConnectBytes data = encode(ConnectRequest{});
    iwarp::MpaFrame frame;
    frame.crc = frame.enhanced = true;
    frame.ird = frame.ord = 16;
    frame.private_data = data;
    std::array<std::byte, iwarp::kMaxMpaBytes> bytes{};
    send_all(socket, std::span(bytes).first(iwarp::encode(frame, bytes)));
    std::array<std::byte, 256> reply{};
    EXPECT_TRUE(turns_until([&] { return ::recv(socket.get(), reply.data(), reply.size(), MSG_DONTWAIT) > 0; }));
    return socket;
  }

  SystemClock clock_;
  std::optional<TwoHosts> hosts_;
  std::optional<IwarpFabric> alpha_;
  std::optional<IwarpFabric> beta_;
  std::array<std::byte, kPageBytes> page_{};
  bool connected_ = false;
  bool lost_ = false;
  int read_ = 0;
};

TEST_F(AStranger, ThatSpeaksSomethingElseIsClosedAndCounted) {
  using namespace std::string_view_literals;
  for (const std::string_view garbage :
       {"GET / HTTP/1.1\r\n\r\n"sv, "MPA ID Rep Frame...."sv, "MPA ID Req Frame\0\7\0\0"sv}) {
    const std::uint64_t before = alpha_->counters().refused_malformed;
    const Fd socket = dial();
    send_all(socket, std::as_bytes(std::span(garbage)));
    EXPECT_TRUE(turns_until([&] { return ended(socket); })) << garbage;
    EXPECT_EQ(alpha_->counters().refused_malformed, before + 1) << garbage;
  }
  expect_own_connection_serves();
}

TEST_F(AStranger, ThatSpeaksMpaButNotOursIsRejectedAndCounted) {
  const Fd socket = dial();
  iwarp::MpaFrame frame;
  frame.enhanced = true;
  std::array<std::byte, iwarp::kMaxMpaBytes> bytes{};
  send_all(socket, std::span(bytes).first(iwarp::encode(frame, bytes)));
  std::array<std::byte, 256> reply{};
  ssize_t n = 0;
  ASSERT_TRUE(turns_until([&] { return (n = ::recv(socket.get(), reply.data(), reply.size(), MSG_DONTWAIT)) > 0; }));
  const auto parsed = iwarp::parse_mpa(std::span(reply).first(static_cast<std::size_t>(n)), true);
  ASSERT_TRUE(parsed && *parsed);
  EXPECT_TRUE((*parsed)->frame.rejected);
  EXPECT_EQ(alpha_->counters().refused_malformed, 1U);
  expect_own_connection_serves();
}

TEST_F(AStranger, ThatSaysNothingGivesWay) {
  const Fd socket = dial();
  EXPECT_TRUE(turns_until([&] { return alpha_->counters().refused_silent == 1; }));
  EXPECT_TRUE(ended(socket));
  expect_own_connection_serves();
}

TEST_F(AStranger, WithAFloodOfConnectionsDoesNotTouchThePairsOwn) {
  std::vector<Fd> sockets;
  for (int i = 0; i < 200; ++i) {
    sockets.push_back(dial());
    if (i % 10 == 0) (void)turns_until([] { return true; });
  }
  for (int i = 0; i < 20; ++i) sockets.push_back(admitted());
  expect_own_connection_serves();
}

TEST_F(AStranger, WithAFloodOfConnectionsThatReadTakesOnlyPlacesOfItsOwn) {
  std::vector<Fd> sockets;
  for (int round = 0; round < 5; ++round) {
    // More than there are places, each with data moved later than the pair's own.
    for (int i = 0; i < 6; ++i) {
      sockets.push_back(admitted());
      send_all(sockets.back(), iwarp::read_frame(1, {1, 0, 16, kStatusStag, kStatusAddress}));
      std::array<std::byte, 256> answer{};
      EXPECT_TRUE(
          turns_until([&] { return ::recv(sockets.back().get(), answer.data(), answer.size(), MSG_DONTWAIT) > 0; }));
    }
    expect_own_connection_serves();
  }
  EXPECT_GT(alpha_->counters().refused_limit, 20U);
}

TEST_F(AStranger, ThatBreaksTheRulesIsTerminatedAndCounted) {
  const Fd socket = admitted();
  send_all(socket, iwarp::write_frame(kStatusStag, kStatusAddress, page_));
  EXPECT_TRUE(turns_until([&] { return ended(socket); }));
  EXPECT_EQ(alpha_->counters().terminated, 1U);
  const Fd other = admitted();
  send_all(other, iwarp::read_frame(1, {1, 0, 16, kMailboxStag, kMailboxAddress}));
  EXPECT_TRUE(turns_until([&] { return ended(other); }));
  EXPECT_EQ(alpha_->counters().terminated, 2U);
  expect_own_connection_serves();
}

TEST_F(AStranger, FromAnotherAddressIsNotLetIn) {
  hosts_->enter(Host::alpha);
  const Fd socket = dial();
  hosts_->enter(Host::beta);
  EXPECT_TRUE(turns_until([&] { return ended(socket); }));
  EXPECT_EQ(alpha_->counters().refused_address, 1U);
}

}  // namespace
}  // namespace hapair::ccm
