// The client library against a real ccmd.
#include "ccm/client/client.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <vector>

#include "tests/unit/ccm/daemon/running_ccmd.h"

namespace hapair::ccm {
namespace {

constexpr Duration kPatience = std::chrono::seconds(10);
constexpr Duration kPace = std::chrono::milliseconds(20);

class CcmClient : public ::testing::Test {
 protected:
  void SetUp() override { alpha_.start(); }
  std::expected<Client, ClientError> connect(const std::string& name, Duration pace = kPace) {
    return Client::connect(alpha_.socket(), name, pace, kPatience);
  }
  bool state_becomes(const std::string& name, ClientState state) {
    return eventually([&] {
      const auto client = alpha_.client(name);
      return client && client->state == state;
    });
  }
  // A bare socket, for what the library would never send.
  Fd raw() {
    Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = alpha_.socket();
    std::memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return socket;
  }
  static ClientRefusal answer_to(const Fd& socket, const void* bytes, std::size_t size) {
    EXPECT_EQ(::send(socket.get(), bytes, size, MSG_NOSIGNAL), static_cast<ssize_t>(size));
    ClientPacket packet{};
    pollfd waiting{socket.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&waiting, 1, 10'000), 1);
    EXPECT_EQ(::recv(socket.get(), &packet, sizeof packet, 0), static_cast<ssize_t>(sizeof packet));
    EXPECT_EQ(packet.message, static_cast<std::uint32_t>(ClientMessage::refuse));
    return static_cast<ClientRefusal>(packet.refusal);
  }

  TempFolder folder_;
  RunningCcmd alpha_{folder_, {}};
};

TEST_F(CcmClient, RegistersAndItsBeatsAreOnThePage) {
  auto client = connect("mirror");
  ASSERT_TRUE(client) << client.error().text;
  ASSERT_TRUE(state_becomes("mirror", ClientState::registered));
  EXPECT_EQ(alpha_.client("mirror")->life, client->life());
  EXPECT_EQ(alpha_.client("mirror")->pace, kPace);
  EXPECT_EQ(alpha_.page()->incarnation, client->incarnation());
  client->beat();
  client->beat();
  EXPECT_TRUE(eventually([&] { return alpha_.client("mirror")->beat == 2; }));
}

TEST_F(CcmClient, ItsProgressIsOnThePageAndNotThatOfItsNextLife) {
  auto client = connect("mirror");
  ASSERT_TRUE(client) << client.error().text;
  client->progress({.completed = 1'000'000'000'000, .outstanding = 7, .stall_limit = std::chrono::microseconds(1500)});
  ASSERT_TRUE(eventually([&] { return alpha_.client("mirror") && alpha_.client("mirror")->completed != 0; }));
  EXPECT_EQ(alpha_.client("mirror")->completed, 1'000'000'000'000U);
  EXPECT_EQ(alpha_.client("mirror")->outstanding, 7U);
  EXPECT_EQ(alpha_.client("mirror")->stall_limit, std::chrono::milliseconds(2));
  client->leave();
  ASSERT_TRUE(state_becomes("mirror", ClientState::left));
  auto next = connect("mirror");
  ASSERT_TRUE(next) << next.error().text;
  ASSERT_TRUE(state_becomes("mirror", ClientState::registered));
  EXPECT_EQ(alpha_.client("mirror")->outstanding, 0U);
  EXPECT_EQ(alpha_.client("mirror")->stall_limit, Duration{});
}

TEST_F(CcmClient, TheAgentsBlockIsOnThePage) {
  auto agent = connect(std::string(kAgentClientName));
  ASSERT_TRUE(agent);
  AgentBlockLayout block{};
  block.serial = 7;
  block.pool_count = 1;
  put_name(block.pools[0].name, "pool-a");
  agent->publish(block);
  ASSERT_TRUE(eventually([&] { return alpha_.page() && alpha_.page()->agent.serial == 7; }));
  EXPECT_EQ(name_in(alpha_.page()->agent.pools[0].name), "pool-a");
}

TEST_F(CcmClient, OnlyTheAgentPublishesABlock) {
  auto mirror = connect("mirror");
  ASSERT_TRUE(mirror);
  AgentBlockLayout block{};
  block.serial = 7;
  mirror->publish(block);
  mirror->beat();
  ASSERT_TRUE(eventually([&] { return alpha_.client("mirror") && alpha_.client("mirror")->beat == 1; }));
  EXPECT_EQ(alpha_.page()->agent.serial, 0U);
}

TEST_F(CcmClient, ASecondOneOfTheSameNameIsRefused) {
  auto first = connect("mirror");
  ASSERT_TRUE(first);
  const auto second = connect("mirror");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ClientError::Kind::refused);
  EXPECT_EQ(second.error().refusal, ClientRefusal::name_taken);
  EXPECT_TRUE(first->alive());
}

TEST_F(CcmClient, AKilledOneIsGoneAndTheSameNameMayComeBack) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto client = connect("mirror");
    while (client) ::pause();
    ::_exit(1);
  }
  ASSERT_TRUE(state_becomes("mirror", ClientState::registered));
  const auto life = alpha_.client("mirror")->life;
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(state_becomes("mirror", ClientState::gone));
  auto again = connect("mirror");
  ASSERT_TRUE(again);
  EXPECT_TRUE(state_becomes("mirror", ClientState::registered));
  EXPECT_NE(again->life(), life) << "a restarted client is another one";
}

TEST_F(CcmClient, OneThatSaysGoodbyeHasLeft) {
  auto client = connect("mirror");
  ASSERT_TRUE(client);
  client->leave();
  EXPECT_TRUE(state_becomes("mirror", ClientState::left));
}

TEST_F(CcmClient, MoreThanTheSlotsAreRefused) {
  std::vector<Client> clients;
  for (std::size_t i = 0; i < kMaxClients; ++i) {
    auto client = connect("client-" + std::to_string(i));
    ASSERT_TRUE(client) << i << ": " << client.error().text;
    clients.push_back(std::move(*client));
  }
  const auto extra = connect("one-more");
  ASSERT_FALSE(extra);
  EXPECT_EQ(extra.error().refusal, ClientRefusal::no_slot);
  clients.front().leave();
  EXPECT_TRUE(eventually([&] { return connect("one-more").has_value(); }));
}

TEST_F(CcmClient, GarbageIsRefusedAndTheOthersStay) {
  auto client = connect("mirror");
  ASSERT_TRUE(client);
  EXPECT_EQ(answer_to(raw(), "x", 1), ClientRefusal::malformed);
  const std::vector<char> large(4096, 'y');
  EXPECT_EQ(answer_to(raw(), large.data(), large.size()), ClientRefusal::malformed);
  ClientPacket packet{};
  packet.protocol = kClientProtocol;
  packet.message = 99;
  EXPECT_EQ(answer_to(raw(), &packet, sizeof packet), ClientRefusal::malformed);
  packet.message = static_cast<std::uint32_t>(ClientMessage::phase);
  EXPECT_EQ(answer_to(raw(), &packet, sizeof packet), ClientRefusal::malformed) << "a phase without a registration";
  packet.message = static_cast<std::uint32_t>(ClientMessage::hello);
  EXPECT_EQ(answer_to(raw(), &packet, sizeof packet), ClientRefusal::malformed) << "without a name";
  packet.name.fill('n');
  EXPECT_EQ(answer_to(raw(), &packet, sizeof packet), ClientRefusal::malformed) << "a name without an end";
  packet.protocol = 99;
  EXPECT_EQ(answer_to(raw(), &packet, sizeof packet), ClientRefusal::version);
  EXPECT_TRUE(client->alive());
  EXPECT_TRUE(alpha_.running());
}

TEST_F(CcmClient, AHungOneHoldsNobodyUp) {
  auto hung = connect("mirror");
  ASSERT_TRUE(hung);
  auto other = connect("other");
  ASSERT_TRUE(other);
  // `hung` never looks again: its event counter and its ring run over, nobody else's do.
  const std::uint64_t beat = alpha_.page()->ccm_beat;
  ObservationLayout observation{};
  ASSERT_TRUE(eventually([&] {
    while (other->next(observation)) {
    }
    return alpha_.page()->ccm_beat > beat + 2 * kObservationSlots;
  }));
  EXPECT_EQ(other->missed(), 0U);
  ASSERT_TRUE(hung->next(observation));
  EXPECT_GT(hung->missed(), 0U) << "it knows that it knows less than happened";
}

TEST_F(CcmClient, EventsTellOfNewObservations) {
  auto client = connect("mirror");
  ASSERT_TRUE(client);
  ObservationLayout observation{};
  // What was observed while this client registered may have signalled it already: an event says "look", not "there is
  // one".
  ASSERT_TRUE(eventually([&] {
    pollfd waiting{client->event_fd(), POLLIN, 0};
    if (::poll(&waiting, 1, 10'000) != 1) return false;
    client->acknowledge_events();
    return client->next(observation) && observation.kind == static_cast<std::uint32_t>(ObservationKind::failed);
  }));
  EXPECT_EQ(observation.error, static_cast<std::uint8_t>(FabricError::not_listening));
}

TEST_F(CcmClient, SeesTheCcmEndAndRegistersWithTheNextOne) {
  auto client = connect("mirror");
  ASSERT_TRUE(client);
  const auto incarnation = client->incarnation();
  alpha_.kill();
  pollfd waiting{client->socket_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiting, 1, 10'000), 1);
  EXPECT_FALSE(client->alive());
  const auto while_down = connect("mirror");
  ASSERT_FALSE(while_down);
  EXPECT_EQ(while_down.error().kind, ClientError::Kind::not_running);
  EXPECT_NE(while_down.error().text.find("systemctl start ccmd"), std::string::npos) << while_down.error().text;
  alpha_.start();
  auto again = connect("mirror");
  ASSERT_TRUE(again);
  EXPECT_NE(again->incarnation(), incarnation);
}

TEST_F(CcmClient, IsToldWhetherAWatchdogIsArmed) {
  auto client = connect("server");
  ASSERT_TRUE(client);
  ASSERT_TRUE(client->watchdog());
  EXPECT_FALSE(client->watchdog()->armed) << "none is configured";
  alpha_.options.more_ccm = R"(, "watchdog": {"device": ")" + (folder_ / "no-watchdog") + R"(", "timeout_ms": 5000})";
  alpha_.start();
  ASSERT_TRUE(eventually([this] { return alpha_.self() && alpha_.self()->watchdog.problem != 0; }));
  auto again = connect("server");
  ASSERT_TRUE(again && again->watchdog());
  EXPECT_FALSE(again->watchdog()->armed);
  EXPECT_NE(problem_of(alpha_.self()->watchdog).find("no-watchdog cannot be opened: No such file"), std::string::npos);
  EXPECT_NE(alpha_.log().find("this node is not guarded by a watchdog as configured"), std::string::npos);
}

TEST_F(CcmClient, ItsTimeOutlivesItAndItsCcmUntilItsNextLifeSpeaks) {
  alpha_.options.more_ccm = R"(, "watchdog": {"device": ")" + (folder_ / "no-watchdog") + R"(", "timeout_ms": 5000})";
  alpha_.start();
  const auto until_of_ccm = [this] { return alpha_.self().value_or(CcmSelfLayout{}).watchdog.fed_until_ns; };
  const Instant until = SystemClock().now() + std::chrono::hours(1);
  {
    auto client = connect("server");
    ASSERT_TRUE(client);
    client->fed_until(until);
    ASSERT_TRUE(eventually([&] { return client->fed_until_taken() == until; }));
  }
  ASSERT_TRUE(state_becomes("server", ClientState::gone));
  alpha_.kill();
  alpha_.start();
  EXPECT_TRUE(eventually([&] { return until_of_ccm() == ns_of(until); }));
  auto next = connect("server");
  ASSERT_TRUE(next);
  EXPECT_EQ(until_of_ccm(), ns_of(until));
  next->fed_freely();
  EXPECT_TRUE(eventually([&] { return until_of_ccm() == kSaysNothing; }));
}

TEST_F(CcmClient, PhasesGoForwardAndAreRefusedBackward) {
  auto client = connect("agent");
  ASSERT_TRUE(client);
  EXPECT_TRUE(client->set_phase(BootPhase::root, kPatience));
  EXPECT_TRUE(client->set_phase(BootPhase::storage_active, kPatience));
  EXPECT_TRUE(eventually([&] { return alpha_.page()->phase == BootPhase::storage_active; }));
  const auto backward = client->set_phase(BootPhase::root, kPatience);
  ASSERT_FALSE(backward);
  EXPECT_EQ(backward.error().refusal, ClientRefusal::phase_backward);
  EXPECT_EQ(alpha_.page()->phase, BootPhase::storage_active);
  EXPECT_TRUE(client->alive()) << "a refused phase ends nothing";
}

TEST_F(CcmClient, TheRingCannotBeWrittenByAClient) {
  Fd socket = raw();
  ClientPacket hello{};
  hello.message = static_cast<std::uint32_t>(ClientMessage::hello);
  hello.protocol = kClientProtocol;
  put_name(hello.name, "intruder");
  ASSERT_EQ(::send(socket.get(), &hello, sizeof hello, 0), static_cast<ssize_t>(sizeof hello));
  ClientPacket answer{};
  iovec part{&answer, sizeof answer};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(3 * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ASSERT_EQ(::recvmsg(socket.get(), &message, 0), static_cast<ssize_t>(sizeof answer));
  ASSERT_EQ(answer.message, static_cast<std::uint32_t>(ClientMessage::welcome));
  std::array<int, 3> fds{};
  std::memcpy(fds.data(), CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fds);
  const Fd ring(fds[0]);
  const Fd block(fds[1]);
  const Fd event(fds[2]);
  EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring.get(), 0), MAP_FAILED);
  EXPECT_EQ(::ftruncate(block.get(), 0), -1) << "a client that shrinks its block would end ccmd by SIGBUS";
  EXPECT_EQ(::ftruncate(block.get(), 1 << 20), -1);
}

}  // namespace
}  // namespace hapair::ccm
