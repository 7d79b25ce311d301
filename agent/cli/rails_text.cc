#include "agent/cli/rails_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <span>
#include <vector>

namespace hapair::cli {
namespace {

using ccm::RailSelfLayout;

std::span<const RailSelfLayout> rails_of(const ccm::CcmSelfLayout& self) {
  return std::span(self.rails).first(std::min<std::size_t>(self.rail_count, self.rails.size()));
}

std::string_view state_of(const RailSelfLayout& rail) {
  return ccm::text_of(static_cast<ccm::HandshakeState>(rail.handshake));
}

std::string round_trips(const RailSelfLayout& rail) {
  if (rail.round_trip_ns == 0) return "-";
  const auto us = [](std::uint64_t ns) { return static_cast<double>(ns) / 1000; };
  return fmt::format("{:.1f} / {:.1f} / {:.1f} / {:.1f} us", us(rail.round_trip_ns), us(rail.round_trip_min_ns),
                     us(rail.round_trip_mean_ns), us(rail.round_trip_max_ns));
}

std::string errors_of(const RailSelfLayout& rail) {
  const auto last = static_cast<ccm::FabricError>(rail.last_error);
  std::string text = std::to_string(rail.errors);
  if (last != ccm::FabricError::none) text += fmt::format(", now {}", ccm::text_of(last));
  return text;
}

}  // namespace

std::string rails_text(const ccm::CcmSelfLayout& self, Instant now, const Style& style) {
  std::vector<std::array<std::string, 7>> rows{
      {"RAIL", "FABRIC", "STATE", "FOR", "ROUND TRIP last/min/mean/max", "READS", "ERRORS"}};
  for (const RailSelfLayout& rail : rails_of(self)) {
    rows.push_back({std::string(ccm::name_in(rail.name)), std::string(ccm::name_in(rail.fabric)),
                    std::string(state_of(rail)), duration_text(ns_of(now) - rail.since_ns), round_trips(rail),
                    std::to_string(rail.reads), errors_of(rail)});
  }
  std::array<std::size_t, 7> widths{};
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths.at(i) = std::max(widths.at(i), row.at(i).size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string cell = i + 1 < row.size() ? padded(row.at(i), widths.at(i) + 2) : row.at(i);
      const bool state = i == 2 && &row != &rows.front();
      line += state ? toned(cell, row.at(i) == "connected" ? Tone::good : Tone::bad, style) : cell;
    }
    out += line + "\n";
  }
  return out;
}

Json rails_json(const ccm::CcmSelfLayout& self, Instant now) {
  Json rails = Json::array();
  for (const RailSelfLayout& rail : rails_of(self)) {
    rails.push_back({{"name", ccm::name_in(rail.name)},
                     {"fabric", ccm::name_in(rail.fabric)},
                     {"handshake", state_of(rail)},
                     {"since_ns", rail.since_ns},
                     {"connected_in_us", rail.connected_in_us},
                     {"sessions", rail.sessions},
                     {"reads", rail.reads},
                     {"writes", rail.writes},
                     {"errors", rail.errors},
                     {"last_error", ccm::text_of(static_cast<ccm::FabricError>(rail.last_error))},
                     {"round_trip_ns", rail.round_trip_ns},
                     {"round_trip_min_ns", rail.round_trip_min_ns},
                     {"round_trip_mean_ns", rail.round_trip_mean_ns},
                     {"round_trip_max_ns", rail.round_trip_max_ns}});
  }
  return {{"now_ns", ns_of(now)}, {"rails", rails}};
}

}  // namespace hapair::cli
