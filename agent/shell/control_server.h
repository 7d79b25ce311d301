// The agent's control socket: run_dir/hapair.sock, see proto/control.proto. Looking is for everyone who can open the
// socket (root and the group hapair); acting is for root and the members of that group, as the kernel says who they
// are. Never blocks; clients are bounded in number, in what they send and in how slowly they read.
//
// A second one, run_dir/alerts.sock, is for Pacemaker's alert agents, which run as hacluster without any supplementary
// group: whoever is in haclient may tell an alert there, one a connection, and nothing else. It has its own bound, and
// is listened to when the loop has nothing else to do, so no flood of alerts keeps an operator out or the loop busy.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/core/engine.h"
#include "agent/shell/cluster_alert.h"
#include "agent/shell/control_connection.h"
#include "agent/shell/event_source.h"
#include "agent/shell/record_log.h"
#include "ccm/base/fd.h"
#include "proto/control.pb.h"

namespace hapair::agent {

inline constexpr std::size_t kMaxControlClients = 32;
inline constexpr std::size_t kMaxAlertClients = 8;

// What the loop answers. Called from the loop, and must not block.
class ControlHandler {
 public:
  virtual control::v1::StatusReply status() = 0;
  virtual control::v1::FleetReply fleet() = 0;
  virtual CommandReply command(const OperatorCommand& command) = 0;
  // Of the partner's whole node, for the cluster; status() tells how it goes.
  virtual CommandReply fence_partner(const std::string& by, std::chrono::seconds limit) = 0;
  // What Pacemaker told its alert agent. For the records: nothing may be decided by it.
  virtual CommandReply cluster_alert(const ClusterAlert& alert) = 0;

 protected:
  ~ControlHandler() = default;
};

struct ControlOptions {
  std::string socket_path;
  std::string group = "hapair";          // its members may act; where there is no such group, root alone
  std::string alert_socket_path{};       // empty: none
  std::string alert_group = "haclient";  // its members may tell alerts there; likewise
  NodeName node;
  std::vector<PoolName> pools;  // in the order of PoolIndex
};

class ControlServer {
 public:
  // Replaces a socket that an earlier life left: the caller holds the node's lock (lock_state_dir). The error is a
  // sentence. `loop`, `clock`, `handler` and `log` outlive the server.
  static std::expected<std::unique_ptr<ControlServer>, std::string> open(sd_event* loop, const Clock& clock,
                                                                         ControlOptions options,
                                                                         ControlHandler& handler, const RecordLog& log);
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;
  ~ControlServer();  // removes the socket

  // Sends the record to those who follow.
  void publish(const LoggedRecord& record);
  [[nodiscard]] control::v1::ControlCounters counters() const;

 private:
  ControlServer(sd_event* loop, const Clock& clock, ControlOptions options, ControlHandler& handler,
                const RecordLog& log);
  std::expected<Fd, std::string> listen(const std::string& path, std::optional<gid_t> group);
  [[nodiscard]] std::size_t clients(bool alerts_only) const;
  static int on_connect(sd_event_source* source, int fd, std::uint32_t events, void* context);
  void accept_one(int listening);
  void turn_away(const Fd& fd, bool alerts_only);
  bool handle(ControlConnection& connection, const std::string& bytes);
  bool may_act(const ControlConnection& connection, control::v1::Reply& reply);
  void take_alert(const control::v1::ClusterAlertRequest& request, control::v1::Reply& reply);
  void inhibit(ControlConnection& connection, const control::v1::InhibitRequest& request, control::v1::Reply& reply);
  void act(ControlConnection& connection, OperatorCommand command,
           const google::protobuf::RepeatedPtrField<std::string>& pools, control::v1::Reply& reply);
  void follow(ControlConnection& connection, const control::v1::FollowRequest& request, control::v1::Reply& reply);
  void ended(int fd, ControlConnection::Fate fate);

  sd_event* loop_;
  const Clock* clock_;
  ControlOptions options_;
  ControlHandler* handler_;
  const RecordLog* log_;
  std::optional<gid_t> group_;
  Fd socket_;
  EventSource source_;
  Fd alert_socket_;
  EventSource alert_source_;
  std::map<int, std::unique_ptr<ControlConnection>> connections_;
  control::v1::ControlCounters counters_;
};

// Records as they pass on the socket, and the choice among them.
control::v1::RecordEntry entry_of(const LoggedRecord& record);
bool matches(const control::v1::RecordsRequest& filter, const LoggedRecord& record);
control::v1::RecordsReply records_matching(control::v1::RecordsRequest filter, const RecordLog& log,
                                           const NodeName& node);

}  // namespace hapair::agent
