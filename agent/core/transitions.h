// How one node sees one pool, and every way from one state to another, as data. The table is the design: the engine
// walks it, the operator reads its sentences in the log, and the same table prints as a diagram.
//
// A (state, event) pair is in the table or in the list of the ignored ones, each with its reason; one test proves it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace hapair::agent {

// Wire format (the partner reads it): values are never reused.
enum class PoolState : std::uint8_t {
  probing = 0,     // looks which resources run; left when every monitor has answered
  unsettled = 1,   // nothing runs here, and it is not known who may serve it; left when the partner's page tells
  asking = 2,      // asks the partner whether it neither has nor claims it; left by its answer
  elsewhere = 3,   // the partner's
  requesting = 4,  // asks the partner to release it; left by the release or at the bound
  claiming = 5,    // the claim is being made durable; of a partner that boots, until its next page proves that
  fencing = 6,     // the claim is durable; proof that the partner stopped is being sought
  acquiring = 7,   // permit in hand; the new epoch is being made durable
  starting = 8,
  serving = 9,
  stopping = 10,
  releasing = 11,  // everything is stopped; the release is being made durable
  released = 12,   // offered to the partner; left when it has it, or at the bound
  failed = 13,     // an operator is needed; still this node's if the record says so
};
inline constexpr std::uint8_t kPoolStates = 14;
std::string_view text_of(PoolState state);

enum class PoolEvent : std::uint8_t {
  all_running,  // of a probe
  some_running,
  none_running,
  partner_holds,     // the partner's page: it has the pool
  partner_vacant,    // the partner's page: it neither has nor offers it
  partner_released,  // the partner's page: stopped, and offered
  partner_wants,     // the partner's page: asks for it
  partner_answered,  // the partner's page: asked, and it neither has nor claims it
  partner_vetoes,    // the partner's page: asked to hand it over, and something there is against it
  superseded,        // the partner runs it at a higher epoch than this node's
  partner_down,      // the verdict has stood as long as the configuration asks, and allows a takeover
  partner_rebooted,  // it is seen in a later life of its kernel than the one in which it held the pool
  reboot_proved,     // and still, by a page that was read after the claim was durable
  poisoned,          // the partner has told this node to stop every pool (engine_poison.cc)
  partner_back,      // the verdict no longer carries the claim: the partner is back, or nobody can tell
  durable,           // what this pool waited for is on disk
  not_durable,       // and cannot be written
  fence_confirmed,
  fence_failed,  // this round; another will be tried
  fence_given_up,
  all_started,
  start_failed,
  all_stopped,
  stop_failed,
  resource_lost,
  lease_lost,     // the lease under which it runs here is over, or the partner's claim is decided
  lease_expired,  // the partner's must be over since this node's claim was decided
  bound_passed,   // this state has lasted as long as it may
  giveback_due,   // the home node was stable for long enough
  operator_takeover,
  operator_force,
  operator_giveback,
  cluster_order,    // of arbiter pacemaker: the cluster promoted it here (engine_cluster.cc)
  cluster_vouches,  // and its word is the proof that the partner, which is not heard, has stopped it
  cluster_demote,   // it runs here, or is asked for, and the cluster does not, or no longer, want it here
  shutdown,
};
inline constexpr std::uint8_t kPoolEvents = 36;
std::string_view text_of(PoolEvent event);

// A partner that is down is taken over from here without anybody asking for it.
inline bool takes_by_itself(PoolState state) { return state == PoolState::elsewhere || state == PoolState::released; }

// What must hold besides. Evaluated by the engine; the first row whose guard holds is taken.
enum class Guard : std::uint8_t {
  always,
  held_here,           // the record: this node's, not released, written in this life of the kernel
  offered_here,        // the record: released by this node, and so in this life of the kernel
  partners_by_record,  // the record: the partner's, as seen in this life of the kernel
  runs_above,          // the partner runs it, and its ownership is the newer one
  home_or_owner_here,  // at home here, or this node's by the record
  owner_here,          // this node's by the record
  may_take,            // this node can take a pool now: it does not leave, and did not fail with this one
  automatic_may_take,  // both
  partner_alive,
  hands_over,        // shutdown gives the pools away
  was_superseded,    // what is stopped was the partner's all along
  was_stray,         // what is stopped was never this node's
  was_poisoned,      // it is stopped because the partner told this node to
  by_partner,        // the fence was confirmed by the partner itself
  lease_awaited,     // nothing of it runs here, and it is started when there is a lease
  lease_may_return,  // its lease was over, and nobody's claim is known: it is still this node's
  give_back_home,    // what was not taken by the partner is this node's to serve again
  taker_is_deaf,     // it is stopped for the partner to have, and the two do not hear each other
  clusters_held,     // likewise as held here, and a cluster says which node serves it
  cluster_decides,   // a cluster says which node serves it
  clusters_to_give,  // the cluster decides, wants it elsewhere, and it is this node's by the record only
};
std::string_view text_of(Guard guard);

struct Transition {
  PoolState from;
  PoolEvent event;
  Guard guard;
  PoolState to;
  const char* sentence;  // what the operator reads
};
std::span<const Transition> transitions();

// Events that a state may meet and does nothing about.
struct Ignored {
  PoolState state;
  PoolEvent event;
  const char* why;
};
std::span<const Ignored> ignored_events();

// The table as a Mermaid state diagram.
std::string transitions_as_mermaid();

}  // namespace hapair::agent
