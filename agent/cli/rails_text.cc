#include "agent/cli/rails_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <span>
#include <vector>

#include "agent/cli/watchdog_text.h"
#include "ccm/wire/port_channel.h"
#include "ccm/wire/session_block.h"

namespace hapair::cli {
namespace {

using ccm::RailSelfLayout;

std::span<const RailSelfLayout> rails_of(const ccm::CcmSelfLayout& self) {
  return std::span(self.rails).first(std::min<std::size_t>(self.rail_count, self.rails.size()));
}

std::string_view state_of(const RailSelfLayout& rail) {
  return ccm::text_of(static_cast<ccm::HandshakeState>(rail.handshake));
}

std::span<const ccm::NetworkSelfLayout> networks_of(const ccm::CcmSelfLayout& self) {
  return std::span(self.networks).first(std::min<std::size_t>(self.network_count, self.networks.size()));
}

// Of a rail or a network.
template <class Channel>
std::string round_trips(const Channel& channel) {
  if (channel.round_trip_ns == 0) return "-";
  const auto us = [](std::uint64_t ns) { return static_cast<double>(ns) / 1000; };
  return fmt::format("{:.1f} / {:.1f} / {:.1f} / {:.1f} us", us(channel.round_trip_ns), us(channel.round_trip_min_ns),
                     us(channel.round_trip_mean_ns), us(channel.round_trip_max_ns));
}

std::uint64_t refused_by(const ccm::NetworkSelfLayout& network) {
  std::uint64_t sum = 0;
  for (std::size_t kind = 0; kind < network.refused.size(); ++kind) {
    if (!ccm::nobodys_fault(static_cast<ccm::BeatRefusal>(kind))) sum += network.refused.at(kind);
  }
  return sum;
}

std::string errors_of(const RailSelfLayout& rail) {
  const auto last = static_cast<ccm::FabricError>(rail.last_error);
  std::string text = std::to_string(rail.errors);
  if (last != ccm::FabricError::none) text += fmt::format(", now {}", ccm::text_of(last));
  return text;
}

std::span<const ccm::PortSelfLayout> ports_of(const ccm::CcmSelfLayout& self) {
  return std::span(self.ports).first(std::min<std::size_t>(self.port_count, self.ports.size()));
}

std::string_view state_of(const ccm::PortSelfLayout& port) {
  return ccm::text_of(static_cast<ccm::PortStandingState>(port.state));
}

// The rail of a ready port; nothing of another.
std::string rail_of(const ccm::CcmSelfLayout& self, const ccm::PortSelfLayout& port) {
  const bool ready = port.state == static_cast<std::uint8_t>(ccm::PortStandingState::ready);
  if (!ready || port.rail >= self.rail_count || port.rail >= self.rails.size()) return {};
  return std::string(ccm::name_in(self.rails.at(port.rail).name));
}

// The first row is the heading; the cells of column `state` are `good` or not.
template <std::size_t N>
std::string table(const std::vector<std::array<std::string, N>>& rows, std::size_t state, std::string_view good,
                  const Style& style) {
  std::array<std::size_t, N> widths{};
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < N; ++i) widths.at(i) = std::max(widths.at(i), row.at(i).size());
  }
  std::string out;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < N; ++i) {
      const std::string cell = i + 1 < N ? padded(row.at(i), widths.at(i) + 2) : row.at(i);
      const bool toned_cell = i == state && &row != &rows.front();
      out += toned_cell ? toned(cell, row.at(i) == good ? Tone::good : Tone::bad, style) : cell;
    }
    out += "\n";
  }
  return out;
}

std::string session_text(const ccm::CcmSelfLayout& self) {
  const std::string_view software = ccm::name_in(self.partner_software);
  switch (static_cast<ccm::SessionState>(self.session)) {
    case ccm::SessionState::none:
      return "session: none, the partner has not been heard";
    case ccm::SessionState::established:
      return fmt::format("session: protocol {}, the partner runs hapair {}", self.protocol, software);
    case ccm::SessionState::refused:
      return fmt::format(
          "session: refused, no protocol in common with the partner's hapair {}; install versions with one in common",
          software.empty() ? "(older)" : software);
  }
  return {};
}

std::string networks_text(const ccm::CcmSelfLayout& self, Instant now, const Style& style) {
  if (networks_of(self).empty()) return {};
  std::vector<std::array<std::string, 9>> rows{
      {"NETWORK", "ADDRESS", "STATE", "ROUND TRIP last/min/mean/max", "PACE", "SENT", "HEARD", "LOST", "REFUSED"}};
  for (const ccm::NetworkSelfLayout& network : networks_of(self)) {
    rows.push_back({std::string(ccm::name_in(network.name)), std::string(ccm::name_in(network.address)),
                    std::string(ccm::text_of(ccm::state_of(network, now))), round_trips(network),
                    fmt::format("{:g} ms", network.pace_us / 1000.0), std::to_string(network.sent),
                    std::to_string(network.heard), std::to_string(network.lost), std::to_string(refused_by(network))});
  }
  return "\n" + table(rows, 2, "beats", style);
}

std::string ports_text(const ccm::CcmSelfLayout& self, const Style& style) {
  if (ports_of(self).empty()) return {};
  std::vector<std::array<std::string, 8>> rows{
      {"PORT", "STATE", "RAIL", "MEMORY", "DONE", "FAILED", "BYTES", "MESSAGES"}};
  for (const ccm::PortSelfLayout& port : ports_of(self)) {
    const std::string rail = rail_of(self, port);
    rows.push_back({fmt::format("{}:{}", ccm::name_in(port.client), port.index), std::string(state_of(port)),
                    rail.empty() ? "-" : rail, std::to_string(port.memory_bytes), std::to_string(port.operations),
                    std::to_string(port.failed), std::to_string(port.bytes), std::to_string(port.messages)});
  }
  return "\n" + table(rows, 1, "ready", style);
}

bool is_container(const ccm::WatchdogSelfLayout& watchdog) {
  return static_cast<ccm::WatchdogKind>(watchdog.kind) == ccm::WatchdogKind::container;
}

WatchdogWords watchdog_of(const ccm::CcmSelfLayout& self) {
  return {.device = std::string(ccm::name_in(self.watchdog.device)),
          .state = std::string(ccm::text_of(static_cast<ccm::WatchdogState>(self.watchdog.state))),
          .problem = ccm::problem_of(self.watchdog),
          .timeout_ms = self.watchdog.timeout_ms,
          .fed_until_ns = self.watchdog.fed_until_ns,
          .fed_for = std::string(ccm::name_in(self.watchdog.fed_for)),
          .container = is_container(self.watchdog)};
}

}  // namespace

std::string rails_text(const ccm::CcmSelfLayout& self, Instant now, const Style& style) {
  std::vector<std::array<std::string, 9>> rows{
      {"RAIL", "FABRIC", "DEVICE", "STATE", "FOR", "ROUND TRIP last/min/mean/max", "READS", "TURNED AWAY", "ERRORS"}};
  for (const RailSelfLayout& rail : rails_of(self)) {
    rows.push_back({std::string(ccm::name_in(rail.name)), std::string(ccm::name_in(rail.fabric)),
                    std::string(ccm::name_in(rail.device)), std::string(state_of(rail)),
                    duration_text(ns_of(now) - rail.since_ns), round_trips(rail), std::to_string(rail.reads),
                    std::to_string(rail.turned_away + rail.ports_turned_away), errors_of(rail)});
  }
  return table(rows, 3, "connected", style) + networks_text(self, now, style) + "\n" + session_text(self) + "\n" +
         "watchdog: " + watchdog_text(watchdog_of(self), ns_of(now), style) + "\n" + ports_text(self, style);
}

Json rails_json(const ccm::CcmSelfLayout& self, Instant now) {
  Json rails = Json::array();
  for (const RailSelfLayout& rail : rails_of(self)) {
    rails.push_back({{"name", ccm::name_in(rail.name)},
                     {"fabric", ccm::name_in(rail.fabric)},
                     {"device", ccm::name_in(rail.device)},
                     {"handshake", state_of(rail)},
                     {"since_ns", rail.since_ns},
                     {"connected_in_us", rail.connected_in_us},
                     {"sessions", rail.sessions},
                     {"reads", rail.reads},
                     {"writes", rail.writes},
                     {"turned_away", rail.turned_away},
                     {"ports_turned_away", rail.ports_turned_away},
                     {"errors", rail.errors},
                     {"last_error", ccm::text_of(static_cast<ccm::FabricError>(rail.last_error))},
                     {"round_trip_ns", rail.round_trip_ns},
                     {"round_trip_min_ns", rail.round_trip_min_ns},
                     {"round_trip_mean_ns", rail.round_trip_mean_ns},
                     {"round_trip_max_ns", rail.round_trip_max_ns}});
  }
  Json networks = Json::array();
  for (const ccm::NetworkSelfLayout& network : networks_of(self)) {
    Json refused = Json::object();
    for (std::size_t kind = 0; kind < network.refused.size(); ++kind) {
      refused[std::string(ccm::text_of(static_cast<ccm::BeatRefusal>(kind)))] = network.refused.at(kind);
    }
    Json notices_refused = Json::object();
    for (std::size_t kind = 0; kind < network.notices_refused.size(); ++kind) {
      notices_refused[std::string(ccm::text_of(static_cast<ccm::NoticeRefusal>(kind)))] =
          network.notices_refused.at(kind);
    }
    networks.push_back({{"name", ccm::name_in(network.name)},
                        {"kind", network.is_disk != 0 ? "disk" : "udp"},
                        {"address", ccm::name_in(network.address)},
                        {"state", ccm::text_of(ccm::state_of(network, now))},
                        {"pace_us", network.pace_us},
                        {"send_errno", network.send_errno},
                        {"sent", network.sent},
                        {"send_failed", network.send_failed},
                        {"heard", network.heard},
                        {"lost", network.lost},
                        {"refused", refused},
                        {"notices", network.notices},
                        {"notices_refused", notices_refused},
                        {"round_trip_ns", network.round_trip_ns},
                        {"round_trip_min_ns", network.round_trip_min_ns},
                        {"round_trip_mean_ns", network.round_trip_mean_ns},
                        {"round_trip_max_ns", network.round_trip_max_ns},
                        {"mean_arrival_ns", network.mean_arrival_ns},
                        {"heard_at_ns", network.heard_at_ns},
                        {"reached_at_ns", network.reached_at_ns}});
  }
  Json ports = Json::array();
  for (const ccm::PortSelfLayout& port : ports_of(self)) {
    ports.push_back({{"client", ccm::name_in(port.client)},
                     {"index", port.index},
                     {"state", state_of(port)},
                     {"rail", rail_of(self, port)},
                     {"memory_bytes", port.memory_bytes},
                     {"operations", port.operations},
                     {"failed", port.failed},
                     {"refused", port.refused},
                     {"bytes", port.bytes},
                     {"messages", port.messages}});
  }
  return {{"now_ns", ns_of(now)},
          {"rails", rails},
          {"networks", networks},
          {"session",
           {{"state", ccm::text_of(static_cast<ccm::SessionState>(self.session))},
            {"protocol", self.protocol},
            {"partner_software", ccm::name_in(self.partner_software)}}},
          {"watchdog",
           {{"device", ccm::name_in(self.watchdog.device)},
            {"state", ccm::text_of(static_cast<ccm::WatchdogState>(self.watchdog.state))},
            {"problem", ccm::problem_of(self.watchdog)},
            {"timeout_ms", self.watchdog.timeout_ms},
            {"pretimeout_ms", self.watchdog.pretimeout_ms},
            {"bound_ms", ms_of(ccm::reset_bound_of(std::chrono::milliseconds(self.watchdog.timeout_ms)))},
            {"cannot_stop", self.watchdog.cannot_stop != 0},
            {"container", is_container(self.watchdog)},
            {"feeds", self.watchdog.feeds},
            {"slowest_feed_us", self.watchdog.slowest_feed_us},
            {"fed_at_ns", self.watchdog.fed_at_ns},
            {"fed_until_ns", self.watchdog.fed_until_ns},
            {"fed_for", ccm::name_in(self.watchdog.fed_for)}}},
          {"ports", ports}};
}

}  // namespace hapair::cli
