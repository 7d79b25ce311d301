// What an operator may ask of the engine, and why not.
#include <fmt/core.h>

#include "agent/core/engine.h"

namespace hapair::agent {

using heartbeat::Verdict;

void Engine::refuse(Instant now, const OperatorCommand& command, const std::string& why) {
  static constexpr std::string_view kNames[] = {"takeover", "giveback", "reset-state"};
  record(now, Severity::notice, "command-refused", std::nullopt, 0,
         fmt::format("{} by {} refused: {}", kNames[static_cast<std::size_t>(command.kind)], command.by, why));
  out_.reply = CommandReply{false, why, 0};
}

std::optional<std::string> Engine::takeover_refusal(PoolIndex index, bool force) const {
  const Pool& pool = pools_[index];
  const std::string_view name = plan(index).name.view();
  switch (pool.state) {
    case PoolState::serving:
      return fmt::format("{} is served here already", name);
    case PoolState::unsettled:
      if (!force && (assessment_.verdict == Verdict::rebooted || assessment_.verdict == Verdict::leaving)) {
        return fmt::format("{}: the partner {}, and will say or show who serves it; wait, or use --force to fence it",
                           name, assessment_.verdict == Verdict::rebooted ? "boots" : "shuts down");
      }
      if (force || !heartbeat::answers(assessment_.verdict)) return std::nullopt;
      return fmt::format("{}: the partner is alive and it is about to be settled who serves it", name);
    case PoolState::failed:
      return std::nullopt;
    case PoolState::elsewhere:
    case PoolState::released:
      break;
    case PoolState::asking:
    case PoolState::requesting:
      if (force) return std::nullopt;
      return fmt::format("{} is {} already: {}", name, text_of(pool.state), pool.reason);
    case PoolState::probing:
    case PoolState::claiming:
    case PoolState::fencing:
    case PoolState::acquiring:
    case PoolState::starting:
    case PoolState::stopping:
    case PoolState::releasing:
      return fmt::format("{} is {}: {}", name, text_of(pool.state), pool.reason);
  }
  if (force) return std::nullopt;
  const bool down = assessment_.verdict == Verdict::unreachable || assessment_.verdict == Verdict::hung ||
                    assessment_.verdict == Verdict::panicked;
  if (down || reboot_awaited(index)) return std::nullopt;
  if (!heartbeat::answers(assessment_.verdict)) {
    return fmt::format("{}: the partner is {}, so it cannot be asked to release it; wait, or use --force to fence it",
                       name, heartbeat::text_of(assessment_.verdict));
  }
  if (partner_ && partner_->node_state == NodeState::offline) {
    return fmt::format(
        "{}: {} is offline (its ownership record cannot be read), so it releases nothing; decide there first (hapair "
        "status there says how), or use --force to fence it",
        name, config_.partner.view());
  }
  const PartnerPool* partner = partner_pool(index);
  if (partner != nullptr && partner->state == PoolState::failed) {
    return fmt::format("{}: it failed on the partner and cannot be released there; use --force to fence the partner",
                       name);
  }
  return std::nullopt;
}

void Engine::command_takeover(Instant now, const OperatorCommand& command) {
  if (offline_) return refuse(now, command, "this node is offline: " + node_reason().text());
  if (shutting_down_) return refuse(now, command, "this node shuts down");
  std::vector<PoolIndex> chosen = command.pools;
  if (chosen.empty()) {
    for (PoolIndex i = 0; i < pools_.size(); ++i) {
      if (pools_[i].state != PoolState::serving) chosen.push_back(i);
    }
    if (chosen.empty()) return refuse(now, command, "this node serves every pool already");
  }
  for (const PoolIndex i : chosen) {
    if (i >= pools_.size()) return refuse(now, command, "there is no such pool");
    if (const auto why = takeover_refusal(i, command.force)) return refuse(now, command, *why);
  }
  const std::uint64_t decision = new_decision();
  std::string names;
  for (const PoolIndex i : chosen) names += (names.empty() ? "" : ", ") + plan(i).name.text();
  record(now, Severity::notice, "command", std::nullopt, decision,
         fmt::format("takeover of {} asked for by {}{}", names, command.by,
                     command.force ? ", by force: the partner is fenced even if it is well" : ""));
  for (const PoolIndex i : chosen) {
    pools_[i].failed_here = false;
    pools_[i].takeover_refused = false;
    const bool retry = pools_[i].state == PoolState::failed;
    fire(now, i, command.force && !retry ? PoolEvent::operator_force : PoolEvent::operator_takeover, decision);
  }
  out_.reply = CommandReply{true, fmt::format("takeover of {} started", names), decision};
}

std::optional<std::string> Engine::giveback_refusal(PoolIndex index) const {
  const Pool& pool = pools_[index];
  const std::string_view name = plan(index).name.view();
  const bool here =
      pool.state == PoolState::serving || pool.state == PoolState::starting || pool.state == PoolState::failed;
  if (!here && pool.state == PoolState::elsewhere) {
    return fmt::format("{} is not served here: it is {}'s", name, config_.partner.view());
  }
  if (!here) return fmt::format("{} is not served here: it is {} ({})", name, text_of(pool.state), pool.reason);
  if (!partner_able()) {
    return fmt::format("{}: {} cannot take it: the verdict is {}{}", name, config_.partner.view(),
                       heartbeat::text_of(assessment_.verdict),
                       partner_ && partner_->leaving ? ", and it shuts down" : "");
  }
  const PartnerPool* partner = partner_pool(index);
  if (partner != nullptr && partner->failed_there) {
    return fmt::format("{}: it failed on {} before; repair it there and run there: hapair takeover {}", name,
                       config_.partner.view(), name);
  }
  return std::nullopt;
}

void Engine::command_giveback(Instant now, const OperatorCommand& command) {
  if (offline_) return refuse(now, command, "this node is offline: " + node_reason().text());
  std::vector<PoolIndex> chosen = command.pools;
  if (chosen.empty()) {
    for (PoolIndex i = 0; i < pools_.size(); ++i) {
      if (!at_home(i) && pools_[i].state == PoolState::serving) chosen.push_back(i);
    }
    if (chosen.empty()) return refuse(now, command, "this node serves no pool of its partner");
  }
  for (const PoolIndex i : chosen) {
    if (i >= pools_.size()) return refuse(now, command, "there is no such pool");
    if (const auto why = giveback_refusal(i)) return refuse(now, command, *why);
  }
  const std::uint64_t decision = new_decision();
  std::string names;
  for (const PoolIndex i : chosen) names += (names.empty() ? "" : ", ") + plan(i).name.text();
  record(now, Severity::notice, "command", std::nullopt, decision,
         fmt::format("giveback of {} to {} asked for by {}", names, config_.partner.view(), command.by));
  for (const PoolIndex i : chosen) fire(now, i, PoolEvent::operator_giveback, decision);
  out_.reply = CommandReply{true, fmt::format("giveback of {} to {} started", names, config_.partner.view()), decision};
}

void Engine::command_reset(Instant now, const OperatorCommand& command) {
  if (!offline_) return refuse(now, command, "the ownership record of this node is in order; nothing is reset");
  const std::uint64_t decision = new_decision();
  record(
      now, Severity::warning, "command", std::nullopt, decision,
      fmt::format("{} discarded the unreadable ownership record ({}): this node begins without one and learns from its "
                  "partner",
                  command.by, offline_reason_));
  offline_ = false;
  offline_reason_.clear();
  out_.commands.emplace_back(DiscardRecord{});
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    pools_[i].decision = decision;
    pools_[i].decided_at = now;
    take_sequence(now, i, pools_[i].sequence.probe(now));
  }
  out_.reply =
      CommandReply{true, "the record is discarded; the pools are looked at and the partner is asked", decision};
}

}  // namespace hapair::agent
