#include "ccm/poison/giver.h"

namespace hapair::ccm {

void PoisonGiver::ask(std::uint64_t number) {
  if (number == asked_) return;
  withdraw();
  asked_ = number;
  target_.reset();
  progress_ = PoisonProgress::none;
  partner_reason_ = 0;
  partner_error_ = 0;
  if (number != 0) ++serial_;
}

// Of another order nothing needs to be withdrawn: the target takes the newer one in its place.
void PoisonGiver::withdraw() {
  if (!target_ || progress_ == PoisonProgress::stopped) return;
  let_go_ = target_;
  let_go_serial_ = serial_;
  write_at_ = Instant();
}

std::optional<PoisonWrite> PoisonGiver::withdrawal(Instant now, bool connected) {
  if (!let_go_ || !connected || !sight_ || now < write_at_) return std::nullopt;
  const PoisonAnswerLayout& answer = sight_->answer;
  const bool ours = answer.from_incarnation == own_.value() && answer.serial == let_go_serial_;
  const bool done = ours && (answer.state == static_cast<std::uint8_t>(PoisonState::none) ||
                             answer.state == static_cast<std::uint8_t>(PoisonState::stopped) ||
                             answer.state == static_cast<std::uint8_t>(PoisonState::resetting));
  if (done || sight_->incarnation != let_go_->incarnation || sight_->boot_id != let_go_->boot_id) {
    let_go_.reset();
    return std::nullopt;
  }
  write_at_ = now + again_;
  return PoisonWrite{let_go_serial_, true};
}

void PoisonGiver::sees(const PoisonSight& sight) {
  sight_ = sight;
  if (!pending() || !target_) return;
  if (sight.boot_id != target_->boot_id) {
    progress_ = PoisonProgress::rebooted;
  } else if (sight.incarnation != target_->incarnation) {
    progress_ = PoisonProgress::restarted;
  } else if (sight.answer.from_incarnation == own_.value() && sight.answer.serial == serial_) {
    take_answer(sight.answer);
  }
}

// What a later version may say besides changes nothing.
void PoisonGiver::take_answer(const PoisonAnswerLayout& answer) {
  if (answer.state >= kPoisonStates) return;
  switch (static_cast<PoisonState>(answer.state)) {
    case PoisonState::none:
      return;
    case PoisonState::accepted:
      progress_ = PoisonProgress::accepted;
      return;
    case PoisonState::stopped:
      if (!resets()) progress_ = PoisonProgress::stopped;
      return;
    case PoisonState::resetting:
      progress_ = PoisonProgress::resetting;
      return;
    case PoisonState::cannot:
      progress_ = PoisonProgress::cannot;
      partner_reason_ = answer.reason;
      partner_error_ = answer.error;
      return;
  }
}

std::optional<PoisonWrite> PoisonGiver::advance(Instant now, bool connected) {
  if (!connected) sight_.reset();
  if (!pending()) return withdrawal(now, connected);
  const bool taken = progress_ == PoisonProgress::accepted || progress_ == PoisonProgress::resetting;
  if (!connected) {
    if (resets() && taken) return std::nullopt;  // as it should be: its next life is waited for
    progress_ = target_ ? PoisonProgress::lost : PoisonProgress::no_rail;
    return std::nullopt;
  }
  if (!sight_) return std::nullopt;  // its next page says whom the order is for
  const std::uint64_t needed = resets() ? kCapabilityPoison | kCapabilityPoisonReset : kCapabilityPoison;
  if ((sight_->capabilities & needed) != needed) {
    progress_ = PoisonProgress::not_known;
    return std::nullopt;
  }
  if (taken || (target_ && now < write_at_)) return std::nullopt;
  target_ = Target{sight_->incarnation, sight_->boot_id};
  let_go_.reset();
  write_at_ = now + again_;
  progress_ = PoisonProgress::written;
  return PoisonWrite{serial_, false, resets()};
}

}  // namespace hapair::ccm
