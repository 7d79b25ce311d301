// Poison: a node tells its partner's CCM to stop every pool that runs there, and learns from it when that is true. What
// crosses the wire and what a node's own processes tell each other of it.
//
// The order is a record of the mailbox page (mailbox_page.h, slot 2), under the session's key. It names the two CCMs by
// their incarnations and this session's nonces, the life of the target's kernel, and a serial: one that is late,
// repeated, or for another life of the target changes nothing but a counter. One that the giver waits for no more is
// written again with the mark that it is withdrawn: else a node that was hung would stop everything for nobody.
//
// The answer is on the target's status page, in the part that seldom changes. It counts only from a page with the
// session's MAC, which covers it together with the incarnation and the boot id of whoever answers: so it has no MAC of
// its own. It names the order that it answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "ccm/base/ids.h"

namespace hapair::ccm {

// Of SessionBlockLayout::capabilities.
inline constexpr std::uint64_t kCapabilityPoison = 1;
inline constexpr std::uint64_t kCapabilityPoisonReset = 2;  // PoisonOrder::resets is understood

struct PoisonOrder {
  Incarnation from;          // of the CCM that gives it
  std::uint64_t serial = 0;  // 0: none was given
  bool withdrawn = false;    // nobody waits for it any more: what has not been done for it need not be done
  bool resets = false;       // the node is to be reset at once, whatever runs there: more hangs on it than pools
  bool operator==(const PoisonOrder&) const = default;
};

// What is to be written of this node's own order.
struct PoisonWrite {
  std::uint64_t serial = 0;
  bool withdrawn = false;
  bool resets = false;
  bool operator==(const PoisonWrite&) const = default;
};

// Of the number by which an agent asks for an order (PoisonSelfLayout::asked): the partner is to be reset.
inline constexpr std::uint64_t kPoisonResets = std::uint64_t{1} << 63;

// How far the target is. Wire format.
enum class PoisonState : std::uint8_t {
  none = 0,
  accepted = 1,   // taken; its agent is to stop the pools
  stopped = 2,    // nothing of any pool runs there, and nothing is started there without a proof that is newer
  resetting = 3,  // they did not stop in time: it resets itself, and only its next life shows that it did
  cannot = 4,     // they did not stop, and it cannot reset itself either: PoisonReason
};
inline constexpr std::uint8_t kPoisonStates = 5;
std::string_view text_of(PoisonState state);

// Why a target cannot. Wire format; what a later version adds is shown as unknown.
enum class PoisonReason : std::uint8_t {
  none = 0,
  no_reset = 1,         // ccm.poison.reset is "none"
  no_watchdog = 2,      // it holds no watchdog that could reset it
  watchdog_failed = 3,  // the watchdog was not fed any more, and did not reset it within its bound
  sysrq_failed = 4,     // the kernel did not take it; `error` is its errno
};
std::string_view text_of(PoisonReason reason);

struct PoisonAnswerLayout {
  std::uint64_t from_incarnation;  // of the order that is answered, as `serial`
  std::uint64_t serial;
  std::uint8_t state;   // PoisonState
  std::uint8_t reason;  // PoisonReason
  std::uint16_t zero_a;
  std::int32_t error;
  std::uint64_t zero_b;
  bool operator==(const PoisonAnswerLayout&) const = default;
};
static_assert(sizeof(PoisonAnswerLayout) == 32);
static_assert(offsetof(PoisonAnswerLayout, serial) == 8);
static_assert(offsetof(PoisonAnswerLayout, state) == 16);
static_assert(offsetof(PoisonAnswerLayout, error) == 20);

// How far this node's own order against its partner is, as its CCM tells the agent that wanted it.
enum class PoisonProgress : std::uint8_t {
  none = 0,
  written = 1,    // it is in the partner's mailbox, or on its way
  accepted = 2,   // PoisonState, as the next three
  resetting = 3,  // goes on until the partner is seen no more, or in another life
  stopped = 4,
  cannot = 5,
  no_rail = 6,    // no rail is connected, so nothing was written
  not_known = 7,  // the partner's CCM does not know poison, so nothing was written
  lost = 8,       // every rail was lost before there was an answer
  restarted = 9,  // the partner's CCM restarted before there was an answer
  rebooted = 10,  // the partner is in another life of its kernel
};
// Nothing more comes of that order.
bool is_final(PoisonProgress progress);

struct PoisonSelfLayout {
  // The partner's order against this node.
  std::uint64_t number;  // counts orders in this CCM's life, from 1; 0: there was none
  std::uint64_t from_incarnation;
  std::uint64_t serial;
  std::int64_t accepted_at_ns;  // CLOCK_BOOTTIME
  std::uint8_t state;           // PoisonState
  std::uint8_t reason;          // PoisonReason
  // This node's order against its partner.
  std::uint8_t progress;        // PoisonProgress
  std::uint8_t partner_reason;  // of `cannot`
  std::int32_t partner_error;
  std::uint64_t asked;  // the number by which the agent asked for what `progress` is about; 0: it asks for none
};
static_assert(sizeof(PoisonSelfLayout) == 48);
static_assert(offsetof(PoisonSelfLayout, state) == 32);
static_assert(offsetof(PoisonSelfLayout, asked) == 40);

}  // namespace hapair::ccm
