#include "agent/cli/record_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <iterator>
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

std::int64_t when_of(const RecordEntry* record) { return record->when_ns(); }

// What Pacemaker decided, as its alerts told it (agent/shell/alert_book.h).
bool is_clusters(const RecordEntry& record) {
  return record.kind() == "pacemaker-node" || record.kind() == "pacemaker-fencing" ||
         record.kind() == "pacemaker-resource";
}

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kLongestCauseNs = 300 * kSecondNs;
constexpr std::int64_t kPoolTailNs = 30 * kSecondNs;
constexpr std::int64_t kVerdictTailNs = 300 * kSecondNs;

// Which of Pacemaker's decisions belong to one of hapair's.
struct ClusterShare {
  std::int64_t from_ns = 0;
  std::int64_t before_ns = 0;
  std::vector<std::string> pools;  // empty: all

  [[nodiscard]] bool has(const RecordEntry& record) const {
    if (!is_clusters(record) || record.when_ns() < from_ns || record.when_ns() >= before_ns) return false;
    return record.pool().empty() || pools.empty() || std::ranges::find(pools, record.pool()) != pools.end();
  }
};

// Since when the partner has not been alive, as seen at `at_ns`; `at_ns` itself where it is alive.
std::int64_t unwell_since(const RecordsReply& records, std::int64_t at_ns) {
  std::int64_t since_ns = at_ns;
  for (int i = records.records_size() - 1; i >= 0; --i) {
    const RecordEntry& verdict = records.records(i);
    if (verdict.kind() != "verdict" || verdict.when_ns() > at_ns) continue;
    if (field_of(verdict, "verdict") == "alive") break;
    for (const RecordEntry& record : records.records()) {
      if (record.decision() == verdict.decision()) since_ns = std::min(since_ns, record.when_ns());
    }
  }
  return std::max(since_ns, at_ns - kLongestCauseNs);
}

// `own`: the decision's records, by their time.
ClusterShare cluster_share(const RecordsReply& records, const std::vector<const RecordEntry*>& own) {
  ClusterShare share;
  const auto is_verdict = [](const RecordEntry* record) { return record->kind() == "verdict"; };
  for (const RecordEntry* record : own) {
    if (!record->pool().empty() && std::ranges::find(share.pools, record->pool()) == share.pools.end()) {
      share.pools.push_back(record->pool());
    }
  }
  const auto verdict = std::ranges::find_if(own, is_verdict);
  const std::int64_t first_ns = own.front()->when_ns();
  const std::int64_t last_ns = own.back()->when_ns();
  const bool returned = verdict != own.end() && field_of(**verdict, "verdict") == "alive";
  share.from_ns = returned ? first_ns : unwell_since(records, first_ns);
  share.before_ns = last_ns + (verdict == own.end() ? kPoolTailNs : kVerdictTailNs);
  for (const RecordEntry& record : records.records()) {
    if (record.when_ns() <= last_ns || record.decision() == 0 || record.decision() == own.front()->decision()) continue;
    const bool of_pools = std::ranges::find(share.pools, record.pool()) != share.pools.end();
    const bool moves = record.kind() == "command" || record.kind() == "pool-state";
    if (record.kind() == "verdict" || (of_pools && moves))
      share.before_ns = std::min(share.before_ns, record.when_ns());
  }
  return share;
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

std::vector<const RecordEntry*> records_of(const RecordsReply& records, std::uint64_t decision) {
  std::vector<const RecordEntry*> chosen;
  for (const RecordEntry& record : records.records()) {
    if (decision != 0 && record.decision() == decision) chosen.push_back(&record);
  }
  if (chosen.empty()) return chosen;
  // Evidence is told when it has led to a verdict, but it was observed before.
  std::ranges::stable_sort(chosen, {}, when_of);
  const ClusterShare share = cluster_share(records, chosen);
  for (const RecordEntry& record : records.records()) {
    if (share.has(record)) chosen.push_back(&record);
  }
  std::ranges::stable_sort(chosen, {}, when_of);
  return chosen;
}

std::string why_text(const RecordsReply& records, std::uint64_t decision, const Style& style) {
  const std::vector<const RecordEntry*> chosen = records_of(records, decision);
  if (chosen.empty()) return {};
  std::vector<const RecordEntry*> own;
  std::ranges::copy_if(chosen, std::back_inserter(own), [](const RecordEntry* each) { return !is_clusters(*each); });
  const std::string outcome = outcome_of(own);
  std::size_t word = 0;
  for (const RecordEntry* record : chosen) word = std::max(word, step_word(*record).size());
  const std::int64_t first_ns = chosen.front()->when_ns();
  // The wall clock of the first moment, by way of one record that has both times.
  const std::int64_t first_us = own.back()->wall_us() - (own.back()->when_ns() - first_ns) / 1000;

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
  const std::size_t clusters = chosen.size() - own.size();
  return out + fmt::format("\n{} steps in {:.1f} ms{}\n", chosen.size(), took,
                           clusters == 0 ? "" : fmt::format(", {} of them Pacemaker's", clusters));
}

}  // namespace hapair::cli
