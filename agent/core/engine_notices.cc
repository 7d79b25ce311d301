// A partner that is heard over the mailbox disks alone: every link between the two is gone, and both are well. What it
// publishes comes as it would over the rails, in an order that never goes back (partner_blocks.h), so whatever two
// nodes settle with each other they can settle so. By itself nothing is begun that a cut alone does not ask for: the
// verdict stays interconnect-lost, which takes nothing over and gives nothing back. An operator, a shutdown, or the
// partner that asks begins it.
#include <fmt/core.h>

#include <utility>

#include "agent/core/engine.h"

namespace hapair::agent {

using heartbeat::Verdict;

void Engine::on(Instant now, const PartnerHeard& event) { note_heard(now, event.heard, event.channel); }

void Engine::note_heard(Instant now, bool heard, const std::string& channel) {
  if (std::exchange(agent_heard_, heard) == heard) return;
  if (heard) {
    record(
        now, Severity::notice, "notices", std::nullopt, partner_decision_,
        fmt::format("{}'s agent is heard over {}: hapair takeover and giveback, and a shutdown, move pools that way. "
                    "By itself nothing is taken or given back while the links are cut",
                    config_.partner.view(), channel));
  } else if (partner_ && partner_->leaving) {
    record(now, Severity::notice, "notices-over", std::nullopt, partner_decision_,
           fmt::format("{}'s agent has left, as it said that it would", config_.partner.view()));
  } else if (assessment_.verdict == Verdict::interconnect_lost) {
    record(now, Severity::warning, "notices-over", std::nullopt, partner_decision_,
           fmt::format("{}'s agent is not heard over a mailbox disk any more: no pool can be moved by asking it; see "
                       "hapair mailbox check, and hapaird there",
                       config_.partner.view()));
  }
}

// What it publishes is as it is now, whatever way it comes.
bool Engine::hears_partner() const {
  return heartbeat::answers(assessment_.verdict) || (assessment_.verdict == Verdict::interconnect_lost && agent_heard_);
}

// Where an operator or a shutdown gives it a pool.
bool Engine::partner_can_take() const {
  return partner_able() || (assessment_.verdict == Verdict::interconnect_lost && agent_heard_ && partner_ready());
}

bool Engine::partner_ready() const {
  return partner_ && !partner_->leaving && partner_->node_state != NodeState::offline &&
         partner_->node_state != NodeState::maintenance;
}

// By which way the word came that moves a pool; a permit says so itself.
void Engine::tell_channel(Instant now, PoolIndex index, const Transition& row) {
  const bool word = row.event == PoolEvent::partner_wants || row.event == PoolEvent::partner_vetoes ||
                    (row.event == PoolEvent::partner_holds && row.from == PoolState::released);
  if (partner_channel_.empty() || !word) return;
  record(now, Severity::info, "over-disk", index, pools_[index].decision,
         fmt::format("{}: {} says so over {}", plan(index).name.view(), config_.partner.view(), partner_channel_));
}

}  // namespace hapair::agent
