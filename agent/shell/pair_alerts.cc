#include "agent/shell/pair_alerts.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <ctime>
#include <utility>

namespace hapair::agent {
namespace {

using Kind = ClusterAlert::Kind;

constexpr std::int64_t kOk = 0;  // OCF Resource Agent API 1.1, "Exit status codes"
constexpr std::int64_t kError = 1;
constexpr std::int64_t kNotRunning = 7;
constexpr std::int64_t kFenceFailed = -201;  // Pacemaker's "generic error" of a fence

std::string field_of(const Record& record, std::string_view name) {
  for (const auto& [key, value] : record.fields) {
    if (key == name) return value;
  }
  return {};
}

// "812.345" of a field took_ms.
std::optional<std::int64_t> took_of(const Record& record) {
  const std::string text = field_of(record, "took_ms");
  std::int64_t ms = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
  return error == std::errc{} ? std::optional(ms) : std::nullopt;
}

std::string number_of(const std::optional<std::int64_t>& value) { return value ? std::to_string(*value) : ""; }

// As Pacemaker's usual timestamp-format, "%H:%M:%S.%06N", in local time.
std::string timestamp_of(std::int64_t wall_us) {
  const std::time_t seconds = wall_us / 1'000'000;
  std::tm local{};
  ::localtime_r(&seconds, &local);
  std::array<char, 16> text{};
  std::strftime(text.data(), text.size(), "%H:%M:%S", &local);
  return fmt::format("{}.{:06}", text.data(), wall_us % 1'000'000);
}

}  // namespace

PairAlerts::PairAlerts(NodeName self, NodeName partner, const std::vector<FenceDeviceConfig>& devices)
    : self_(self), partner_(partner) {
  for (const FenceDeviceConfig& device : devices) actions_[device.name] = text_of(device.action);
}

std::optional<ClusterAlert> PairAlerts::take(const Record& record) {
  if (record.kind == "verdict") return take_verdict(record);
  if (record.kind == "fence-confirmed" || record.kind == "fence-failed") return take_fence(record);
  if (record.kind == "pool-serving" || record.kind == "pool-state") return take_pool(record);
  if (record.kind == "resource-failed" || record.kind == "resource-restarting") return take_resource(record);
  return std::nullopt;
}

// Other verdicts say that it lives, or nothing of whether it does.
std::optional<ClusterAlert> PairAlerts::take_verdict(const Record& record) {
  const std::string verdict = field_of(record, "verdict");
  const bool lost = verdict == "unreachable" || verdict == "hung" || verdict == "panicked" || verdict == "rebooted";
  if ((!lost && verdict != "alive") || lost == lost_) return std::nullopt;
  lost_ = lost;
  return ClusterAlert{
      .kind = Kind::node, .node = partner_.text(), .task = "", .desc = lost ? "lost" : "member", .resource = ""};
}

ClusterAlert PairAlerts::take_fence(const Record& record) const {
  const bool confirmed = record.kind == "fence-confirmed";
  const std::string device = field_of(record, "device");
  const auto action = actions_.find(device);
  ClusterAlert alert{.kind = Kind::fencing,
                     .node = partner_.text(),
                     .task = action == actions_.end() ? "off" : action->second,  // an operator's word
                     .desc = "",
                     .resource = "",
                     .rc = confirmed ? kOk : kFenceFailed};
  alert.desc =
      fmt::format("Operation {} of {} by {} for hapaird@{}: {} (ref=hapair-{}-{})", alert.task, alert.node,
                  self_.view(), self_.view(), confirmed ? "OK" : record.text, record.decision, ns_of(record.when));
  return alert;
}

// A pool that a restarted agent found running was not moved; nor was one that came to rest without having run.
std::optional<ClusterAlert> PairAlerts::take_pool(const Record& record) const {
  if (record.kind == "pool-serving") {
    if (field_of(record, "permit") == "held") return std::nullopt;
    ClusterAlert alert = resource_alert(record.pool.text(), "start", kOk);
    alert.exec_time_ms = took_of(record);
    return alert;
  }
  const std::string from = field_of(record, "from");
  const std::string to = field_of(record, "to");
  if (from == "releasing" && to == "released") return resource_alert(record.pool.text(), "stop", kOk);
  if (to == "failed") return resource_alert(record.pool.text(), "stop", kError);
  return std::nullopt;
}

ClusterAlert PairAlerts::take_resource(const Record& record) const {
  const bool restarts = record.kind == "resource-restarting";
  const std::string action = field_of(record, "action");
  const bool not_running = restarts && field_of(record, "outcome") == text_of(ActionOutcome::not_running);
  ClusterAlert alert =
      resource_alert(record.pool.text() + "/" + field_of(record, "resource"),
                     action.empty() || restarts ? "monitor" : action, not_running ? kNotRunning : kError);
  alert.exec_time_ms = took_of(record);
  return alert;
}

ClusterAlert PairAlerts::resource_alert(std::string resource, std::string task, std::int64_t rc) const {
  return {.kind = Kind::resource,
          .node = self_.text(),
          .task = std::move(task),
          .desc = std::string(ocf_meaning(rc)),
          .resource = std::move(resource),
          .rc = rc,
          .target_rc = kOk,
          .status = 0,
          .interval_ms = 0};
}

std::vector<std::string> alert_environment(const ClusterAlert& alert, const AlertAgentConfig& agent,
                                           std::uint64_t sequence, const std::string& version) {
  std::vector<std::string> out{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  const auto set = [&](const char* name, const std::string& value) { out.push_back(std::string(name) + "=" + value); };
  set("CRM_alert_kind", std::string(text_of(alert.kind)));
  set("CRM_alert_version", version);
  set("CRM_alert_recipient", agent.recipient);
  set("CRM_alert_node_sequence", std::to_string(sequence));
  set("CRM_alert_timestamp", timestamp_of(alert.wall_us));
  set("CRM_alert_timestamp_epoch", std::to_string(alert.wall_us / 1'000'000));
  set("CRM_alert_timestamp_usec", fmt::format("{:06}", alert.wall_us % 1'000'000));
  set("CRM_alert_node", alert.node);
  set("CRM_alert_desc", alert.desc);
  if (alert.kind != Kind::node) {
    set("CRM_alert_task", alert.task);
    set("CRM_alert_rc", number_of(alert.rc));
  }
  if (alert.kind == Kind::resource) {
    set("CRM_alert_rsc", alert.resource);
    set("CRM_alert_target_rc", number_of(alert.target_rc));
    set("CRM_alert_status", number_of(alert.status));
    set("CRM_alert_interval", number_of(alert.interval_ms));
    set("CRM_alert_exec_time", number_of(alert.exec_time_ms.value_or(0)));
  }
  for (const auto& [name, value] : agent.options) set(name.c_str(), value);
  return out;
}

}  // namespace hapair::agent
