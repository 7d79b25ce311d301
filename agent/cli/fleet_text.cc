#include "agent/cli/fleet_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <vector>

namespace hapair::cli {
namespace {

using control::v1::FleetNode;
using control::v1::FleetReply;

constexpr std::size_t kColumns = 6;  // pair, node, state, partner, news, pools; the last is not padded
using Cells = std::array<std::string, kColumns>;

std::string state_of(const FleetNode& node) {
  if (node.lost()) return fmt::format("lost (was {})", node.state());
  return node.conflict() ? fmt::format("conflict ({})", node.state()) : node.state();
}

Tone tone_of(const FleetNode& node) {
  if (node.lost() || node.conflict() || node.state() == "failed" || node.state() == "offline") return Tone::bad;
  return node.state() == "serving" || node.state() == "standby" ? Tone::good : Tone::wary;
}

std::string pools_of(const FleetNode& node) {
  std::string out;
  for (const auto& pool : node.pools()) {
    const std::string owner = pool.owner().empty() ? "owner not known" : pool.owner();
    out +=
        fmt::format("{}{} {} ({}, epoch {})", out.empty() ? "" : "; ", pool.name(), pool.state(), owner, pool.epoch());
  }
  return out;
}

Cells cells_of(const FleetReply& fleet, const FleetNode& node, bool first_of_pair) {
  return {first_of_pair ? node.pair() : "",
          node.node(),
          state_of(node),
          fmt::format("{} {}", node.partner(), node.partner_seen()),
          duration_text(std::max<std::int64_t>(0, fleet.now_ns() - node.as_of_ns())),
          pools_of(node)};
}

std::string table(const FleetReply& fleet, const Style& style) {
  std::vector<Cells> rows{{"pair", "node", "state", "partner", "news of", "pools"}};
  for (int i = 0; i < fleet.nodes_size(); ++i) {
    rows.push_back(cells_of(fleet, fleet.nodes(i), i == 0 || fleet.nodes(i).pair() != fleet.nodes(i - 1).pair()));
  }
  std::array<std::size_t, kColumns> widths{};
  for (const Cells& row : rows) {
    for (std::size_t c = 0; c < kColumns; ++c) widths.at(c) = std::max(widths.at(c), row.at(c).size() + 2);
  }
  std::string out;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t c = 0; c + 1 < kColumns; ++c) line += padded(rows[r].at(c), widths.at(c));
    line += rows[r].back();
    const Tone tone = r == 0 ? Tone::dim : tone_of(fleet.nodes(static_cast<int>(r) - 1));
    out += toned(line, tone == Tone::good ? Tone::plain : tone, style) + "\n";
  }
  return out;
}

std::string head(const FleetReply& fleet, const Style& style) {
  std::set<std::string> pairs;
  for (const FleetNode& node : fleet.nodes()) pairs.insert(node.pair());
  const auto lost = std::ranges::count_if(fleet.nodes(), [](const FleetNode& node) { return node.lost(); });
  std::string out = fmt::format("{} {} in {} {}", fleet.nodes_size(), fleet.nodes_size() == 1 ? "node" : "nodes",
                                pairs.size(), pairs.size() == 1 ? "pair" : "pairs");
  if (fleet.connected()) {
    if (lost > 0) out += toned(fmt::format(", {} lost", lost), Tone::bad, style);
    return out + fmt::format("   (group {}, seen by {} of {})\n", fleet.group(), fleet.node(), fleet.pair());
  }
  const std::string why =
      fmt::format("{} (group {}): this node has not seen the fleet for {}; it joins again by itself", fleet.problem(),
                  fleet.group(), duration_text(fleet.now_ns() - fleet.since_ns()));
  return toned(why, Tone::bad, style) + "\n" + (fleet.nodes_size() > 0 ? out + ", as last heard:\n" : "");
}

}  // namespace

std::string fleet_text(const FleetReply& fleet, const Style& style) {
  if (!fleet.built() || !fleet.on()) return fleet.problem() + "\n";
  std::string out = head(fleet, style);
  if (fleet.nodes_size() > 0) out += "\n" + table(fleet, style);
  if (fleet.attention_size() > 0) out += "\nattention\n";
  for (const std::string& sentence : fleet.attention()) {
    out += "  " + toned(wrapped(sentence, 2, style.width), Tone::bad, style) + "\n";
  }
  std::string refused;
  for (const auto& [kind, count] : std::map(fleet.refused().begin(), fleet.refused().end())) {
    refused += fmt::format("{}{} {}", refused.empty() ? "" : ", ", count, kind);
  }
  if (!refused.empty()) out += fmt::format("\nmessages that were no news: {}\n", refused);
  if (!fleet.keys_problem().empty()) {
    out += "\nmonitoring's keys are not written: " + toned(fleet.keys_problem(), Tone::wary, style) + "\n";
  }
  return out;
}

}  // namespace hapair::cli
