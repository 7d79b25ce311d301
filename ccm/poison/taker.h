// Poison, of the node that is told to stop: from the order to the answer. Pure; it goes on when the node's own agent is
// hung or dead.
//
// Why at no instant both nodes run a pool because of it:
//  - Whoever gives the order has made its claim durable, and has published it, before the order is written: a page that
//    the target reads after it has taken the order shows the claim, or what came after it.
//  - "stopped" is said by the target's agent alone, when no resource of any pool runs, its own claims are withdrawn,
//  and
//    its record on disk holds nothing: neither it nor an agent that comes after it starts anything on what it knew
//    before. What it starts later it starts by a permit that rests on pages which it read after the order.
//  - That answer names the order and counts only under the session's MAC, so it is of this life of the target's kernel
//    and CCM and of no earlier order. A CCM that restarts forgets the order and answers nothing.
//  - Where the agent does not say so within the bound, nothing is answered but "resetting" or "cannot", which prove
//    nothing: the reset does, when the partner sees the next life of the kernel.
//
// An order to reset (PoisonOrder::resets) is for a giver to whom it matters that the whole node is gone: it is reset at
// once, and never answers "stopped".
#pragma once

#include <cstdint>
#include <optional>

#include "ccm/base/time.h"
#include "ccm/wire/poison.h"

namespace hapair::ccm {

enum class PoisonReset : std::uint8_t {
  none,      // nothing: what does not stop is told
  watchdog,  // the hardware watchdog is not fed any more
  sysrq,     // the kernel is told to reset at once, or the watchdog is starved where it does not
};

struct PoisonSettings {
  Duration bound{};  // from the order: by then the agent has said that everything is stopped, or the node is reset
  PoisonReset reset = PoisonReset::none;
  Duration told{};  // of an order to reset: so long the answer that it is taken is left to be read
};

class PoisonTaker {
 public:
  explicit PoisonTaker(const PoisonSettings& settings) : settings_(settings) {}

  // An order that is authentic and newer than newest(). One that comes while another is under way takes its place, and
  // leaves it its time: whoever asks again and again is not to keep a node alive that cannot stop.
  // One that is withdrawn ends without having been obeyed, unless a reset is under way: that cannot be called back.
  void take(Instant now, const PoisonOrder& order);
  // The partner's CCM is another one than gave the order: nobody waits for the answer any more.
  void sees_giver(const Incarnation& ccm);
  // What the agent has said last: number() of the order that it has obeyed, and of that which it cannot obey.
  void agent_says(std::uint64_t stopped, std::uint64_t cannot);

  enum class Deed : std::uint8_t {
    none,
    starve_watchdog,  // never feed it again
    reset_by_sysrq,
  };
  // Asked at each beat; what it says is to be done at once, and its outcome told by the two below.
  Deed advance(Instant now);
  // The watchdog that is held resets the node within so much time; nothing: none is held.
  void starved(Instant now, std::optional<Duration> resets_within);
  void sysrq_failed(int error);

  [[nodiscard]] const PoisonOrder& newest() const { return order_; }
  // Counts the orders, from 1; 0: there was none.
  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] PoisonState state() const { return state_; }
  [[nodiscard]] Instant accepted_at() const { return accepted_at_; }
  // Of the newest: the whole node is to be reset; also once it is withdrawn, where that cannot be called back.
  [[nodiscard]] bool resets() const { return resets_; }
  // It has not been obeyed yet, and the agent is to.
  [[nodiscard]] bool stands() const { return state_ != PoisonState::none && state_ != PoisonState::stopped; }
  [[nodiscard]] PoisonAnswerLayout answer() const;

 private:
  void lapse();
  Deed reset();
  void fail(PoisonReason reason, int error);

  PoisonSettings settings_;
  PoisonOrder order_;
  bool resets_ = false;
  std::uint64_t number_ = 0;
  PoisonState state_ = PoisonState::none;
  PoisonReason reason_ = PoisonReason::none;
  int error_ = 0;
  Instant accepted_at_;
  Instant bound_at_;
  bool agent_cannot_ = false;
  std::optional<Instant> reset_by_;  // of a watchdog that is starved
};

}  // namespace hapair::ccm
