// A partner that is heard over the mailbox disks alone: every link between the two is gone, and both are well. What it
// publishes comes as it would over the rails, in an order that never goes back (partner_blocks.h), so whatever two
// nodes settle with each other they can settle so. The cut itself begins nothing: the verdict stays interconnect-lost,
// which takes nothing over and gives nothing back. An operator, a shutdown, a resource that fails or a partner that
// asks begins it. Each must have seen the other: an agent that started during the cut takes no notice before it has
// read a page.
#include <fmt/core.h>

#include <optional>
#include <utility>

#include "agent/core/engine.h"

namespace hapair::agent {

using heartbeat::Verdict;

void Engine::on(Instant /*now*/, const PartnerHeard& event) {
  agent_heard_ = event.heard;
  heard_channel_ = event.channel;
}

// After each event, for verdicts and proofs change it too.
void Engine::tell_heard(Instant now) {
  if (!deaf()) {
    deaf_since_.reset();
  } else if (!deaf_since_) {
    deaf_since_ = now;
  }
  if (const Hearing current = hearing(); std::exchange(hearing_, current) != current) hearing_since_ = now;
  if (told_hearing_ == hearing_) return;
  if (const auto at = one_way_at(); at && now < *at) return;
  told_hearing_ = hearing_;
  const std::string& channel = heard_channel_;
  if (told_hearing_ == Hearing::both) {
    record(
        now, Severity::notice, "notices", std::nullopt, partner_decision_,
        config_.policy.cluster_decides
            ? fmt::format(
                  "{}'s agent is heard over {}: where the cluster moves a pool, it is asked and answers that way",
                  config_.partner.view(), channel)
            : fmt::format("{}'s agent is heard over {}: hapair takeover and giveback, and a shutdown, move pools that "
                          "way. The cut itself takes nothing, and nothing is given back by itself while it lasts",
                          config_.partner.view(), channel));
  } else if (told_hearing_ == Hearing::one_way) {
    record(now, Severity::warning, "notices-one-way", std::nullopt, partner_decision_,
           fmt::format("{}'s agent is heard over {}, and {}: no pool can be moved by asking it before a link is back",
                       config_.partner.view(), channel, one_way_text()));
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

// As a cut begins, each hears the other a few beats before it is told that it is heard.
std::optional<Instant> Engine::one_way_at() const {
  if (hearing_ != Hearing::one_way || told_hearing_ == Hearing::one_way) return std::nullopt;
  return hearing_since_ + kOneWayTold;
}

Engine::Hearing Engine::hearing() const {
  if (assessment_.verdict != Verdict::interconnect_lost || !agent_heard_) return Hearing::none;
  const bool hears_me = partner_ && partner_->saw_life == config_.life;
  return hears_me && !partner_down_proven_ ? Hearing::both : Hearing::one_way;
}

std::string_view Engine::one_way_text() const {
  if (partner_down_proven_) return "a proof that it is down stands, so what it says is not heeded";
  if (partner_ && partner_->node_state == NodeState::offline) return "it is offline and heeds nothing";
  return "it does not hear this agent";
}

// Its words are not taken now: no page of it is read, nor a notice. Where that lasts it is told so, for it would wait
// for what it asked; a beat on a busy disk that is late changes nothing.
bool Engine::deaf() const {
  if (partner_down_proven_) return true;
  switch (assessment_.verdict) {
    case Verdict::interconnect_lost:
      return !agent_heard_;
    case Verdict::unreachable:
    case Verdict::unproven:
    case Verdict::ccm_gone:
      return true;
    case Verdict::unknown:
    case Verdict::alive:
    case Verdict::storage_stalled:
    case Verdict::agent_hung:
    case Verdict::ccm_restarted:
    case Verdict::leaving:
    case Verdict::rebooted:
    case Verdict::hung:
    case Verdict::panicked:
      return false;  // its pages are read, or are about to be
  }
  return false;
}

// What it publishes is as it is now, whatever way it comes, and it says that it takes what this node publishes: over a
// disk it said so a few beats ago.
bool Engine::hears_partner() const { return heartbeat::answers(assessment_.verdict) || hearing() == Hearing::both; }

// Where an operator or a shutdown gives it a pool.
bool Engine::partner_can_take() const { return partner_able() || (hearing() == Hearing::both && partner_ready()); }

bool Engine::partner_ready() const {
  return partner_ && !partner_->leaving && partner_->node_state != NodeState::offline &&
         partner_->node_state != NodeState::maintenance;
}

// By which way the word came that moves a pool; a permit says so itself.
void Engine::tell_channel(Instant now, PoolIndex index, const Transition& row) {
  const bool word = row.event == PoolEvent::partner_wants || row.event == PoolEvent::partner_vetoes ||
                    row.event == PoolEvent::partner_holds || row.event == PoolEvent::superseded;
  if (partner_channel_.empty() || !word) return;
  record(now, Severity::info, "over-disk", index, pools_[index].decision,
         fmt::format("{}: {} says so over {}", plan(index).name.view(), config_.partner.view(), partner_channel_));
}

}  // namespace hapair::agent
