#include "agent/shell/control_server.h"

#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <random>

#include "proto/framing.h"
#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using control::v1::Error;
using control::v1::Reply;
using control::v1::Request;
using testing::ElementsAre;
using testing::HasSubstr;

class Quiet final : public RecordSink {
 public:
  void write(const LoggedRecord&) override {}
};

class Handler final : public ControlHandler {
 public:
  control::v1::StatusReply status() override {
    control::v1::StatusReply reply;
    reply.set_node("alpha");
    reply.set_state("serving");
    reply.set_reason(std::string(reason_bytes, 'r'));
    return reply;
  }
  control::v1::FleetReply fleet() override { return {}; }
  CommandReply command(const OperatorCommand& command) override {
    commands.push_back(command);
    return {true, "begun", 7};
  }
  CommandReply cluster_alert(const ClusterAlert& alert) override {
    alerts.push_back(alert);
    return {true, "recorded", 0};
  }
  std::vector<ClusterAlert> alerts;
  CommandReply fence_partner(const std::string& by, std::chrono::seconds limit) override {
    fences.push_back(by + " for " + std::to_string(limit.count()) + " s");
    return {false, "no rail", 0};
  }
  std::vector<std::string> fences;
  std::vector<OperatorCommand> commands;
  std::size_t reason_bytes = 10;
};

// The other end: what it got so far, message by message.
class Client {
 public:
  explicit Client(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    connected_ = ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  void send(std::string_view bytes) { EXPECT_EQ(try_send(bytes), static_cast<ssize_t>(bytes.size())); }
  ssize_t try_send(std::string_view bytes) { return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  void ask(const Request& request) { send(control::framed(request)); }
  // Reads what has come; true once the server has closed.
  bool closed() {
    std::array<char, 65536> bytes;
    while (true) {
      const ssize_t n = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
      if (n > 0) reader_.add({bytes.data(), static_cast<std::size_t>(n)});
      if (n == 0 || (n < 0 && errno != EAGAIN)) return true;
      if (n < 0) return false;
    }
  }
  std::optional<Reply> next() {
    closed();
    const auto message = reader_.next();
    if (!message || !*message) return std::nullopt;
    Reply reply;
    EXPECT_TRUE(reply.ParseFromString(**message));
    return reply;
  }
  void end_sending() { ::shutdown(fd_.get(), SHUT_WR); }

 private:
  Fd fd_;
  bool connected_ = false;
  control::FrameReader reader_{control::kMaxReplyBytes};
};

Request request() {
  Request out;
  out.set_protocol(control::kControlProtocol);
  return out;
}
Request status_request() {
  Request out = request();
  out.mutable_status();
  return out;
}
Request takeover_of(const std::string& pool) {
  Request out = request();
  out.mutable_takeover()->add_pools(pool);
  return out;
}

class AControlSocket : public testing::Test {
 protected:
  AControlSocket() {
    log_ = std::move(*RecordLog::open(folder_.path(), 1U << 20, clock_, std::make_unique<Quiet>()));
    open("");
  }
  void open(const std::string& group) {
    server_.reset();
    auto opened = ControlServer::open(loop_.get(), clock_,
                                      {.socket_path = path_,
                                       .group = group,
                                       .alert_socket_path = alerts_path_,
                                       .alert_group = "daemon",
                                       .node = *NodeName::parse("alpha"),
                                       .pools = {*PoolName::parse("pool-a"), *PoolName::parse("pool-b")}},
                                      handler_, *log_);
    ASSERT_TRUE(opened) << opened.error();
    server_ = std::move(*opened);
  }
  Reply answer(Client& client) {
    std::optional<Reply> reply;
    EXPECT_TRUE(loop_.run_until([&] { return (reply = client.next()).has_value(); }));
    return reply.value_or(Reply{});
  }
  Reply answer_to(const Request& asked) {
    Client client(path_);
    client.ask(asked);
    return answer(client);
  }
  bool closes(Client& client) {
    return loop_.run_until([&] { return client.closed(); });
  }
  void append(std::uint64_t decision, const std::string& text, const char* pool = "pool-b") {
    Record record{instant_of_ns(1), Severity::info, "pool-state", *PoolName::parse(pool), decision, text, {}};
    server_->publish(log_->append(std::move(record)));
  }

  test::TempFolder folder_;
  std::string path_ = folder_ / "hapair.sock";
  std::string alerts_path_ = folder_ / "alerts.sock";
  test::EventLoop loop_;
  SystemClock clock_;
  Handler handler_;
  std::unique_ptr<RecordLog> log_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(AControlSocket, AnswersStatus) {
  const Reply reply = answer_to(status_request());
  EXPECT_EQ(reply.protocol(), 1U);
  EXPECT_EQ(reply.status().state(), "serving");
  EXPECT_EQ(reply.status().control().clients(), 1U);
}

TEST_F(AControlSocket, IsForRootAndItsGroupOnlyAndGoesWithItsServer) {
  struct stat st{};
  ASSERT_EQ(::stat(path_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0660U);
  server_.reset();
  EXPECT_NE(::stat(path_.c_str(), &st), 0);
  folder_.write("hapair.sock", "left by an earlier life");
  open("");
  EXPECT_EQ(answer_to(status_request()).status().node(), "alpha");
}

TEST_F(AControlSocket, GivesCommandsToTheEngineWithWhoAsked) {
  const Reply reply = answer_to(takeover_of("pool-b"));
  EXPECT_TRUE(reply.command().accepted());
  EXPECT_EQ(reply.command().decision(), 7U);
  ASSERT_EQ(handler_.commands.size(), 1U);
  EXPECT_EQ(handler_.commands[0].kind, OperatorCommand::Kind::takeover);
  EXPECT_THAT(handler_.commands[0].pools, ElementsAre(1U));
  EXPECT_FALSE(handler_.commands[0].force);
  EXPECT_EQ(handler_.commands[0].by, "root (pid " + std::to_string(::getpid()) + ")");

  Request others = request();
  others.mutable_giveback();
  answer_to(others);
  others.mutable_reset_state();
  answer_to(others);
  others.mutable_takeover()->set_force(true);
  answer_to(others);
  ASSERT_EQ(handler_.commands.size(), 4U);
  EXPECT_EQ(handler_.commands[1].kind, OperatorCommand::Kind::giveback);
  EXPECT_EQ(handler_.commands[2].kind, OperatorCommand::Kind::reset_record);
  EXPECT_TRUE(handler_.commands[3].force);
  EXPECT_TRUE(handler_.commands[3].pools.empty());
}

Request a_lost_node() {
  Request out = request();
  out.mutable_cluster_alert()->set_kind("node");
  out.mutable_cluster_alert()->set_node("beta");
  out.mutable_cluster_alert()->set_desc("lost");
  return out;
}

TEST_F(AControlSocket, OfAlertsTakesAlertsAndNothingElse) {
  struct stat st{};
  ASSERT_EQ(::stat(alerts_path_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0660U);
  EXPECT_EQ(st.st_gid, ::getgrnam("daemon")->gr_gid);
  Client tells(alerts_path_);
  tells.ask(a_lost_node());
  tells.ask(a_lost_node());
  EXPECT_TRUE(answer(tells).command().accepted());
  EXPECT_TRUE(closes(tells)) << "one alert a connection";
  ASSERT_EQ(handler_.alerts.size(), 1U);
  EXPECT_EQ(handler_.alerts[0].node, "beta");
  for (const Request& other : {status_request(), takeover_of("pool-b")}) {
    Client asks(alerts_path_);
    asks.ask(other);
    const Reply reply = answer(asks);
    EXPECT_EQ(reply.error().code(), Error::NOT_PERMITTED);
    EXPECT_THAT(reply.error().text(), HasSubstr("for Pacemaker's alerts and nothing else; use " + path_));
    EXPECT_TRUE(closes(asks));
  }
  EXPECT_TRUE(handler_.commands.empty());
  EXPECT_TRUE(answer_to(a_lost_node()).command().accepted()) << "root may tell one anywhere";
  server_.reset();
  EXPECT_NE(::stat(alerts_path_.c_str(), &st), 0);
}

TEST_F(AControlSocket, AnswersWhatIsNoAlertWithTheMistake) {
  Request wrong = a_lost_node();
  wrong.mutable_cluster_alert()->set_kind("weather");
  const Reply reply = answer_to(wrong);
  EXPECT_FALSE(reply.command().accepted());
  EXPECT_THAT(reply.command().reason(), HasSubstr("found \"weather\"; allowed: node, fencing, resource, attribute"));
  wrong = a_lost_node();
  wrong.mutable_cluster_alert()->set_node("beta\nMESSAGE=root says");
  EXPECT_THAT(answer_to(wrong).command().reason(), HasSubstr("printable ASCII"));
  EXPECT_TRUE(handler_.alerts.empty());
}

TEST_F(AControlSocket, KeepsRoomForOperatorsHoweverManyAlertsCome) {
  std::vector<std::unique_ptr<Client>> silent;
  for (std::size_t i = 0; i < kMaxAlertClients; ++i) silent.push_back(std::make_unique<Client>(alerts_path_));
  ASSERT_TRUE(loop_.run_until([&] { return server_->counters().clients() == kMaxAlertClients; }));
  Client surplus(alerts_path_);
  EXPECT_EQ(answer(surplus).error().code(), Error::TOO_MANY);
  std::vector<std::unique_ptr<Client>> operators;
  for (std::size_t i = 0; i < kMaxControlClients; ++i) {
    operators.push_back(std::make_unique<Client>(path_));
    operators.back()->ask(status_request());
    EXPECT_EQ(answer(*operators.back()).status().node(), "alpha") << i;
  }
}

TEST_F(AControlSocket, HandsOnAClustersFenceWithinItsBounds) {
  Request fence = request();
  fence.mutable_cluster_fence()->set_seconds(50);
  const Reply reply = answer_to(fence);
  EXPECT_FALSE(reply.command().accepted());
  EXPECT_EQ(reply.command().reason(), "no rail");
  fence.mutable_cluster_fence()->set_seconds(0);
  answer_to(fence);
  fence.mutable_cluster_fence()->set_seconds(1'000'000);
  answer_to(fence);
  const std::string root = "root (pid " + std::to_string(::getpid()) + ") for ";
  EXPECT_THAT(handler_.fences, ElementsAre(root + "50 s", root + "1 s", root + "3600 s"));
  EXPECT_TRUE(handler_.commands.empty());
}

TEST_F(AControlSocket, GivesAClustersOrdersToTheEngine) {
  Request promote = request();
  promote.mutable_cluster()->set_pool("pool-a");
  promote.mutable_cluster()->set_promote(true);
  promote.mutable_cluster()->set_seconds(40);
  promote.mutable_cluster()->set_above(7);
  EXPECT_TRUE(answer_to(promote).command().accepted());
  Request demote = request();
  demote.mutable_cluster()->set_pool("pool-a");
  EXPECT_TRUE(answer_to(demote).command().accepted());
  ASSERT_EQ(handler_.commands.size(), 2U);
  EXPECT_EQ(handler_.commands[0].kind, OperatorCommand::Kind::promote);
  EXPECT_THAT(handler_.commands[0].pools, ElementsAre(0U));
  EXPECT_EQ(handler_.commands[0].length, std::chrono::seconds(40));
  EXPECT_EQ(handler_.commands[0].above, Epoch(7));
  EXPECT_EQ(handler_.commands[1].kind, OperatorCommand::Kind::demote);
  EXPECT_EQ(handler_.commands[1].length, std::nullopt);
}

TEST_F(AControlSocket, RefusesToForbidWhatNobodyMayForbid) {
  Request unknown = request();
  unknown.mutable_inhibit()->set_what("partner-maintenance");
  unknown.mutable_inhibit()->set_reason("x");
  EXPECT_EQ(answer_to(unknown).command().reason(),
            "found \"partner-maintenance\"; allowed: takeover, giveback, maintenance");
  unknown.mutable_allow()->set_what("every\nthing");
  EXPECT_FALSE(answer_to(unknown).command().accepted());
  EXPECT_TRUE(handler_.commands.empty());
  Request known = request();
  known.mutable_inhibit()->set_what("giveback");
  known.mutable_inhibit()->set_reason("a\nb");
  known.mutable_inhibit()->set_seconds(30);
  EXPECT_TRUE(answer_to(known).command().accepted());
  ASSERT_EQ(handler_.commands.size(), 1U);
  EXPECT_EQ(handler_.commands[0].what, Inhibited::giveback);
  EXPECT_EQ(handler_.commands[0].length, std::chrono::seconds(30));
  EXPECT_EQ(handler_.commands[0].reason.find('\n'), std::string::npos);
}

TEST_F(AControlSocket, NamesThePoolsWhenAskedForAnUnknownOne) {
  const Reply reply = answer_to(takeover_of("pool-x"));
  EXPECT_FALSE(reply.command().accepted());
  EXPECT_EQ(reply.command().reason(), "there is no pool pool-x; the pools of this pair: pool-a, pool-b");
  EXPECT_TRUE(handler_.commands.empty());
}

// Connects as another user with these further groups.
Client connected_as_other(const std::string& path, std::vector<gid_t> groups) {
  std::vector<gid_t> before(64);
  const int count = ::getgroups(static_cast<int>(before.size()), before.data());
  EXPECT_GE(count, 0);
  EXPECT_EQ(::setgroups(groups.size(), groups.data()), 0);
  EXPECT_EQ(::setegid(65534), 0);
  EXPECT_EQ(::seteuid(65534), 0);
  Client client(path);
  EXPECT_EQ(::seteuid(0), 0);
  EXPECT_EQ(::setegid(0), 0);
  EXPECT_EQ(::setgroups(static_cast<std::size_t>(count), before.data()), 0);
  return client;
}

TEST_F(AControlSocket, LetsOthersLookButNotAct) {
  ASSERT_EQ(::geteuid(), 0U) << "it becomes another user: run it as root, as tests/run does";
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  EXPECT_FALSE(connected_as_other(path_, {}).connected()) << "by default others cannot even open it";
  ASSERT_EQ(::chmod(path_.c_str(), 0666), 0);
  Client other = connected_as_other(path_, {});
  ASSERT_TRUE(other.connected());
  other.ask(status_request());
  EXPECT_EQ(answer(other).status().state(), "serving");
  other.ask(takeover_of("pool-b"));
  const Reply refused = answer(other);
  EXPECT_EQ(refused.error().code(), Error::NOT_PERMITTED);
  EXPECT_TRUE(handler_.commands.empty());
  EXPECT_EQ(server_->counters().not_permitted(), 1U);
}

TEST_F(AControlSocket, LetsMembersOfItsGroupAct) {
  const group* daemon = ::getgrnam("daemon");
  ASSERT_EQ(::geteuid(), 0U) << "it becomes another user: run it as root, as tests/run does";
  ASSERT_NE(daemon, nullptr) << "Debian has the group daemon";
  const gid_t gid = daemon->gr_gid;
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  open("daemon");
  Client member = connected_as_other(path_, {gid});
  ASSERT_TRUE(member.connected());
  member.ask(takeover_of("pool-b"));
  EXPECT_TRUE(answer(member).command().accepted());
  EXPECT_THAT(handler_.commands.at(0).by, HasSubstr("uid 65534 (pid "));
}

TEST_F(AControlSocket, AnswersSeveralRequestsOfOneClientInOrder) {
  Client client(path_);
  std::string bytes;
  for (int i = 0; i < 200; ++i) bytes += control::framed(i % 2 == 0 ? status_request() : takeover_of("pool-a"));
  handler_.reason_bytes = 5000;
  client.send(bytes);
  for (int i = 0; i < 200; ++i) {
    const Reply reply = answer(client);
    ASSERT_EQ(reply.what_case(), i % 2 == 0 ? Reply::kStatus : Reply::kCommand) << i;
  }
}

TEST_F(AControlSocket, AnswersAClientThatSendsByteByByteAndThenClosesItsSide) {
  Client client(path_);
  for (const char c : control::framed(status_request())) {
    client.send({&c, 1});
    sd_event_run(loop_.get(), 0);
  }
  client.end_sending();
  EXPECT_EQ(answer(client).what_case(), Reply::kStatus);
  EXPECT_TRUE(closes(client));
}

TEST_F(AControlSocket, RefusesGarbageAndCloses) {
  Client client(path_);
  client.send(std::string("\x05\x00\x00\x00\xff\xff\xff\xff\xff", 9));
  EXPECT_EQ(answer(client).error().code(), Error::MALFORMED);
  EXPECT_TRUE(closes(client));
  EXPECT_EQ(server_->counters().malformed(), 1U);
}

TEST_F(AControlSocket, RefusesALengthThatIsTooLargeWithoutWaitingForIt) {
  Client client(path_);
  client.send("\xff\xff\xff\xff");
  const Reply reply = answer(client);
  EXPECT_EQ(reply.error().code(), Error::MALFORMED);
  EXPECT_THAT(reply.error().text(), HasSubstr("a request of 4294967295 bytes was announced; allowed: 1048576"));
  EXPECT_TRUE(closes(client));
  EXPECT_EQ(server_->counters().oversized(), 1U);
}

TEST_F(AControlSocket, RefusesAnotherProtocolAndARequestForNothing) {
  Request other = status_request();
  other.set_protocol(2);
  EXPECT_EQ(answer_to(other).error().code(), Error::PROTOCOL);
  EXPECT_EQ(answer_to(request()).error().code(), Error::MALFORMED);
}

TEST_F(AControlSocket, SurvivesRandomBytes) {
  std::mt19937 random(4711);
  for (int round = 0; round < 200; ++round) {
    Client client(path_);
    std::string bytes = control::framed(takeover_of("pool-a"));
    if (round % 2 == 0) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    } else {
      for (char& c : bytes) c = static_cast<char>(random());
    }
    client.send(bytes);
    client.end_sending();
    ASSERT_TRUE(closes(client)) << round;
  }
  EXPECT_EQ(answer_to(status_request()).what_case(), Reply::kStatus);
  EXPECT_TRUE(loop_.run_until([&] { return server_->counters().clients() == 0; }));
}

TEST_F(AControlSocket, TurnsAwayMoreClientsThanItServes) {
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < kMaxControlClients; ++i) {
    clients.push_back(std::make_unique<Client>(path_));
    ASSERT_TRUE(loop_.run_until([&] { return server_->counters().clients() == i + 1; }));
  }
  Client surplus(path_);
  EXPECT_EQ(answer(surplus).error().code(), Error::TOO_MANY);
  EXPECT_TRUE(closes(surplus));
  EXPECT_EQ(server_->counters().turned_away(), 1U);
  clients.pop_back();
  ASSERT_TRUE(loop_.run_until([&] { return server_->counters().clients() == kMaxControlClients - 1; }));
  EXPECT_EQ(answer_to(status_request()).what_case(), Reply::kStatus);
}

TEST_F(AControlSocket, ChoosesRecords) {
  append(3, "a1", "pool-a");
  append(4, "b1");
  append(4, "b2");
  append(0, "none");
  const auto texts = [this](auto fill) {
    Request asked = request();
    fill(*asked.mutable_records());
    std::vector<std::string> out;
    const Reply reply = answer_to(asked);
    for (const auto& entry : reply.records().records()) out.push_back(entry.text());
    return out;
  };
  EXPECT_THAT(texts([](auto&) {}), ElementsAre("a1", "b1", "b2", "none"));
  EXPECT_THAT(texts([](auto& filter) { filter.set_last(2); }), ElementsAre("b2", "none"));
  EXPECT_THAT(texts([](auto& filter) { filter.set_decision(4); }), ElementsAre("b1", "b2"));
  EXPECT_THAT(texts([](auto& filter) { filter.set_newest_decision(true); }), ElementsAre("b1", "b2"));
  EXPECT_THAT(texts([](auto& filter) { filter.set_pool("pool-a"); }), ElementsAre("a1"));
  EXPECT_THAT(texts([](auto& filter) { filter.set_since_wall_us(INT64_MAX); }), ElementsAre());
}

TEST_F(AControlSocket, SendsRecordsToThoseWhoFollow) {
  append(3, "before");
  Client client(path_);
  Request follow = request();
  follow.mutable_follow()->mutable_filter()->set_decision(3);
  client.ask(follow);
  EXPECT_EQ(answer(client).records().records(0).text(), "before");
  append(3, "after");
  append(4, "of another decision");
  append(3, "last");
  EXPECT_EQ(answer(client).followed().text(), "after");
  EXPECT_EQ(answer(client).followed().text(), "last");
  client.ask(status_request());
  EXPECT_EQ(answer(client).what_case(), Reply::kStatus);
}

TEST_F(AControlSocket, EndsAFollowerThatDoesNotRead) {
  Client client(path_);
  Request follow = request();
  follow.mutable_follow();
  client.ask(follow);
  answer(client);
  for (int i = 0; i < 2000; ++i) append(1, std::string(2000, 'x'));
  EXPECT_TRUE(loop_.run_until([&] { return server_->counters().slow() == 1; }));
  EXPECT_EQ(answer_to(status_request()).what_case(), Reply::kStatus);
}

TEST_F(AControlSocket, ToleratesClientsThatVanish) {
  for (int i = 0; i < 20; ++i) {
    Client client(path_);
    client.ask(status_request());
    if (i % 2 == 0) sd_event_run(loop_.get(), 0);
  }
  EXPECT_TRUE(loop_.run_until([&] { return server_->counters().clients() == 0; }));
  EXPECT_EQ(answer_to(status_request()).what_case(), Reply::kStatus);
}

TEST_F(AControlSocket, ThatCannotBeMadeIsASentence) {
  auto opened = ControlServer::open(
      loop_.get(), clock_, {.socket_path = folder_ / "missing/too/hapair.sock", .group = "", .node = {}, .pools = {}},
      handler_, *log_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error(), "the control socket " + (folder_ / "missing/too/hapair.sock") +
                                " cannot be bound: No such file or directory");
}

TEST(AFrameReader, CutsMessagesWhereverTheStreamIsCut) {
  const std::string one = control::framed(status_request());
  const std::string two = control::framed(takeover_of("pool-a"));
  const std::string stream = one + two + one;
  for (std::size_t step = 1; step <= stream.size(); ++step) {
    control::FrameReader reader(1000);
    std::vector<std::string> got;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      reader.add(std::string_view(stream).substr(at, step));
      while (true) {
        const auto message = reader.next();
        ASSERT_TRUE(message);
        if (!*message) break;
        got.push_back(**message);
      }
    }
    EXPECT_THAT(got, ElementsAre(one.substr(4), two.substr(4), one.substr(4))) << step;
    EXPECT_TRUE(reader.empty());
  }
}

}  // namespace
}  // namespace hapair::agent
