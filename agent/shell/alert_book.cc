#include "agent/shell/alert_book.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/shell/printable.h"

namespace hapair::agent {
namespace {

using Kind = ClusterAlert::Kind;

constexpr std::size_t kSeenKept = 128;
constexpr Duration kOldest = std::chrono::minutes(1);        // an alert that waited longer is placed there
constexpr Duration kNodeRepeated = std::chrono::minutes(1);  // the same state again within that time is no news
constexpr std::size_t kMaxShownBytes = 64;
constexpr std::int64_t kCancelled = 1;  // CRM_alert_status, as Pacemaker numbers its results
constexpr std::int64_t kDegraded = 190;
constexpr std::int64_t kDegradedPromoted = 191;

bool as_expected(const ClusterAlert& alert) {
  return alert.rc == alert.target_rc.value_or(0) && alert.status.value_or(0) == 0;
}

// A monitor that found what it should, or was only ended: Pacemaker tells them, and they decide nothing.
bool is_routine(const ClusterAlert& alert) {
  if (alert.kind == Kind::attribute) return true;
  if (alert.kind != Kind::resource) return false;
  if (alert.status == kCancelled) return true;
  const bool moves = alert.task == "start" || alert.task == "stop" || alert.task == "promote" || alert.task == "demote";
  return !moves && as_expected(alert);
}

// "ref=..." of a fence, which every daemon that tells of it gives.
std::string_view reference_in(std::string_view desc) {
  const std::size_t at = desc.find("ref=");
  if (at == std::string_view::npos) return {};
  return desc.substr(at, desc.find_first_of(") ", at) - at);
}

// "Operation off of beta by alpha for pacemaker-controld.7@alpha: OK (ref=...)": what was done, by whom, and what came
// of it. What is not found in it is empty. CRM_alert_task is no help: Pacemaker gives "st_notify_fence" there.
struct FenceWords {
  std::string action;
  std::string by;
  std::string outcome;
};

FenceWords words_in(const std::string& desc) {
  FenceWords words;
  constexpr std::string_view kOperation = "Operation ";
  if (desc.starts_with(kOperation)) {
    words.action = desc.substr(kOperation.size(), desc.find(' ', kOperation.size()) - kOperation.size());
    std::erase(words.action, '\'');
  }
  constexpr std::string_view kBy = " by ";
  if (const std::size_t by = desc.find(kBy); by != std::string::npos) {
    const std::size_t from = by + kBy.size();
    words.by = desc.substr(from, desc.find(' ', from) - from);
  }
  if (const std::size_t colon = desc.find(": "); colon != std::string::npos) {
    const std::size_t from = colon + 2;
    const std::size_t end = desc.find(" (ref", from);
    words.outcome = desc.substr(from, end == std::string::npos ? end : end - from);
  }
  return words;
}

std::string fence_text(const ClusterAlert& alert, std::string_view node) {
  const FenceWords words = words_in(alert.desc);
  const std::string by = words.by.empty() ? "" : " by " + words.by;
  const std::string outcome = words.outcome.empty() ? alert.desc : words.outcome;
  const std::string action = words.action.empty() ? alert.task : words.action;
  if (alert.rc == 0) return fmt::format("fenced {}{} ({}, {})", node, by, action, outcome.empty() ? "OK" : outcome);
  return fmt::format("did not fence {}{} ({}): {}, rc {}; see crm_mon --fence-history=2", node, by, action,
                     outcome.empty() ? "it failed" : outcome, *alert.rc);
}

std::string past_of(const std::string& task) {
  if (task == "start") return "started";
  if (task == "stop") return "stopped";
  return task + "d";  // promote, demote
}

std::string action_text(const ClusterAlert& alert, std::string_view pool, const std::string& where) {
  const std::string after = alert.exec_time_ms ? fmt::format(" after {} ms", *alert.exec_time_ms) : "";
  if (as_expected(alert)) return fmt::format("{} pool {} {}: ok{}", past_of(alert.task), pool, where, after);
  const std::string_view meaning = ocf_meaning(*alert.rc);
  std::string outcome = alert.desc;
  if (outcome.empty()) outcome = meaning.empty() ? "it failed" : meaning;
  // Of what did not end by itself the exit code means nothing.
  const bool ended = alert.status.value_or(0) == 0;
  const std::string code =
      ended ? fmt::format(", rc {}{}{}{}", *alert.rc, meaning.empty() || meaning == outcome ? "" : " ",
                          meaning == outcome ? "" : meaning,
                          alert.target_rc ? fmt::format(" where {} was expected", *alert.target_rc) : "")
            : "";
  return fmt::format("{} of pool {} {}: {}{}{}", alert.task, pool, where, outcome, code, after);
}

Severity severity_of(const ClusterAlert& alert) {
  if (alert.kind == Kind::node) return alert.desc == "lost" ? Severity::warning : Severity::notice;
  if (alert.kind == Kind::fencing) return alert.rc == 0 ? Severity::notice : Severity::error;
  if (as_expected(alert)) return Severity::notice;
  return alert.rc == kDegraded || alert.rc == kDegradedPromoted ? Severity::notice : Severity::warning;
}

std::vector<std::pair<std::string, std::string>> fields_of(const ClusterAlert& alert, const std::string& learnt_at) {
  std::vector<std::pair<std::string, std::string>> fields{{"channel", "Pacemaker on " + learnt_at},
                                                          {"cluster_node", alert.node}};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) fields.emplace_back(name, value);
  };
  const auto number = [](const std::optional<std::int64_t>& value) { return value ? std::to_string(*value) : ""; };
  add("task", alert.task);
  add("cluster_resource", alert.resource);
  add("rc", number(alert.rc));
  add("target_rc", number(alert.target_rc));
  add("exec_time_ms", number(alert.exec_time_ms));
  add("desc", alert.desc);
  return fields;
}

}  // namespace

AlertBook::AlertBook(AlertScope scope) : scope_(std::move(scope)) {}

const AlertScope::Node* AlertBook::node_named(const std::string& name) const {
  for (const AlertScope::Node* node : {&scope_.self, &scope_.partner}) {
    if (name == node->in_cluster || name == node->name.view()) return node;
  }
  return nullptr;
}

// An instance of a clone may be told with its number, "pool-a:1".
const AlertScope::Pool* AlertBook::pool_of(const std::string& resource) const {
  const std::string_view id = std::string_view(resource).substr(0, resource.find(':'));
  const auto it =
      std::ranges::find_if(scope_.pools, [id](const AlertScope::Pool& pool) { return pool.resource == id; });
  return it == scope_.pools.end() ? nullptr : &*it;
}

bool AlertBook::is_repeated(Instant when, const ClusterAlert& alert) {
  if (alert.kind == Kind::node) {
    NodeState& last = node_states_[std::string(node_named(alert.node)->name.view())];
    const bool same = last.state == alert.desc && when < last.when + kNodeRepeated;
    last = {alert.desc, when};
    return same;
  }
  const std::string_view reference = alert.kind == Kind::fencing ? reference_in(alert.desc) : std::string_view();
  if (reference.empty() && alert.wall_us == 0) return false;  // nothing tells it from another one like it
  const auto number = [](const std::optional<std::int64_t>& value) { return value ? std::to_string(*value) : ""; };
  std::string key = fmt::format("{} {} {} {} {} {} {} ", text_of(alert.kind), alert.node, alert.task, alert.resource,
                                number(alert.rc), number(alert.status), number(alert.interval_ms));
  key += reference.empty() ? std::to_string(alert.wall_us) : std::string(reference);
  if (std::ranges::find(seen_, key) != seen_.end()) return true;
  seen_.push_back(std::move(key));
  if (seen_.size() > kSeenKept) seen_.pop_front();
  return false;
}

bool AlertBook::may_record(Instant now) {
  if (!refilled_) refilled_ = now;
  const auto due = (now - *refilled_) / kAlertEvery;
  if (due > 0) {
    left_ = static_cast<unsigned>(std::min<std::int64_t>(kAlertBurst, left_ + due));
    *refilled_ += due * kAlertEvery;
  }
  if (left_ == 0) return false;
  --left_;
  return true;
}

Record AlertBook::record_of(Instant when, const ClusterAlert& alert, const AlertScope::Node& node) const {
  const std::string here = scope_.self.name.text();
  Record record{.when = when,
                .severity = severity_of(alert),
                .kind = "pacemaker-" + std::string(text_of(alert.kind)),
                .pool = {},
                .decision = 0,
                .text = "Pacemaker on " + here + ": ",
                .fields = fields_of(alert, here)};
  if (alert.kind == Kind::node) {
    record.text += fmt::format("node {} {}", node.name.view(), alert.desc == "lost" ? "lost" : "is a member");
  } else if (alert.kind == Kind::fencing) {
    record.text += fence_text(alert, node.name.view());
  } else {
    record.pool = pool_of(alert.resource)->name;
    const bool at_home = node.name == scope_.self.name;
    record.text += action_text(alert, record.pool.view(), at_home ? "here" : "on " + node.name.text());
  }
  return record;
}

AlertBook::Answer AlertBook::take(Instant now, std::int64_t wall_us, const ClusterAlert& alert) {
  const AlertScope::Node* node = node_named(alert.node);
  if (node == nullptr) {
    ++counts_.foreign;
    return {{}, fmt::format("not recorded: {} is no node of this pair", printable_line(alert.node, kMaxShownBytes))};
  }
  if (is_routine(alert)) {
    ++counts_.routine;
    return {{}, "not recorded: it is routine and decides nothing"};
  }
  if (alert.kind == Kind::resource && pool_of(alert.resource) == nullptr) {
    ++counts_.foreign;
    return {
        {},
        fmt::format("not recorded: {} is the resource of no pool here (pacemaker.resources names them where they are "
                    "not called like the pools)",
                    printable_line(alert.resource, kMaxShownBytes))};
  }
  const std::chrono::microseconds ago(alert.wall_us > 0 ? wall_us - alert.wall_us : 0);
  const Instant when = now - std::clamp<Duration>(ago, Duration::zero(), kOldest);
  if (is_repeated(when, alert)) {
    ++counts_.repeated;
    return {{}, "not recorded: it was told before"};
  }
  if (!may_record(now)) {
    ++counts_.left_out;
    ++untold_;
    return {{},
            "not recorded: too many alerts came at once; the next one that is recorded says how many were left out"};
  }
  ++counts_.recorded;
  Answer answer{{}, "recorded"};
  if (const std::uint64_t untold = std::exchange(untold_, 0); untold > 0) {
    answer.records.push_back(
        {now,
         Severity::warning,
         "pacemaker-alerts-left-out",
         PoolName{},
         0,
         fmt::format(
             "{} alerts of Pacemaker's were not recorded, because more came than are kept ({} at once, one every "
             "{} s); see Pacemaker's own log for them",
             untold, kAlertBurst, kAlertEvery / std::chrono::seconds(1)),
         {}});
  }
  answer.records.push_back(record_of(when, alert, *node));
  return answer;
}

}  // namespace hapair::agent
