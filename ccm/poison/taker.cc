#include "ccm/poison/taker.h"

#include <algorithm>

#include "ccm/base/check.h"

namespace hapair::ccm {

void PoisonTaker::take(Instant now, const PoisonOrder& order) {
  HAPAIR_CHECK(order.serial != 0, "a record without a serial is none");
  if (order.withdrawn) {
    const bool same = order_.from == order.from && order_.serial == order.serial;
    lapse();
    if (!same && state_ == PoisonState::stopped) state_ = PoisonState::none;
    if (!same) resets_ = false;
    order_ = order;
    return;
  }
  const bool under_way = state_ == PoisonState::accepted || state_ == PoisonState::resetting;
  order_ = order;
  resets_ = order.resets;
  ++number_;
  accepted_at_ = now;
  agent_cannot_ = false;
  if (order.resets && under_way) bound_at_ = std::min(bound_at_, now + settings_.told);
  if (under_way) return;
  state_ = PoisonState::accepted;
  reason_ = PoisonReason::none;
  error_ = 0;
  bound_at_ = now + (order.resets ? settings_.told : settings_.bound);
}

void PoisonTaker::sees_giver(const Incarnation& ccm) {
  if (stands() && ccm != order_.from) lapse();
}

void PoisonTaker::lapse() {
  if (state_ != PoisonState::accepted && state_ != PoisonState::cannot) return;
  state_ = PoisonState::none;
  reason_ = PoisonReason::none;
  error_ = 0;
  agent_cannot_ = false;
}

void PoisonTaker::agent_says(std::uint64_t stopped, std::uint64_t cannot) {
  if (!stands() || resets_) return;  // that nothing of a pool runs is not what was ordered
  if (stopped == number_) {
    state_ = PoisonState::stopped;
    reason_ = PoisonReason::none;
    error_ = 0;
    return;
  }
  agent_cannot_ = cannot == number_;
}

PoisonTaker::Deed PoisonTaker::advance(Instant now) {
  switch (state_) {
    case PoisonState::none:
    case PoisonState::stopped:
    case PoisonState::cannot:
      return Deed::none;
    case PoisonState::accepted:
      return agent_cannot_ || now >= bound_at_ ? reset() : Deed::none;
    case PoisonState::resetting:
      if (reset_by_ && now >= *reset_by_) fail(PoisonReason::watchdog_failed, 0);
      return Deed::none;
  }
  return Deed::none;
}

PoisonTaker::Deed PoisonTaker::reset() {
  switch (settings_.reset) {
    case PoisonReset::none:
      fail(PoisonReason::no_reset, 0);
      return Deed::none;
    case PoisonReset::watchdog:
      state_ = PoisonState::resetting;
      return Deed::starve_watchdog;
    case PoisonReset::sysrq:
      state_ = PoisonState::resetting;
      return Deed::reset_by_sysrq;
  }
  return Deed::none;
}

void PoisonTaker::starved(Instant now, std::optional<Duration> resets_within) {
  if (!resets_within) return fail(error_ != 0 ? PoisonReason::sysrq_failed : PoisonReason::no_watchdog, error_);
  reset_by_ = now + *resets_within;
}

// What is left is the watchdog, which is starved next.
void PoisonTaker::sysrq_failed(int error) { error_ = error; }

void PoisonTaker::fail(PoisonReason reason, int error) {
  state_ = PoisonState::cannot;
  reason_ = reason;
  error_ = error;
  reset_by_.reset();
  if (order_.withdrawn) lapse();
}

PoisonAnswerLayout PoisonTaker::answer() const {
  PoisonAnswerLayout answer{};
  answer.from_incarnation = order_.from.value();
  answer.serial = order_.serial;
  answer.state = static_cast<std::uint8_t>(state_);
  answer.reason = static_cast<std::uint8_t>(reason_);
  answer.error = error_;
  return answer;
}

}  // namespace hapair::ccm
