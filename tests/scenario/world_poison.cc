// Poison in the world: the two CCMs' shipped halves, what they write and read of each other, and their words with the
// agents.
#include <fmt/core.h>

#include <utility>

#include "tests/scenario/world_rails.h"

namespace hapair::world {
namespace {

using agent::FenceResult;
using ccm::PoisonProgress;

constexpr Duration kPoisonTimeout = seconds(12);  // of the agent: longer than what the partner's CCM gives its pools
constexpr Duration kWatchdogTime = seconds(3);
constexpr const char* kDevice = "poison";

}  // namespace

// The agent's round: it asks its CCM, and waits for so long.
void World::poison(NodeIndex asker) {
  Node& node = nodes_[asker];
  Agent& own = *node.agent;
  own.poison_asked = next_poison_++;
  own.poison_asked_at = now_;
  schedule(kPoisonTimeout, Scope::agent, asker, [this, asker, asked = own.poison_asked] {
    if (nodes_[asker].agent->poison_asked != asked) return;
    end_poison(asker, FenceResult::unknown, "no answer in time");
  });
}

void World::end_poison(NodeIndex asker, FenceResult result, const std::string& reason) {
  Agent& own = *nodes_[asker].agent;
  own.poison_asked = 0;
  step(asker, agent::FenceDone{{.result = result,
                                .device = kDevice,
                                .reason = reason,
                                .took = now_ - own.poison_asked_at,
                                .by_partner = result == FenceResult::confirmed}});
}

// With each round of a CCM, when it has published and looked at its partner.
void World::poison_turn(NodeIndex index, bool sees_partner) {
  Node& node = nodes_[index];
  Ccm& own = *node.ccm;
  const bool registered = own.slot && own.slot->state == ccm::ClientState::registered && node.agent;
  if (registered) own.poison_taker.agent_says(node.agent->poison_stopped, node.agent->poison_cannot);
  take_poison(index);
  // The agent's block is published with the words of that same look at its memory.
  own.poison_giver.ask(registered && own.block && node.agent->block && own.block->serial == node.agent->block->serial
                           ? node.agent->poison_asked
                       : registered ? own.poison_giver.asked()
                                    : 0);
  if (sees_partner) see_poisoned(index);
  const bool keys = rails_ || (!node.wrong_key && !nodes_[1 - index].wrong_key);
  if (const auto write = own.poison_giver.advance(now_, keys && own.session.value() != 0)) give_poison(index, *write);
  switch (own.poison_taker.advance(now_)) {
    case ccm::PoisonTaker::Deed::none:
      return;
    case ccm::PoisonTaker::Deed::starve_watchdog:
      node.starved = true;
      own.poison_taker.starved(now_, 2 * kWatchdogTime + seconds(1));
      // The device itself, where the mailbox disks have given the world none (world_mailbox.cc).
      if (options_.mailbox_disks > 0) return;
      return schedule(kWatchdogTime, Scope::world, index, [this, index, life = node.power_life] {
        if (nodes_[index].power_life == life) reset_by(index, "the watchdog");
      });
    case ccm::PoisonTaker::Deed::reset_by_sysrq:
      return reset_by(index, "sysrq");
  }
}

// Over rails by the shipped handshakes; else by what stands in for them.
void World::take_poison(NodeIndex index) {
  Ccm& own = *nodes_[index].ccm;
  if (own.rails) {
    for (ccm::Rail& rail : own.rails->rails) {
      if (const auto order = rail.take_poison(wire(), own.poison_taker.newest())) own.poison_taker.take(now_, *order);
    }
    return;
  }
  const auto order = std::exchange(own.poison_slot, std::nullopt);
  if (!order) return;
  const ccm::PoisonOrder& newest = own.poison_taker.newest();
  const bool undoes = order->withdrawn && order->serial == newest.serial && !newest.withdrawn;
  if (order->from != newest.from || order->serial > newest.serial || undoes) own.poison_taker.take(now_, *order);
}

void World::see_poisoned(NodeIndex index) {
  Ccm& own = *nodes_[index].ccm;
  const auto sees = [&own](const ccm::PoisonSight& sight) {
    own.poison_taker.sees_giver(sight.incarnation);
    own.poison_giver.sees(sight);
  };
  if (own.rails) {
    for (ccm::Rail& rail : own.rails->rails) {
      if (const auto sight = rail.take_poison_sight()) sees(*sight);
    }
    return;
  }
  const Ccm& other = *nodes_[1 - index].ccm;
  sees({other.page.incarnation, other.page.boot_id, ccm::kCapabilityPoison, other.poison_answer});
}

void World::give_poison(NodeIndex index, const ccm::PoisonWrite& write) {
  Ccm& own = *nodes_[index].ccm;
  if (own.rails) {
    for (ccm::Rail& rail : own.rails->rails) rail.give_poison(write);
    return;
  }
  Node& partner = nodes_[1 - index];
  if (!link_up_ || !partner.powered || !partner.ccm || partner.ccm->incarnation != own.session) return;
  partner.ccm->poison_slot = ccm::PoisonOrder{own.incarnation, write.serial, write.withdrawn};
}

void World::reset_by(NodeIndex index, const std::string& what) {
  fault();
  told_.push_back({index, agent::Record{.when = now_,
                                        .severity = agent::Severity::error,
                                        .kind = "reset",
                                        .pool = {},
                                        .decision = 0,
                                        .text = fmt::format("({} resets {})", what, name(index)),
                                        .fields = {}}});
  reset(index);
}

// As hapaird reads it in the ring's head: the partner's order while it stands, and what became of its own.
void World::tell_agent_of_poison(NodeIndex index) {
  Agent& own = *nodes_[index].agent;
  const Ccm& ccm = *nodes_[index].ccm;
  const auto over = [&] {
    if (std::exchange(own.poison_known, 0) != 0) step(index, agent::PoisonOver{own.poison_order});
    return nodes_[index].agent != nullptr;
  };
  if (own.poison_ccm != ccm.incarnation) {
    own.poison_ccm = ccm.incarnation;
    own.poison_stopped = own.poison_cannot = 0;
    if (!over()) return;
  }
  const ccm::PoisonTaker& taker = ccm.poison_taker;
  if (taker.number() != 0) {
    own.poisoned_at = taker.accepted_at();
    own.blocks.poisoned_at(own.poisoned_at);
  }
  if (taker.state() == ccm::PoisonState::none && !over()) return;
  if (taker.stands() && taker.number() != own.poison_known) {
    own.poison_known = taker.number();
    own.poison_order = taker.newest();
    own.blocks.forget_told();
    step(index, agent::Poisoned{taker.newest()});
    if (!nodes_[index].agent) return;
  }
  const ccm::PoisonGiver& giver = ccm.poison_giver;
  if (own.poison_asked == 0 || giver.asked() != own.poison_asked || !is_final(giver.progress())) return;
  switch (giver.progress()) {
    case PoisonProgress::stopped:
      return end_poison(index, FenceResult::confirmed, "");
    case PoisonProgress::no_rail:
      return end_poison(index, FenceResult::failed, "no rail is connected");
    case PoisonProgress::not_known:
      return end_poison(index, FenceResult::failed, "refused: the partner's ccmd does not know poison");
    case PoisonProgress::cannot:
      return end_poison(index, FenceResult::unknown, "it cannot stop its pools, nor reset itself");
    case PoisonProgress::lost:
      return end_poison(index, FenceResult::unknown, "every rail was lost before it answered");
    case PoisonProgress::restarted:
      return end_poison(index, FenceResult::unknown, "its ccmd restarted before it answered");
    case PoisonProgress::rebooted:
      return end_poison(index, FenceResult::unknown, "it was reset before it answered");
    case PoisonProgress::none:
    case PoisonProgress::written:
    case PoisonProgress::accepted:
    case PoisonProgress::resetting:
      return;
  }
}

void World::answer_poison(NodeIndex index, const agent::AnswerPoison& answer) {
  Node& node = nodes_[index];
  Agent& own = *node.agent;
  // Of a CCM that is no more it is nobody's.
  if (!node.ccm || own.poison_ccm != node.ccm->incarnation || node.ccm->poison_taker.newest() != answer.order) return;
  (answer.obeyed ? own.poison_stopped : own.poison_cannot) = own.poison_known;
}

}  // namespace hapair::world
