// What an operator may ask of the engine, and why not.
#include <fmt/core.h>

#include <algorithm>

#include "agent/core/engine.h"

namespace hapair::agent {

using heartbeat::Verdict;

namespace {

std::string_view name_of(const OperatorCommand& command) {
  switch (command.kind) {
    case OperatorCommand::Kind::takeover:
      return "takeover";
    case OperatorCommand::Kind::giveback:
      return "giveback";
    case OperatorCommand::Kind::reset_record:
      return "reset-state";
    case OperatorCommand::Kind::inhibit:
      return command.what == Inhibited::maintenance ? "maintenance on"
             : command.what == Inhibited::takeover  ? "disable takeover"
                                                    : "disable giveback";
    case OperatorCommand::Kind::allow:
      return command.what == Inhibited::maintenance ? "maintenance off"
             : command.what == Inhibited::takeover  ? "enable takeover"
                                                    : "enable giveback";
    case OperatorCommand::Kind::confirm_down:
      return "confirm-down";
    case OperatorCommand::Kind::promote:
      return "promote";
    case OperatorCommand::Kind::demote:
      return "demote";
  }
  return "command";
}

}  // namespace

void Engine::refuse(Instant now, const OperatorCommand& command, const std::string& why) {
  record(now, Severity::notice, "command-refused", std::nullopt, 0,
         fmt::format("{} by {} refused: {}", name_of(command), command.by, why));
  out_.reply = CommandReply{false, why, 0};
}

std::optional<std::string> Engine::takeover_refusal(PoolIndex index, bool force) const {
  const Pool& pool = pools_[index];
  const std::string_view name = plan(index).name.view();
  if (poisoned() && pool.state != PoolState::failed) {
    return fmt::format("{}: {} poisons this node, and nothing is begun here before that is answered; see hapair why",
                       name, config_.partner.view());
  }
  switch (pool.state) {
    case PoolState::serving:
      return fmt::format("{} is served here already", name);
    case PoolState::unsettled:
      if (!force && (assessment_.verdict == Verdict::rebooted || assessment_.verdict == Verdict::leaving)) {
        return fmt::format("{}: the partner {}, and will say or show who serves it; wait, or use --force to fence it",
                           name, assessment_.verdict == Verdict::rebooted ? "boots" : "shuts down");
      }
      if (force || !hears_partner()) return std::nullopt;
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
      if (pool.lease.awaited && !anything_runs(index)) break;
      [[fallthrough]];
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
  if (!hears_partner()) {
    return fmt::format("{}: the partner is {}{}, so it cannot be asked to release it; wait, or use --force to fence it",
                       name, heartbeat::text_of(assessment_.verdict), deaf_text());
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
    pools_[i].requests_now = command.ignore_vetoes;
    const bool retry = pools_[i].state == PoolState::failed;
    fire(now, i, command.force && !retry ? PoolEvent::operator_force : PoolEvent::operator_takeover, decision);
    pools_[i].start_wanted = retry;
  }
  out_.reply = CommandReply{true, fmt::format("takeover of {} started", names), decision};
}

std::string Engine::deaf_text() const {
  return hearing() == Hearing::one_way ? fmt::format(" ({})", one_way_text()) : std::string();
}

std::optional<std::string> Engine::giveback_refusal(PoolIndex index) const {
  const Pool& pool = pools_[index];
  const std::string_view name = plan(index).name.view();
  const bool here =
      pool.state == PoolState::serving || pool.state == PoolState::starting || pool.state == PoolState::failed;
  if (!here && pool.state == PoolState::elsewhere) {
    return fmt::format("{} is not served here: it is {}'s", name, config_.partner.view());
  }
  if (pool.move && pool.move->event == PoolEvent::operator_giveback) {
    return fmt::format("{}: its vetoes are being asked already", name);
  }
  if (!here) return fmt::format("{} is not served here: it is {} ({})", name, text_of(pool.state), pool.reason);
  if (!partner_can_take()) {
    return fmt::format("{}: {} cannot take it: the verdict is {}{}{}", name, config_.partner.view(),
                       heartbeat::text_of(assessment_.verdict), deaf_text(),
                       partner_ && partner_->leaving                                ? ", and it shuts down"
                       : partner_ && partner_->node_state == NodeState::maintenance ? ", and it is in maintenance"
                       : partner_ && partner_->node_state == NodeState::offline     ? ", and it is offline"
                                                                                    : "");
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
  bool asks = false;
  for (const PoolIndex i : chosen) {
    const bool served = pools_[i].state == PoolState::serving;
    if (served && !vetted(i, {PoolEvent::operator_giveback, decision, command.ignore_vetoes})) {
      asks = true;
      record(now, Severity::info, "vetoes-asked", i, decision,
             fmt::format("{}: its vetoes are asked first", plan(i).name.view()));
    } else {
      fire(now, i, PoolEvent::operator_giveback, decision);
    }
  }
  out_.reply = CommandReply{true,
                            fmt::format("giveback of {} to {} started{}", names, config_.partner.view(),
                                        asks ? "; its vetoes are asked first" : ""),
                            decision};
}

// Why the word of an operator is not enough: whatever was seen of the partner, or may have been missed, is against it.
std::optional<std::string> Engine::confirm_down_refusal(Instant now, const OperatorCommand& command) const {
  const std::string_view partner = config_.partner.view();
  if (offline_) return "this node is offline: " + node_reason().text();
  if (shutting_down_) return "this node shuts down";
  if (command.partner != partner) {
    return fmt::format("\"{}\" was given, and the partner of {} is {}; look again which machine is down",
                       command.partner, config_.self.view(), partner);
  }
  const Verdict verdict = assessment_.verdict;
  if (verdict == Verdict::unknown) {
    return fmt::format(
        "this node does not see {} because its own CCM is not there, not because {} is down; start ccmd "
        "here",
        partner, partner);
  }
  if (verdict != Verdict::unreachable) {
    return fmt::format("{} is {}: a machine that is down shows nothing; switch it off first", partner,
                       heartbeat::text_of(verdict));
  }
  if (strain_ > 1) {
    return fmt::format(
        "this node {}: what it misses of {} may be its own doing; wait until hapair status shows it well", strain_fact_,
        partner);
  }
  const Duration silent = now - assessment_.since;
  if (silent < config_.policy.beats_end || partner_runs(now)) {
    return fmt::format(
        "{} is silent for {:.0f} ms only; its last beats may take {:.0f} ms to be missed: ask again then", partner,
        ms_of(silent), ms_of(config_.policy.beats_end));
  }
  const bool any_to_take = std::ranges::any_of(pools_, [](const Pool& pool) {
    return pool.lease.awaited || pool.state == PoolState::unsettled || pool.state == PoolState::elsewhere ||
           pool.state == PoolState::released || pool.state == PoolState::claiming || pool.state == PoolState::fencing;
  });
  if (!any_to_take) return "no pool waits for it: nothing would be taken";
  return std::nullopt;
}

// The same as a fence that a device confirmed, and as final: a partner that is up all the same would serve its pools as
// well.
void Engine::command_confirm_down(Instant now, const OperatorCommand& command) {
  if (const auto why = confirm_down_refusal(now, command)) return refuse(now, command, *why);
  const std::uint64_t decision = new_decision();
  record(now, Severity::warning, "confirmed-down", std::nullopt, decision,
         fmt::format("{} confirms that {} is down: its pools are taken on that word, without a fence", command.by,
                     config_.partner.view()));
  operator_word_ = FenceReport{.result = FenceResult::confirmed,
                               .device = command.by,
                               .reason = "",
                               .took = Duration::zero(),
                               .by_operator = true};
  for (PoolIndex i = 0; i < pools_.size(); ++i) {
    pools_[i].failed_here = false;
    pools_[i].takeover_refused = false;
    const PoolState state = pools_[i].state;
    if (state == PoolState::claiming || state == PoolState::fencing) pools_[i].decision = decision;
    const bool waits = state == PoolState::unsettled || state == PoolState::elsewhere || state == PoolState::released;
    if (waits || pools_[i].lease.awaited) {
      fire(now, i, PoolEvent::operator_takeover, decision);
    }
  }
  out_.reply = CommandReply{
      true, fmt::format("{} counts as down by your word; its pools are taken now", config_.partner.view()), decision};
}

void Engine::command_reset(Instant now, const OperatorCommand& command) {
  if (!offline_) return refuse(now, command, "the ownership record of this node is in order; nothing is reset");
  if (dropped_)
    return refuse(now, command, "the record is in order, the configuration is not: " + node_reason().text());
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
    pools_[i].lease.past_unknown = true;
    take_sequence(now, i, pools_[i].sequence.probe(now));
  }
  out_.reply =
      CommandReply{true, "the record is discarded; the pools are looked at and the partner is asked", decision};
}

}  // namespace hapair::agent
