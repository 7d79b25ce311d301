#include "agent/config/alert_config.h"

#include <algorithm>

#include "agent/config/resource_config.h"

namespace hapair::agent {
namespace {

using ccm::ConfigObject;

constexpr std::size_t kMaxRecipientBytes = 1000;

bool is_one_line(std::string_view text) { return text.find_first_of(std::string_view("\n\r\0", 3)) == text.npos; }

// A variable of the environment that is the agent's own.
bool is_option_name(std::string_view name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto follows = [letter](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  if (name.empty() || !letter(name.front()) || !std::ranges::all_of(name, follows)) return false;
  return !name.starts_with("CRM_") && !name.starts_with("LD_") && name != "PATH" && name != "LC_ALL";
}

AlertAgentConfig read_alert(ConfigObject& object) {
  AlertAgentConfig alert;
  alert.path = object.text("path", std::nullopt);
  const std::string why = alert.path.empty()          ? ""
                          : alert.path.front() != '/' ? "is no absolute path"
                                                      : why_not_runnable(alert.path);
  if (!why.empty()) {
    object.problems().add(object.path("path"), "\"" + alert.path + "\", which " + why,
                          "the absolute path of an alert agent, such as a copy of one of /usr/share/pacemaker/alerts "
                          "that was made executable");
  }
  alert.recipient = object.text("recipient", "");
  if (alert.recipient.size() > kMaxRecipientBytes || !is_one_line(alert.recipient)) {
    object.problems().add(object.path("recipient"), std::to_string(alert.recipient.size()) + " bytes",
                          "one line of at most " + std::to_string(kMaxRecipientBytes) + " bytes");
  }
  alert.options = object.text_map("options");
  for (const auto& [name, value] : alert.options) {
    const std::string where = object.path("options") + "." + name;
    if (!is_option_name(name)) {
      object.problems().add(where, "the name \"" + name + "\"",
                            "letters, digits and '_', and none of CRM_..., LD_..., PATH and LC_ALL");
    }
    if (value.size() > kMaxRecipientBytes || !is_one_line(value)) {
      object.problems().add(where, std::to_string(value.size()) + " bytes",
                            "one line of at most " + std::to_string(kMaxRecipientBytes) + " bytes");
    }
  }
  alert.timeout = object.milliseconds("timeout_ms", 30'000, 1000, 600'000);
  object.finish();
  return alert;
}

}  // namespace

std::vector<AlertAgentConfig> read_alerts(ConfigObject& root) {
  std::vector<AlertAgentConfig> alerts;
  for (ConfigObject& object : root.objects("alerts", false)) alerts.push_back(read_alert(object));
  if (alerts.size() > kMaxAlertAgents) {
    root.problems().add(root.path("alerts"), std::to_string(alerts.size()) + " alert agents",
                        "at most " + std::to_string(kMaxAlertAgents));
  }
  return alerts;
}

}  // namespace hapair::agent
