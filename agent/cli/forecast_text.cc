#include "agent/cli/forecast_text.h"

#include <fmt/core.h>

#include <algorithm>

#include "agent/config/forecast.h"

namespace hapair::cli {
namespace {

constexpr std::size_t kIndent = 4;

std::string row(const std::string& head, const std::string& text, const Style& style) {
  return "  " + head + "\n" + std::string(kIndent, ' ') + wrapped(text, kIndent, style.width) + "\n";
}

}  // namespace

std::string forecast_text(const agent::AgentConfig& config, const Style& style) {
  std::string out =
      "\n" + toned(fmt::format("What each failure leads to (arbiter {}):", text_of(config.arbiter)), Tone::dim, style) +
      "\n";
  for (const agent::Forecast& row_of : agent::forecast(config)) {
    const std::string head =
        row_of.failure + (row_of.by_itself ? "" : toned(" - an operator is needed", Tone::bad, style));
    out += row(head, row_of.outcome, style);
  }
  out += "\n" + toned("A takeover from a partner that died, step by step:", Tone::dim, style) + "\n";
  for (const agent::TimelineStep& step : agent::takeover_timeline(config)) {
    const std::string most =
        step.at_most ? "at most " + duration_text(step.at_most->count()) : std::string("its own time");
    out += "  " + padded(most, 18) + "  " + wrapped(step.what, 22, style.width) + "\n";
  }
  return out;
}

Json forecast_json(const agent::AgentConfig& config) {
  Json failures = Json::array();
  for (const agent::Forecast& row_of : agent::forecast(config)) {
    failures.push_back({{"failure", row_of.failure}, {"outcome", row_of.outcome}, {"by_itself", row_of.by_itself}});
  }
  Json timeline = Json::array();
  for (const agent::TimelineStep& step : agent::takeover_timeline(config)) {
    Json one{{"what", step.what}, {"at_most_ms", nullptr}};
    if (step.at_most) one["at_most_ms"] = ms_of(*step.at_most);
    timeline.push_back(std::move(one));
  }
  return {{"failures", std::move(failures)}, {"takeover", std::move(timeline)}};
}

}  // namespace hapair::cli
