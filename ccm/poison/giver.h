// Poison, of the node that gives the order: from the agent's wish to what became of it. Pure.
//
// An order is for the partner's CCM as it was seen when the order was first written. It ends with the answer, or with
// anything by which the answer could not be told any more: another incarnation, another boot id, every rail lost. None
// of these proves that the partner has stopped; another boot id is a proof by itself (TakeoverPermit::from_reboot).
#pragma once

#include <cstdint>
#include <optional>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/poison.h"

namespace hapair::ccm {

// Of a page of the partner's with the session's MAC.
struct PoisonSight {
  Incarnation incarnation;
  BootId boot_id;
  std::uint64_t capabilities = 0;
  PoisonAnswerLayout answer{};
};

class PoisonGiver {
 public:
  // `again`: an order that is not accepted yet is written once more after so long; what was written just when a session
  // ended is gone.
  PoisonGiver(Incarnation own, Duration again) : own_(own), again_(again) {}

  // What the agent wants, as often as it is looked at: another number is another order, 0 is none any more. With
  // kPoisonResets in it the partner is to be reset.
  void ask(std::uint64_t number);
  void sees(const PoisonSight& sight);
  // `connected`: a session over any rail stands. What is to be written now over each of them: the order, or, when
  // nobody waits for it any more and the target may still act upon it, that it is withdrawn.
  std::optional<PoisonWrite> advance(Instant now, bool connected);

  [[nodiscard]] std::uint64_t asked() const { return asked_; }
  [[nodiscard]] PoisonProgress progress() const { return progress_; }
  // Of `cannot`.
  [[nodiscard]] std::uint8_t partner_reason() const { return partner_reason_; }
  [[nodiscard]] std::int32_t partner_error() const { return partner_error_; }
  // There is more to come of it.
  [[nodiscard]] bool pending() const { return asked_ != 0 && !is_final(progress_); }

 private:
  struct Target {
    Incarnation incarnation;
    BootId boot_id;
  };
  [[nodiscard]] bool resets() const { return (asked_ & kPoisonResets) != 0; }
  void take_answer(const PoisonAnswerLayout& answer);
  void withdraw();
  std::optional<PoisonWrite> withdrawal(Instant now, bool connected);

  Incarnation own_;
  Duration again_;
  std::uint64_t asked_ = 0;
  std::uint64_t serial_ = 0;      // of the last order
  std::optional<Target> target_;  // once it was written
  std::optional<Target> let_go_;  // of the order that was withdrawn, until it is seen to know
  std::uint64_t let_go_serial_ = 0;
  Instant write_at_;
  PoisonProgress progress_ = PoisonProgress::none;
  std::uint8_t partner_reason_ = 0;
  std::int32_t partner_error_ = 0;
  std::optional<PoisonSight> sight_;  // of the session that stands
};

}  // namespace hapair::ccm
