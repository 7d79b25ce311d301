// One alert of Pacemaker's, as it hands it to an alert agent in environment variables CRM_alert_* (Pacemaker
// Administration, "Alert Agents"). What it says is knowledge for people and nothing else: no proof of anything.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "proto/control.pb.h"

namespace hapair::agent {

inline constexpr std::size_t kMaxAlertNameBytes = 255;  // of a node, a resource, a task
inline constexpr std::size_t kMaxAlertDescBytes = 1000;

struct ClusterAlert {
  enum class Kind : std::uint8_t { node, fencing, resource, attribute };
  Kind kind = Kind::node;
  std::string node{};      // that it is about
  std::string task{};      // of fencing and resource: "reboot", "promote"
  std::string desc{};      // of node: "member" or "lost"; else a summary
  std::string resource{};  // of resource: its id, of a clone's instance perhaps with ":N"
  // Of fencing: 0 it is done, else an errno of Pacemaker's. Of resource: the OCF exit code.
  std::optional<std::int64_t> rc{};
  std::optional<std::int64_t> target_rc{};  // of resource: the exit code that was expected
  std::optional<std::int64_t> status{};     // of resource: 0 the action ended by itself, 1 cancelled, 2 timed out, ...
  std::optional<std::int64_t> interval_ms{};   // of resource: of a recurring action; 0: it is none
  std::optional<std::int64_t> exec_time_ms{};  // of resource: how long it took
  std::int64_t wall_us = 0;                    // when Pacemaker made it, microseconds since 1970; 0: it did not say

  bool operator==(const ClusterAlert&) const = default;
};
std::string_view text_of(ClusterAlert::Kind kind);

// A variable's value; nothing: it is not set.
using AlertVariables = std::function<std::optional<std::string>(const std::string& name)>;

// What the variables say. The error is a sentence that names the variable, what was found, and what is allowed.
std::expected<ClusterAlert, std::string> read_alert(const AlertVariables& variables);

// The same over the control socket. Whoever asks may send anything, so it is checked again.
control::v1::ClusterAlertRequest request_of(const ClusterAlert& alert);
std::expected<ClusterAlert, std::string> alert_of(const control::v1::ClusterAlertRequest& request);

// The name of an OCF exit code (OCF Resource Agent API 1.1, "Exit status codes"); empty of one that is none.
std::string_view ocf_meaning(std::int64_t code);

}  // namespace hapair::agent
