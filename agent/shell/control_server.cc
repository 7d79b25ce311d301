#include "agent/shell/control_server.h"

#include <google/protobuf/stubs/logging.h>
#include <grp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ranges>

#include "agent/shell/printable.h"

namespace hapair::agent {
namespace {

constexpr std::uint32_t kLongestFenceS = 3600;

void tell(const CommandReply& answer, control::v1::Reply& reply) {
  reply.mutable_command()->set_accepted(answer.accepted);
  reply.mutable_command()->set_reason(answer.text);
  reply.mutable_command()->set_decision(answer.decision);
}

using control::v1::Error;
using control::v1::Reply;
using control::v1::Request;

constexpr std::size_t kMaxTextBytes = 4000;  // of one text of a record

Reply reply_now() {
  Reply reply;
  reply.set_protocol(control::kControlProtocol);
  return reply;
}

void set_error(Reply& reply, Error::Code code, const std::string& text) {
  reply.mutable_error()->set_code(code);
  reply.mutable_error()->set_text(text);
}

bool in_group(int fd, gid_t own_group, gid_t wanted) {
  if (own_group == wanted) return true;
  std::array<gid_t, 1024> groups{};
  socklen_t bytes = sizeof groups;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &bytes) != 0) return false;
  const auto end = groups.begin() + bytes / sizeof(gid_t);
  return std::find(groups.begin(), end, wanted) != end;
}

ControlPeer peer_of(int fd, std::optional<gid_t> group) {
  ucred credentials{};
  socklen_t bytes = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) return {false, "nobody known"};
  const bool root = credentials.uid == 0;
  const std::string who = root ? "root" : "uid " + std::to_string(credentials.uid);
  return {root || (group && in_group(fd, credentials.gid, *group)),
          who + " (pid " + std::to_string(credentials.pid) + ")"};
}

// What an operator may forbid; nothing, and the reply says so, where it is no such thing.
std::optional<Inhibited> inhibited_from(const std::string& word, Reply& reply) {
  for (const Inhibited what : {Inhibited::takeover, Inhibited::giveback, Inhibited::maintenance}) {
    if (text_of(what) == word) return what;
  }
  reply.mutable_command()->set_reason("found \"" + printable_line(word, 64) +
                                      "\"; allowed: takeover, giveback, maintenance");
  return std::nullopt;
}

std::optional<gid_t> group_named(const std::string& name) {
  const group* entry = name.empty() ? nullptr : ::getgrnam(name.c_str());
  return entry == nullptr ? std::nullopt : std::optional<gid_t>(entry->gr_gid);
}

}  // namespace

control::v1::RecordEntry entry_of(const LoggedRecord& logged) {
  control::v1::RecordEntry entry;
  entry.set_when_ns(ns_of(logged.record.when));
  entry.set_wall_us(logged.wall_us);
  entry.set_severity(std::string(text_of(logged.record.severity)));
  entry.set_kind(printable_line(logged.record.kind));
  entry.set_pool(logged.record.pool.text());
  entry.set_decision(logged.record.decision);
  entry.set_text(printable_line(logged.record.text, kMaxTextBytes));
  for (const auto& [name, value] : logged.record.fields) {
    auto* field = entry.add_fields();
    field->set_name(printable_line(name));
    field->set_value(printable_line(value, kMaxTextBytes));
  }
  return entry;
}

bool matches(const control::v1::RecordsRequest& filter, const LoggedRecord& logged) {
  if (filter.decision() != 0 && logged.record.decision != filter.decision()) return false;
  if (!filter.pool().empty() && logged.record.pool.view() != filter.pool()) return false;
  return logged.wall_us >= filter.since_wall_us();
}

control::v1::RecordsReply records_matching(control::v1::RecordsRequest filter, const RecordLog& log,
                                           const NodeName& node) {
  if (filter.newest_decision()) {
    // The newest record decides, not the highest number: an older decision may have gone on since.
    const auto newest = std::ranges::find_if(std::views::reverse(log.records()),
                                             [](const LoggedRecord& logged) { return logged.record.decision != 0; });
    const bool none = newest == std::views::reverse(log.records()).end();
    filter.set_decision(none ? UINT64_MAX : newest->record.decision);
  }
  control::v1::RecordsReply reply;
  reply.set_node(node.text());
  for (const LoggedRecord& logged : log.records()) {
    if (matches(filter, logged)) *reply.add_records() = entry_of(logged);
  }
  const auto surplus = reply.records_size() - static_cast<int>(std::min<std::uint32_t>(filter.last(), INT32_MAX));
  if (filter.last() != 0 && surplus > 0) reply.mutable_records()->DeleteSubrange(0, surplus);
  return reply;
}

ControlServer::ControlServer(sd_event* loop, const Clock& clock, ControlOptions options, ControlHandler& handler,
                             const RecordLog& log)
    : loop_(loop),
      clock_(&clock),
      options_(std::move(options)),
      handler_(&handler),
      log_(&log),
      group_(group_named(options_.group)) {}

std::expected<std::unique_ptr<ControlServer>, std::string> ControlServer::open(sd_event* loop, const Clock& clock,
                                                                               ControlOptions options,
                                                                               ControlHandler& handler,
                                                                               const RecordLog& log) {
  // Protobuf would report a client's bad bytes on standard error, as often as it likes; they are answered and counted.
  google::protobuf::SetLogHandler(nullptr);
  std::unique_ptr<ControlServer> server(new ControlServer(loop, clock, std::move(options), handler, log));
  auto socket = server->listen(server->options_.socket_path, server->group_);
  if (!socket) return std::unexpected(socket.error());
  server->socket_ = std::move(*socket);
  server->source_ = watch_fd(loop, server->socket_.get(), EPOLLIN, on_connect, server.get());
  if (server->options_.alert_socket_path.empty()) return server;
  auto alerts = server->listen(server->options_.alert_socket_path, group_named(server->options_.alert_group));
  if (!alerts) return std::unexpected(alerts.error());
  server->alert_socket_ = std::move(*alerts);
  server->alert_source_ = watch_fd(loop, server->alert_socket_.get(), EPOLLIN, on_connect, server.get());
  sd_event_source_set_priority(server->alert_source_.get(), SD_EVENT_PRIORITY_IDLE);
  return server;
}

std::expected<Fd, std::string> ControlServer::listen(const std::string& path, std::optional<gid_t> group) {
  const auto failed = [&path](const char* what) {
    return std::unexpected(errno_text("the control socket " + path + " cannot be " + what));
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return failed("made");
  }
  path.copy(address.sun_path, path.size());
  // The CCM makes the folder when it starts first; its absence otherwise shows in bind.
  ::mkdir(path.substr(0, path.rfind('/')).c_str(), 0755);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return failed("made");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return failed("replaced");
  // Nobody gets in between bind and chmod: the mode is there from the start.
  const mode_t before = ::umask(0117);
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::umask(before);
  if (bound != 0) return failed("bound");
  if (group && ::chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0) return failed("given to its group");
  if (::listen(fd.get(), 16) != 0) return failed("listened on");
  return fd;
}

ControlServer::~ControlServer() {
  if (socket_.valid()) ::unlink(options_.socket_path.c_str());
  if (alert_socket_.valid()) ::unlink(options_.alert_socket_path.c_str());
}

int ControlServer::on_connect(sd_event_source*, int fd, std::uint32_t, void* context) {
  static_cast<ControlServer*>(context)->accept_one(fd);
  return 0;
}

std::size_t ControlServer::clients(bool alerts_only) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      connections_, [alerts_only](const auto& entry) { return entry.second->peer().alerts_only == alerts_only; }));
}

void ControlServer::accept_one(int listening) {
  const bool alerts_only = listening == alert_socket_.get();
  Fd fd(::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid()) return;
  if (clients(alerts_only) >= (alerts_only ? kMaxAlertClients : kMaxControlClients)) {
    turn_away(fd, alerts_only);
    return;
  }
  const int key = fd.get();
  ControlPeer peer = peer_of(key, group_);
  peer.alerts_only = alerts_only;
  connections_[key] = std::make_unique<ControlConnection>(
      loop_, *clock_, std::move(fd), std::move(peer),
      [this](ControlConnection& connection, const std::string& bytes) { return handle(connection, bytes); },
      [this](ControlConnection& connection, std::uint32_t length) {
        counters_.set_oversized(counters_.oversized() + 1);
        Reply reply = reply_now();
        set_error(reply, Error::MALFORMED,
                  "a request of " + std::to_string(length) +
                      " bytes was announced; allowed: " + std::to_string(control::kMaxRequestBytes));
        connection.reply(reply);
      },
      [this](int ended_fd, ControlConnection::Fate fate) { ended(ended_fd, fate); });
}

void ControlServer::turn_away(const Fd& fd, bool alerts_only) {
  counters_.set_turned_away(counters_.turned_away() + 1);
  Reply reply = reply_now();
  set_error(reply, Error::TOO_MANY,
            alerts_only ? "hapaird is being told " + std::to_string(kMaxAlertClients) +
                              " alerts of Pacemaker's already: this one is not recorded"
                        : "hapaird serves " + std::to_string(kMaxControlClients) +
                              " control clients already; end one that follows events, or try again");
  const std::string bytes = control::framed(reply);
  // Best effort: a fresh socket takes this much at once.
  [[maybe_unused]] const ssize_t n = ::send(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void ControlServer::ended(int fd, ControlConnection::Fate fate) {
  if (fate == ControlConnection::Fate::slow) counters_.set_slow(counters_.slow() + 1);
  connections_.erase(fd);
}

bool ControlServer::handle(ControlConnection& connection, const std::string& bytes) {
  Request request;
  Reply reply = reply_now();
  bool stays = true;
  if (!request.ParseFromString(bytes)) {
    counters_.set_malformed(counters_.malformed() + 1);
    set_error(reply, Error::MALFORMED, "these bytes are no request of hapair's control protocol");
    connection.reply(reply);
    return false;
  }
  if (request.protocol() != control::kControlProtocol) {
    set_error(reply, Error::PROTOCOL,
              "this hapaird speaks version " + std::to_string(control::kControlProtocol) +
                  " of the control protocol, and was asked in version " + std::to_string(request.protocol()) +
                  "; use the hapair command of its own release");
    connection.reply(reply);
    return false;
  }
  if (connection.peer().alerts_only) {
    if (request.has_cluster_alert()) {
      take_alert(request.cluster_alert(), reply);
    } else {
      counters_.set_not_permitted(counters_.not_permitted() + 1);
      set_error(
          reply, Error::NOT_PERMITTED,
          options_.alert_socket_path + " is for Pacemaker's alerts and nothing else; use " + options_.socket_path);
    }
    connection.reply(reply);
    return false;
  }
  switch (request.what_case()) {
    case Request::kStatus:
      *reply.mutable_status() = handler_->status();
      *reply.mutable_status()->mutable_control() = counters();
      break;
    case Request::kFleet:
      *reply.mutable_fleet() = handler_->fleet();
      break;
    case Request::kRecords:
      *reply.mutable_records() = records_matching(request.records(), *log_, options_.node);
      break;
    case Request::kFollow:
      follow(connection, request.follow(), reply);
      break;
    case Request::kTakeover:
      act(connection,
          {.kind = OperatorCommand::Kind::takeover,
           .force = request.takeover().force(),
           .ignore_vetoes = request.takeover().ignore_vetoes()},
          request.takeover().pools(), reply);
      break;
    case Request::kGiveback:
      act(connection, {.kind = OperatorCommand::Kind::giveback, .ignore_vetoes = request.giveback().ignore_vetoes()},
          request.giveback().pools(), reply);
      break;
    case Request::kResetState:
      act(connection, {.kind = OperatorCommand::Kind::reset_record}, {}, reply);
      break;
    case Request::kInhibit:
      inhibit(connection, request.inhibit(), reply);
      break;
    case Request::kAllow:
      if (const auto what = inhibited_from(request.allow().what(), reply)) {
        act(connection, {.kind = OperatorCommand::Kind::allow, .what = *what}, {}, reply);
      }
      break;
    case Request::kConfirmDown:
      act(connection,
          {.kind = OperatorCommand::Kind::confirm_down,
           .partner = printable_line(request.confirm_down().partner(), 64)},
          {}, reply);
      break;
    case Request::kCluster: {
      google::protobuf::RepeatedPtrField<std::string> pool;
      *pool.Add() = request.cluster().pool();
      OperatorCommand order{.kind = request.cluster().promote() ? OperatorCommand::Kind::promote
                                                                : OperatorCommand::Kind::demote};
      if (request.cluster().seconds() != 0) order.length = std::chrono::seconds(request.cluster().seconds());
      order.above = Epoch(request.cluster().above());
      act(connection, std::move(order), pool, reply);
      break;
    }
    case Request::kClusterFence:
      if (may_act(connection, reply)) {
        const auto seconds = std::clamp(request.cluster_fence().seconds(), 1U, kLongestFenceS);
        tell(handler_->fence_partner(connection.peer().name, std::chrono::seconds(seconds)), reply);
      }
      break;
    case Request::kClusterAlert:
      if (may_act(connection, reply)) take_alert(request.cluster_alert(), reply);
      break;
    case Request::WHAT_NOT_SET:
      counters_.set_malformed(counters_.malformed() + 1);
      set_error(reply, Error::MALFORMED, "the request asks for nothing that this hapaird knows");
      stays = false;
      break;
  }
  connection.reply(reply);
  return stays;
}

void ControlServer::inhibit(ControlConnection& connection, const control::v1::InhibitRequest& request, Reply& reply) {
  const auto what = inhibited_from(request.what(), reply);
  if (!what) return;
  OperatorCommand command{
      .kind = OperatorCommand::Kind::inhibit, .what = *what, .reason = printable_line(request.reason())};
  if (request.seconds() != 0) command.length = std::chrono::seconds(request.seconds());
  act(connection, std::move(command), {}, reply);
}

void ControlServer::take_alert(const control::v1::ClusterAlertRequest& request, Reply& reply) {
  const auto alert = alert_of(request);
  tell(alert ? handler_->cluster_alert(*alert) : CommandReply{.accepted = false, .text = alert.error()}, reply);
}

bool ControlServer::may_act(const ControlConnection& connection, Reply& reply) {
  if (connection.peer().may_act) return true;
  counters_.set_not_permitted(counters_.not_permitted() + 1);
  set_error(reply, Error::NOT_PERMITTED,
            "this changes what the pair does, and takes root or a member of the group " + options_.group);
  return false;
}

void ControlServer::act(ControlConnection& connection, OperatorCommand command,
                        const google::protobuf::RepeatedPtrField<std::string>& pools, Reply& reply) {
  if (!may_act(connection, reply)) return;
  for (const std::string& name : pools) {
    const auto it = std::ranges::find_if(options_.pools, [&](const PoolName& pool) { return pool.view() == name; });
    if (it == options_.pools.end()) {
      std::string known;
      for (const PoolName& pool : options_.pools) known += (known.empty() ? "" : ", ") + pool.text();
      reply.mutable_command()->set_reason("there is no pool " + printable_line(name, 64) +
                                          "; the pools of this pair: " + known);
      return;
    }
    const auto index = static_cast<PoolIndex>(it - options_.pools.begin());
    if (std::ranges::find(command.pools, index) == command.pools.end()) command.pools.push_back(index);
  }
  command.by = connection.peer().name;
  tell(handler_->command(command), reply);
}

void ControlServer::follow(ControlConnection& connection, const control::v1::FollowRequest& request, Reply& reply) {
  control::v1::RecordsRequest filter = request.filter();
  *reply.mutable_records() = records_matching(filter, *log_, options_.node);
  connection.followed = filter;
}

void ControlServer::publish(const LoggedRecord& record) {
  Reply reply = reply_now();
  *reply.mutable_followed() = entry_of(record);
  for (const auto& [fd, connection] : connections_) {
    if (connection->followed && matches(*connection->followed, record)) connection->follow_with(reply);
  }
}

control::v1::ControlCounters ControlServer::counters() const {
  control::v1::ControlCounters out = counters_;
  out.set_clients(connections_.size());
  return out;
}

}  // namespace hapair::agent
