// What alert_hapair asks of the agent of its node: see cluster_commands.h.
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "agent/cli/answer.h"
#include "agent/cli/cluster_commands.h"
#include "agent/shell/cluster_alert.h"

namespace hapair::cli {
namespace {

// Pacemaker ends an alert agent after 30 s, and has others to call meanwhile.
constexpr Duration kAlertPatience = std::chrono::seconds(3);

std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// hacluster, as which Pacemaker calls its alert agents, may not be let read the configuration.
std::expected<std::string, Failure> alert_socket(const Common& common) {
  if (!common.socket.empty()) return common.socket;
  const bool hidden = ::access(common.config.c_str(), R_OK) != 0 && errno == EACCES;
  const auto run_dir = hidden ? std::expected<std::string, Failure>("/run/hapair") : run_dir_of(common);
  if (!run_dir) return std::unexpected(run_dir.error());
  return *run_dir + "/alerts.sock";
}

std::expected<control::v1::CommandReply, Failure> told(const Common& common) {
  const auto alert = agent::read_alert(variable);
  if (!alert) return std::unexpected(Failure{Exit::usage, "this is no alert of Pacemaker's: " + alert.error()});
  const auto socket = alert_socket(common);
  if (!socket) return std::unexpected(socket.error());
  auto client = ControlClient::connect(*socket, kAlertPatience);
  if (!client) return std::unexpected(client.error());
  control::v1::Request request;
  *request.mutable_cluster_alert() = agent::request_of(*alert);
  auto reply = client->ask(std::move(request));
  if (!reply) return std::unexpected(reply.error());
  if (reply->command().accepted()) return reply->command();
  return std::unexpected(Failure{Exit::failed, "refused: " + reply->command().reason()});
}

}  // namespace

Exit tell_alert(const Common& common) {
  const auto reply = told(common);
  if (!reply) return complain(common, reply.error());
  if (common.json) {
    print_json({{"said", reply->reason()}});
  } else {
    print(reply->reason() + "\n");
  }
  return Exit::ok;
}

}  // namespace hapair::cli
