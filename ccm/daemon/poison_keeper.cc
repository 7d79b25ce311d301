#include "ccm/daemon/poison_keeper.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>

#include "ccm/daemon/say.h"

namespace hapair::ccm {
namespace {

constexpr int kToldInPaces = 10;   // the partner reads this node's page once in a pace
constexpr int kAgainInPaces = 10;  // until an order that shows no effect is written once more

std::string_view why_reset(bool ordered) {
  return ordered ? ", as it was ordered to" : ", for its agent has not said that everything is stopped";
}

std::string ms_text(Duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) + " ms";
}

}  // namespace

PoisonKeeper::PoisonKeeper(const PairConfig& config, const Clock& clock, Incarnation own, WatchdogKeeper& watchdog,
                           const SysrqTrigger& sysrq)
    : partner_(config.partner),
      bound_(config.poison.bound),
      clock_(&clock),
      watchdog_(&watchdog),
      sysrq_(&sysrq),
      taker_({config.poison.bound, config.poison.reset, kToldInPaces * config.pace}),
      giver_(own, kAgainInPaces * config.pace) {}

bool PoisonKeeper::turn(Instant now, std::span<Rail> rails, const PoisonWords& agent) {
  const PoisonAnswerLayout before = taker_.answer();
  taker_.agent_says(agent.stopped, agent.cannot);
  take_orders(now, rails);
  carry_out(now);
  giver_.ask(agent.asked);
  give_order(now, rails);
  if (taker_.answer() == before) return false;
  tell(before);
  return true;
}

// The time is that at which the mailbox was read, for this process may have stood since the turn began: a page that was
// asked for before says nothing of what the partner knew when it gave the order, and the agent's time begins now.
void PoisonKeeper::take_orders(Instant now, std::span<Rail> rails) {
  for (Rail& rail : rails) {
    if (const auto order = rail.take_poison(now, taker_.newest())) taker_.take(clock_->now(), *order);
  }
}

void PoisonKeeper::carry_out(Instant now) {
  switch (taker_.advance(now)) {
    case PoisonTaker::Deed::none:
      return;
    case PoisonTaker::Deed::reset_by_sysrq:
      say(0, "ccmd: " + partner_.text() + " poisoned this node" + std::string(why_reset(taker_.resets())) +
                 ": it is reset by sysrq now");
      taker_.sysrq_failed(sysrq_->reset());
      [[fallthrough]];
    case PoisonTaker::Deed::starve_watchdog:
      taker_.starved(now, watchdog_->starve());
      return;
  }
}

void PoisonKeeper::give_order(Instant now, std::span<Rail> rails) {
  for (Rail& rail : rails) {
    const auto sight = rail.take_poison_sight();
    if (!sight) continue;
    taker_.sees_giver(sight->incarnation);
    giver_.sees(*sight);
  }
  const auto order = giver_.advance(now, std::ranges::any_of(rails, &Rail::connected));
  if (!order) return;
  for (Rail& rail : rails) rail.give_poison(*order);
}

void PoisonKeeper::tell(const PoisonAnswerLayout& before) const {
  const PoisonAnswerLayout answer = taker_.answer();
  const std::string order =
      "ccmd: poison " + std::to_string(answer.serial) + " of " + partner_.text() + " against this node: ";
  switch (taker_.state()) {
    case PoisonState::none:
      return say(5, order + "it waits for no answer any more; what is stopped comes back by the usual proofs");
    case PoisonState::accepted:
      if (before.state == answer.state)
        return say(2, order + "takes the place of the one before, and leaves it its time");
      if (taker_.resets()) return say(0, order + "this node is to be reset");
      return say(2, order + "its agent is to stop every pool within " + ms_text(bound_));
    case PoisonState::stopped:
      return say(5, order + "obeyed, nothing of any pool runs here");
    case PoisonState::resetting:
      if (before.state == answer.state) return;
      return say(
          0, order + "the watchdog is not fed any more and resets this node" + std::string(why_reset(taker_.resets())));
    case PoisonState::cannot:
      return say(2, order + "this node cannot reset itself (" +
                        std::string(text_of(static_cast<PoisonReason>(answer.reason))) + ")" +
                        std::string(why_reset(taker_.resets())) +
                        ": it is not fenced. Stop its pools, or switch this node off");
  }
}

PoisonSelfLayout PoisonKeeper::self() const {
  const PoisonAnswerLayout answer = taker_.answer();
  PoisonSelfLayout self{};
  self.number = taker_.number();
  self.from_incarnation = answer.from_incarnation;
  self.serial = answer.serial;
  self.accepted_at_ns = ns_of(taker_.accepted_at());
  // Of an order to reset the agent is told once that is under way: one that cannot be obeyed leaves the pools alone.
  const bool told = !taker_.resets() || taker_.state() == PoisonState::resetting;
  self.state = told ? answer.state : static_cast<std::uint8_t>(PoisonState::none);
  self.reason = answer.reason;
  self.asked = giver_.asked();
  self.progress = static_cast<std::uint8_t>(giver_.progress());
  self.partner_reason = giver_.partner_reason();
  self.partner_error = giver_.partner_error();
  return self;
}

}  // namespace hapair::ccm
