// What an operator has forbidden, here or at the partner: how it is kept, what it holds back, how it ends.
#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "agent/core/engine.h"

namespace hapair::agent {
namespace {

WallTime wall_of(Duration duration) { return std::chrono::duration_cast<WallTime>(duration); }

std::string length_text(WallTime length) {
  const std::int64_t s = (length.count() + 999) / 1000;
  if (s >= 7200) return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
  return s >= 120 ? fmt::format("{} min", s / 60) : fmt::format("{} s", s);
}

std::string end_text(const Inhibition& inhibition, std::string_view command) {
  if (inhibition.length.count() == 0) return fmt::format("until somebody runs: {}", command);
  return fmt::format("for {}, or until somebody runs: {}", length_text(inhibition.length), command);
}

// Nothing of the pool is on the way to somewhere else.
bool at_rest(PoolState state) {
  switch (state) {
    case PoolState::probing:
    case PoolState::unsettled:
    case PoolState::elsewhere:
    case PoolState::serving:
    case PoolState::failed:
      return true;
    case PoolState::asking:
    case PoolState::requesting:
    case PoolState::claiming:
    case PoolState::fencing:
    case PoolState::acquiring:
    case PoolState::starting:
    case PoolState::stopping:
    case PoolState::releasing:
    case PoolState::released:
      return false;
  }
  return false;
}

}  // namespace

WallTime Engine::wall(Instant now) const { return wall_ + wall_of(now - wall_at_); }

bool Engine::inhibited(Inhibited what) const { return wanted_.inhibitions[static_cast<std::size_t>(what)].on; }

bool Engine::takeover_inhibited() const {
  return inhibited(Inhibited::takeover) || inhibited(Inhibited::maintenance) ||
         inhibited(Inhibited::partner_maintenance);
}

bool Engine::giveback_inhibited() const {
  return inhibited(Inhibited::giveback) || inhibited(Inhibited::maintenance) ||
         inhibited(Inhibited::partner_maintenance);
}

bool Engine::hands_over() const { return config_.policy.hand_over_at_shutdown && !inhibited(Inhibited::maintenance); }

// Why this node takes nothing over by itself; empty where it may.
std::string Engine::inhibition_text() const {
  for (const Inhibited what : {Inhibited::maintenance, Inhibited::takeover}) {
    if (!inhibited(what)) continue;
    const Inhibition& by = wanted_.inhibitions[static_cast<std::size_t>(what)];
    return fmt::format("{} ({}: {})",
                       what == Inhibited::maintenance ? "this node is in maintenance" : "its takeovers are disabled",
                       by.by, by.reason);
  }
  if (inhibited(Inhibited::partner_maintenance)) return config_.partner.text() + " is in maintenance";
  return {};
}

std::optional<Instant> Engine::end_of(Inhibited what) const {
  const Inhibition& inhibition = wanted_.inhibitions[static_cast<std::size_t>(what)];
  if (!inhibition.on || inhibition.length.count() == 0) return std::nullopt;
  return inhibition.ends;
}

// Rounded up to minutes, so that it is not published at each step.
std::uint32_t Engine::maintenance_left_s(Instant now) const {
  const auto end = end_of(Inhibited::maintenance);
  if (!end) return 0;
  const auto minutes = std::max<std::int64_t>((*end - now + kMinute - Duration(1)) / kMinute, 1);
  return static_cast<std::uint32_t>(std::min<std::int64_t>(minutes * 60, UINT32_MAX));
}

std::vector<InhibitionReport> Engine::inhibitions(Instant now) const {
  std::vector<InhibitionReport> all;
  for (std::size_t i = 0; i < kInhibited; ++i) {
    const auto what = static_cast<Inhibited>(i);
    if (!inhibited(what)) continue;
    InhibitionReport report{what, wanted_.inhibitions[i], std::nullopt};
    if (const auto end = end_of(what)) report.left = std::max(*end - now, Duration::zero());
    all.push_back(std::move(report));
  }
  return all;
}

// In the same boot CLOCK_BOOTTIME tells what is left. In another one only the wall clock can, which may be wrong after
// a power failure: what it makes of the end is never more than was left in the record, and no fence lies in the future.
void Engine::recall_inhibitions(Instant now, const DurableState& kept) {
  wanted_.inhibitions = kept.inhibitions;
  if (config_.policy.cluster_decides && std::ranges::any_of(kept.inhibitions, &Inhibition::on)) {
    wanted_.inhibitions = {};
    dirty_ = true;
    record(now, Severity::notice, "allowed", std::nullopt, 0,
           "what operators had forbidden of this node (maintenance, takeover, giveback) is over: the cluster decides "
           "now, and has its own ways");
  }
  wanted_.fences = kept.fences;
  if (kept.boot_id == boot_id_) return apply_maintenance(now);
  dirty_ = true;
  for (Inhibition& inhibition : wanted_.inhibitions) {
    if (!inhibition.on || inhibition.length.count() == 0) continue;
    const WallTime left = std::clamp(inhibition.until - wall(now), WallTime(1), inhibition.length);
    inhibition.length = left;
    inhibition.until = wall(now) + left;
    inhibition.ends = now + left;
  }
  for (FenceStamp& fence : wanted_.fences) {
    constexpr WallTime kLongAgo = std::chrono::hours(24 * 365);
    fence.when = now - std::clamp(wall(now) - fence.wall, WallTime::zero(), kLongAgo);
  }
  apply_maintenance(now);
}

void Engine::apply_maintenance(Instant now) {
  const bool on = inhibited(Inhibited::maintenance);
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    pools_[i].sequence.set_watched(!on);
    if (on) continue;
    const bool held_back = std::exchange(pools_[i].held_back, false);
    const bool waits = held_back && pools_[i].state == PoolState::probing;
    take_sequence(now, i, waits ? pools_[i].sequence.probe(now) : pools_[i].sequence.tick(now));
  }
}

void Engine::command_inhibit(Instant now, const OperatorCommand& command) {
  if (offline_) return refuse(now, command, "this node is offline: " + node_reason().text());
  if (command.reason.empty()) return refuse(now, command, "give a reason: whoever finds it in force will want to know");
  if (command.reason.size() > kReasonBytes) {
    return refuse(now, command,
                  fmt::format("the reason has {} bytes; allowed: {}", command.reason.size(), kReasonBytes));
  }
  if (command.what == Inhibited::maintenance) {
    for (PoolIndex i = 0; i < pools_.size(); ++i) {
      if (pools_[i].state == PoolState::serving && !pools_[i].sequence.steady()) {
        return refuse(now, command,
                      fmt::format("a resource of {} is being restarted; wait until that is over, then ask again",
                                  plan(i).name.view()));
      }
      if (at_rest(pools_[i].state)) continue;
      return refuse(now, command,
                    fmt::format("{} is {} ({}); wait until that is over, then ask again", plan(i).name.view(),
                                text_of(pools_[i].state), pools_[i].reason));
    }
  }
  dirty_ = true;
  Inhibition& inhibition = wanted_.inhibitions[static_cast<std::size_t>(command.what)];
  inhibition = {.on = true,
                .since = wall(now),
                .length = command.length.value_or(std::chrono::seconds(0)),
                .until = wall(now) + command.length.value_or(std::chrono::seconds(0)),
                .ends = now + command.length.value_or(std::chrono::seconds(0)),
                .by = command.by.substr(0, kByBytes),
                .reason = command.reason};
  std::string text;
  switch (command.what) {
    case Inhibited::takeover:
      text = fmt::format("{} takes nothing over by itself {}", config_.self.view(),
                         end_text(inhibition, "hapair enable takeover"));
      break;
    case Inhibited::giveback:
      text = fmt::format("{} gives nothing back by itself {}", config_.self.view(),
                         end_text(inhibition, "hapair enable giveback"));
      break;
    case Inhibited::maintenance:
    case Inhibited::partner_maintenance:
      text = fmt::format(
          "{} is in maintenance {}. By itself it takes nothing over and gives nothing back, watches, starts and "
          "restarts no "
          "resource and stops none when its agent is stopped; {} leaves its pools alone, also when it goes dark",
          config_.self.view(), end_text(inhibition, "hapair maintenance off"), config_.partner.view());
      if (!hears_partner()) {
        text += fmt::format(". But {} is {} now and may not learn of it: forbid it there too (hapair disable takeover)",
                            config_.partner.view(), heartbeat::text_of(assessment_.verdict));
      }
      apply_maintenance(now);
      break;
  }
  if (rewrite_at_) text += ". It is not on disk, which cannot be written: a restart forgets it";
  record(now, Severity::warning, "inhibited", std::nullopt, 0,
         fmt::format("{}. By {}: {}", text, command.by, command.reason),
         {{"what", std::string(text_of(command.what))}});
  out_.reply = CommandReply{true, text, 0};
}

void Engine::command_allow(Instant now, const OperatorCommand& command) {
  if (!inhibited(command.what)) {
    const bool partners = command.what == Inhibited::maintenance && inhibited(Inhibited::partner_maintenance);
    return refuse(now, command,
                  partners ? fmt::format("it is {} that is in maintenance: end it there, or take its pools: hapair "
                                         "takeover",
                                         config_.partner.view())
                           : fmt::format("{} is not {} here", text_of(command.what),
                                         command.what == Inhibited::maintenance ? "in force" : "disabled"));
  }
  end_inhibition(now, command.what, "by " + command.by);
  out_.reply = CommandReply{true, out_.records.back().text, 0};
}

void Engine::end_inhibition(Instant now, Inhibited what, const std::string& how) {
  wanted_.inhibitions[static_cast<std::size_t>(what)] = {};
  dirty_ = true;
  std::string text;
  switch (what) {
    case Inhibited::takeover:
      text = fmt::format("{} takes over by itself again", config_.self.view());
      break;
    case Inhibited::giveback:
      text = fmt::format("{} gives back by itself again", config_.self.view());
      break;
    case Inhibited::maintenance:
      text = fmt::format("the maintenance of {} is over", config_.self.view());
      apply_maintenance(now);
      break;
    case Inhibited::partner_maintenance:
      text = fmt::format("the maintenance of {} is over", config_.partner.view());
      break;
  }
  record(now, Severity::notice, "inhibition-ended", std::nullopt, 0, fmt::format("{}: {}", text, how),
         {{"what", std::string(text_of(what))}});
}

void Engine::end_inhibitions(Instant now) {
  for (std::size_t i = 0; i < kInhibited; ++i) {
    const auto what = static_cast<Inhibited>(i);
    if (const auto end = end_of(what); end && now >= *end)
      end_inhibition(now, what, "the time given with it has passed");
  }
}

// By its page, which is proved to be its own. What is known of it is kept while it is dark, or knows nothing itself.
void Engine::note_partner_maintenance(Instant now) {
  if (partner_->node_state == NodeState::offline) return;
  Inhibition& known = wanted_.inhibitions[static_cast<std::size_t>(Inhibited::partner_maintenance)];
  if (partner_->node_state != NodeState::maintenance) {
    if (known.on) end_inhibition(now, Inhibited::partner_maintenance, "by its own word");
    return;
  }
  const WallTime left = std::chrono::seconds(partner_->maintenance_left_s);
  const bool told = known.on;
  const bool endless = left.count() == 0;
  const bool was_endless = known.length.count() == 0;
  // What is left is published rounded up, so it only seems to be more than was known.
  if (told && endless && was_endless) return;
  const Duration more = endless || was_endless ? Duration::max() : now + left - known.ends;
  if (told && more > -kMinute && more <= kMinute) return;
  dirty_ = true;
  known = {.on = true,
           .since = wall(now),
           .length = left,
           .until = wall(now) + left,
           .ends = now + left,
           .by = config_.partner.text(),
           .reason = "as it publishes"};
  if (told) return;
  record(
      now, Severity::warning, "inhibited", std::nullopt, 0,
      fmt::format("{} is in maintenance{}: this node leaves its pools alone, also when it goes dark. An operator may "
                  "take them all the same: hapair takeover, with --force where it cannot release them",
                  config_.partner.view(), endless ? "" : " for " + length_text(left)),
      {{"what", std::string(text_of(Inhibited::partner_maintenance))}});
}

}  // namespace hapair::agent
