#include "agent/shell/cluster_alert.h"

#include <array>
#include <charconv>
#include <utility>

#include "agent/shell/printable.h"

namespace hapair::agent {
namespace {

using Kind = ClusterAlert::Kind;
using control::v1::ClusterAlertRequest;

constexpr std::array kKinds{Kind::node, Kind::fencing, Kind::resource, Kind::attribute};
constexpr std::size_t kMaxShownBytes = 64;
constexpr std::int64_t kMostMs = 1LL << 31;
constexpr std::int64_t kMostCode = 1 << 20;
constexpr std::int64_t kMicros = 1'000'000;
constexpr std::int64_t kLatestS = 1LL << 33;  // the year 2242

std::string shown(std::string_view value) { return "\"" + printable_line(value, kMaxShownBytes) + "\""; }

// The first mistake, as a sentence; what comes after it is not looked at.
class Checker {
 public:
  void name(std::string_view variable, const std::string& value, bool required) {
    if (value.empty() && required) return fail(variable, "nothing", "a name");
    if (value.size() > kMaxAlertNameBytes) {
      return fail(variable, std::to_string(value.size()) + " bytes",
                  "a name of at most " + std::to_string(kMaxAlertNameBytes) + " bytes");
    }
    for (const char c : value) {
      if (c > 0x20 && c < 0x7f) continue;
      return fail(variable, shown(value), "printable ASCII characters without a blank");
    }
  }
  void number(std::string_view variable, std::optional<std::int64_t> value, std::int64_t least, std::int64_t most) {
    if (!value || (*value >= least && *value <= most)) return;
    fail(variable, std::to_string(*value), std::to_string(least) + " to " + std::to_string(most));
  }
  void fail(std::string_view variable, const std::string& found, const std::string& allowed) {
    if (error.empty()) error = std::string(variable) + ": found " + found + "; allowed: " + allowed;
  }
  std::string error;
};

// What is true of every alert that counts, wherever it came from.
std::expected<ClusterAlert, std::string> checked(ClusterAlert alert, Checker checker = {}) {
  const bool acts = alert.kind == Kind::fencing || alert.kind == Kind::resource;
  checker.name("CRM_alert_node", alert.node, true);
  checker.name("CRM_alert_task", alert.task, acts);
  checker.name("CRM_alert_rsc", alert.resource, alert.kind == Kind::resource);
  alert.desc = printable_line(alert.desc, kMaxAlertDescBytes);
  if (alert.kind == Kind::node && alert.desc != "member" && alert.desc != "lost") {
    checker.fail("CRM_alert_desc", shown(alert.desc), "member, lost (of a node)");
  }
  if (acts && !alert.rc) checker.fail("CRM_alert_rc", "nothing", "a number");
  checker.number("CRM_alert_rc", alert.rc, -kMostCode, kMostCode);
  checker.number("CRM_alert_target_rc", alert.target_rc, -kMostCode, kMostCode);
  checker.number("CRM_alert_status", alert.status, -kMostCode, kMostCode);
  checker.number("CRM_alert_interval", alert.interval_ms, 0, kMostMs);
  checker.number("CRM_alert_exec_time", alert.exec_time_ms, 0, kMostMs);
  checker.number("CRM_alert_timestamp_epoch", alert.wall_us / kMicros, 0, kLatestS);
  if (!checker.error.empty()) return std::unexpected(checker.error);
  return alert;
}

std::optional<Kind> kind_named(std::string_view word) {
  for (const Kind kind : kKinds) {
    if (text_of(kind) == word) return kind;
  }
  return std::nullopt;
}

std::string unknown_kind(std::string_view word) {
  return "CRM_alert_kind: found " + (word.empty() ? "nothing" : shown(word)) +
         "; allowed: node, fencing, resource, attribute, as Pacemaker gives it to its alert agents";
}

// An empty one is as one that is not set: Pacemaker gives both.
std::optional<std::int64_t> number_of(const AlertVariables& variables, const std::string& name, Checker& checker) {
  const std::string text = variables(name).value_or("");
  if (text.empty()) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && end == text.data() + text.size()) return value;
  checker.fail(name, shown(text), "a number");
  return std::nullopt;
}

std::int64_t wall_us_of(const AlertVariables& variables, Checker& checker) {
  const auto seconds = number_of(variables, "CRM_alert_timestamp_epoch", checker).value_or(0);
  const auto micros = number_of(variables, "CRM_alert_timestamp_usec", checker).value_or(0);
  checker.number("CRM_alert_timestamp_epoch", seconds, 0, kLatestS);
  checker.number("CRM_alert_timestamp_usec", micros, 0, kMicros - 1);
  return checker.error.empty() && seconds > 0 ? seconds * kMicros + micros : 0;
}

}  // namespace

std::string_view text_of(ClusterAlert::Kind kind) {
  switch (kind) {
    case Kind::node:
      return "node";
    case Kind::fencing:
      return "fencing";
    case Kind::resource:
      return "resource";
    case Kind::attribute:
      return "attribute";
  }
  return "unknown";
}

std::expected<ClusterAlert, std::string> read_alert(const AlertVariables& variables) {
  const auto text = [&](const char* name) { return variables(name).value_or(""); };
  const std::string word = text("CRM_alert_kind");
  const auto kind = kind_named(word);
  if (!kind) return std::unexpected(unknown_kind(word));
  Checker checker;
  ClusterAlert alert;
  alert.kind = *kind;
  alert.node = text("CRM_alert_node");
  alert.task = text("CRM_alert_task");
  alert.desc = text("CRM_alert_desc");
  alert.resource = text("CRM_alert_rsc");
  alert.rc = number_of(variables, "CRM_alert_rc", checker);
  alert.target_rc = number_of(variables, "CRM_alert_target_rc", checker);
  alert.status = number_of(variables, "CRM_alert_status", checker);
  alert.interval_ms = number_of(variables, "CRM_alert_interval", checker);
  alert.exec_time_ms = number_of(variables, "CRM_alert_exec_time", checker);
  alert.wall_us = wall_us_of(variables, checker);
  return checked(std::move(alert), std::move(checker));
}

ClusterAlertRequest request_of(const ClusterAlert& alert) {
  ClusterAlertRequest request;
  request.set_kind(std::string(text_of(alert.kind)));
  request.set_node(alert.node);
  request.set_task(alert.task);
  request.set_desc(alert.desc);
  request.set_resource(alert.resource);
  if (alert.rc) request.set_rc(*alert.rc);
  if (alert.target_rc) request.set_target_rc(*alert.target_rc);
  if (alert.status) request.set_status(*alert.status);
  if (alert.interval_ms) request.set_interval_ms(*alert.interval_ms);
  if (alert.exec_time_ms) request.set_exec_time_ms(*alert.exec_time_ms);
  request.set_wall_us(alert.wall_us);
  return request;
}

std::expected<ClusterAlert, std::string> alert_of(const ClusterAlertRequest& request) {
  const auto kind = kind_named(request.kind());
  if (!kind) return std::unexpected(unknown_kind(request.kind()));
  ClusterAlert alert;
  alert.kind = *kind;
  alert.node = request.node();
  alert.task = request.task();
  alert.desc = request.desc();
  alert.resource = request.resource();
  if (request.has_rc()) alert.rc = request.rc();
  if (request.has_target_rc()) alert.target_rc = request.target_rc();
  if (request.has_status()) alert.status = request.status();
  if (request.has_interval_ms()) alert.interval_ms = request.interval_ms();
  if (request.has_exec_time_ms()) alert.exec_time_ms = request.exec_time_ms();
  alert.wall_us = request.wall_us();
  return checked(std::move(alert));
}

std::string_view ocf_meaning(std::int64_t code) {
  switch (code) {
    case 0:
      return "ok";
    case 1:
      return "error";
    case 2:
      return "invalid parameter";
    case 3:
      return "unimplemented";
    case 4:
      return "insufficient privileges";
    case 5:
      return "not installed";
    case 6:
      return "not configured";
    case 7:
      return "not running";
    case 8:
      return "promoted";
    case 9:
      return "promoted and failed";
    case 190:
      return "degraded";
    case 191:
      return "promoted and degraded";
    default:
      return "";
  }
}

}  // namespace hapair::agent
