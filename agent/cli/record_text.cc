#include "agent/cli/record_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace hapair::cli {
namespace {

using control::v1::RecordEntry;
using control::v1::RecordsReply;

Tone tone_of(const RecordEntry& record) {
  if (record.severity() == "error") return Tone::bad;
  if (record.severity() == "warning") return Tone::wary;
  return Tone::plain;
}

bool worth_asking_about(const RecordEntry& record) {
  static constexpr std::array<std::string_view, 9> kActs{"pool-state",      "pool-serving",    "command",
                                                         "fence-started",   "fence-failed",    "needs-operator",
                                                         "fence-confirmed", "resource-failed", "shutdown"};
  if (record.kind() == "verdict") return field_of(record, "verdict") != "alive";
  return std::ranges::find(kActs, record.kind()) != kActs.end();
}

// What is shown in the timeline's second column: where an observation came from, else what kind of step it is.
std::string step_word(const RecordEntry& record) {
  const std::string channel = field_of(record, "channel");
  return channel.empty() ? record.kind() : channel;
}

// The text without the channel in front that the second column has already.
std::string step_text(const RecordEntry& record) {
  const std::string channel = field_of(record, "channel") + ": ";
  return record.text().starts_with(channel) ? record.text().substr(channel.size()) : record.text();
}

// What the decision led to, for the head line: where each pool stands at its end, or the verdict alone.
std::string outcome_of(const std::vector<const RecordEntry*>& records) {
  std::vector<std::pair<std::string, std::string>> pools;
  std::string verdict;
  for (const RecordEntry* record : records) {
    if (record->kind() == "verdict") verdict = record->text();
    if (record->kind() != "pool-state") continue;
    const std::string to = field_of(*record, "to");
    const auto it = std::ranges::find(pools, record->pool(), &std::pair<std::string, std::string>::first);
    if (it == pools.end()) {
      pools.emplace_back(record->pool(), to);
    } else {
      it->second = to;
    }
  }
  if (pools.empty()) return verdict.empty() ? "" : verdict + ", and no pool moved";
  std::string out;
  for (const auto& [pool, state] : pools) out += fmt::format("{}{} is {}", out.empty() ? "" : ", ", pool, state);
  return verdict.empty() ? out : verdict + "; " + out;
}

}  // namespace

std::string field_of(const RecordEntry& record, std::string_view name) {
  for (const auto& field : record.fields()) {
    if (field.name() == name) return field.value();
  }
  return {};
}

std::string event_line(const RecordEntry& record, const Style& style) {
  const std::string decision = record.decision() == 0 ? "-" : std::to_string(record.decision());
  return fmt::format("{}Z  {}  {}  {}  {}\n", wall_text(record.wall_us(), true),
                     toned(padded(record.severity(), 7), tone_of(record), style), right_aligned(decision, 5),
                     padded(record.kind(), 18), record.text());
}

std::vector<std::uint64_t> decisions_in(const RecordsReply& records) {
  std::vector<std::uint64_t> out;
  for (int i = records.records_size() - 1; i >= 0; --i) {
    const RecordEntry& record = records.records(i);
    if (record.decision() == 0 || !worth_asking_about(record)) continue;
    if (std::ranges::find(out, record.decision()) == out.end()) out.push_back(record.decision());
  }
  return out;
}

std::string why_text(const RecordsReply& records, std::uint64_t decision, const Style& style) {
  std::vector<const RecordEntry*> chosen;
  for (const RecordEntry& record : records.records()) {
    if (record.decision() == decision) chosen.push_back(&record);
  }
  if (chosen.empty()) return {};
  const std::string outcome = outcome_of(chosen);
  // Evidence is told when it has led to a verdict, but it was observed before.
  std::ranges::stable_sort(chosen, {}, [](const RecordEntry* record) { return record->when_ns(); });
  std::size_t word = 0;
  for (const RecordEntry* record : chosen) word = std::max(word, step_word(*record).size());
  const std::int64_t first_ns = chosen.front()->when_ns();
  // The wall clock of the first moment, by way of one record that has both times.
  const std::int64_t first_us = chosen.back()->wall_us() - (chosen.back()->when_ns() - first_ns) / 1000;

  std::string out = fmt::format("Decision {} of {}, from {} UTC", decision, records.node(), wall_text(first_us, true));
  if (!outcome.empty()) out += ": " + outcome;
  out += "\n" + toned(fmt::format("\n{:>12}  {}  what\n", "ms", padded("channel or step", word)), Tone::dim, style);
  const std::size_t indent = 12 + 2 + std::max<std::size_t>(word, 15) + 2;
  for (const RecordEntry* record : chosen) {
    const double ms = static_cast<double>(record->when_ns() - first_ns) / 1e6;
    out += fmt::format("{:>+12.1f}  {}  {}\n", ms, padded(step_word(*record), indent - 16),
                       toned(wrapped(step_text(*record), indent, style.width), tone_of(*record), style));
  }
  const auto took = static_cast<double>(chosen.back()->when_ns() - first_ns) / 1e6;
  return out + fmt::format("\n{} steps in {:.1f} ms\n", chosen.size(), took);
}

}  // namespace hapair::cli
