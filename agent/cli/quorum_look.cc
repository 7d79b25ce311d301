#include "agent/cli/quorum_look.h"

#include <fmt/core.h>

#include "agent/corosync/quorum_watch.h"

namespace hapair::cli {
namespace {

constexpr Duration kPatience = std::chrono::seconds(3);

std::expected<agent::QuorumPreview, std::string> preview(const agent::AgentConfig& config) {
  return agent::preview_quorum(
      {.self = config.pair.node.text(), .partner = config.pair.partner.text(), .lease = config.lease.duration},
      kPatience);
}

bool applies(const agent::AgentConfig& config) { return config.arbiter == agent::ArbiterKind::corosync; }

}  // namespace

std::string quorum_text(const agent::AgentConfig& config, const Style& style) {
  if (!applies(config)) return {};
  const auto found = preview(config);
  std::string out = "\n" + toned("Corosync on this node, as it runs now:", Tone::dim, style) + "\n";
  const auto row = [&](const std::string& text, Tone tone) {
    out += "  " + toned(wrapped(text, 2, style.width), tone, style) + "\n";
  };
  if (!found) {
    row(found.error(), Tone::bad);
    return out;
  }
  row(found->text, Tone::plain);
  if (!found->problem.empty()) row("no leases: " + found->problem, Tone::bad);
  if (!found->trouble.empty()) row(found->trouble, Tone::bad);
  if (found->slack.count() > 0) {
    row(fmt::format(
            "a node may count the quorum device's vote for {} after it was given to others; twice that is waited "
            "for besides a lease",
            duration_text(found->slack.count())),
        Tone::plain);
  }
  return out;
}

Json quorum_json(const agent::AgentConfig& config) {
  if (!applies(config)) return Json::object();
  const auto found = preview(config);
  if (!found) return {{"corosync", {{"error", found.error()}}}};
  return {{"corosync",
           {{"votes", found->text},
            {"no_leases", found->problem},
            {"trouble", found->trouble},
            {"slack_ms", ms_of(found->slack)}}}};
}

}  // namespace hapair::cli
