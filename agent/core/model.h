// The words of the agent's thinking. No file descriptor, thread, clock or protobuf here or anywhere in agent/core.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/core/inhibition.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"

namespace hapair::agent {

// A pool and a resource by their places in the configuration.
using PoolIndex = std::size_t;
struct ResourceId {
  PoolIndex pool = 0;
  std::size_t resource = 0;
  auto operator<=>(const ResourceId&) const = default;
};

enum class ResourceAction : std::uint8_t { start, stop, monitor };
std::string_view text_of(ResourceAction action);

// What one action of a resource agent came to. The shell maps exit codes of OCF agents and systemd's answers to these.
enum class ActionOutcome : std::uint8_t {
  succeeded,    // started, stopped, or running
  not_running,  // of a monitor: cleanly stopped (OCF_NOT_RUNNING)
  failed,       // the agent says so; `reason` is its own sentence
  timed_out,    // the action was ended at its timeout; what it left behind is not known
};
std::string_view text_of(ActionOutcome outcome);
struct ActionResult {
  ActionOutcome outcome = ActionOutcome::failed;
  int code = 0;        // the agent's exit code, where there is one
  std::string reason;  // for the operator; empty on success
  Duration took{};
};

// A fence method's answer. Unknown is not confirmed.
enum class FenceResult : std::uint8_t { confirmed, failed, unknown };
std::string_view text_of(FenceResult result);
struct FenceReport {
  FenceResult result = FenceResult::unknown;
  std::string device;  // which one answered last
  std::string reason;  // empty where confirmed
  Duration took{};
  bool by_operator = false;  // `device` is who said so
  bool by_partner = false;   // confirmed by the partner itself: it lives, and has stopped every pool (poison)
};

// No pool comes to an epoch above it: there is room over it for what is added.
inline constexpr std::uint64_t kHighestKeptEpoch = std::uint64_t{1} << 62;
// A claim is at most so far above the highest epoch that its node knows of.
inline constexpr std::uint64_t kClaimReach = 3;

// What must survive a crash of this node, pool by pool. Written whole, before anything that rests on it is done.
struct PoolDurable {
  PoolName pool;
  Epoch epoch;            // the highest epoch known
  NodeName owner;         // who holds `epoch`; empty: nobody yet
  bool released = false;  // `owner` stopped the pool and offers it to its partner
  Epoch claim;            // this node's claim under way; 0: none
  // The life of the partner's kernel in which it holds the pool, or may have started it with this node's consent. Of
  // `owner` partner only; not known after this node's own kernel booted, until the partner's page tells it again.
  BootId partner_boot;
  bool held = false;  // acquired in the life of the kernel that `boot_id` names: its resources may run here
  // Written in an earlier life of this kernel, and whose the pool is was not seen since: the partner may have come to
  // it, or given it away, without this node.
  bool earlier_life = false;
  // Of `owner` this node: its partner may take the pool when this node's lease must have run out (lease.h), so nothing
  // of it runs here without one.
  bool leased = false;
  // Of `owner` partner, and while it lives as `partner_boot`: what `leased` is there. 0: it may serve without a lease.
  Epoch armed{};
  // Of `leased` and `armed`, as the owner told it: from a decided claim until its lease is over, and which mailbox
  // disks it looks at (mailbox_digest()).
  std::chrono::milliseconds lease_over{};
  std::uint64_t mailbox = 0;
  bool operator==(const PoolDurable&) const = default;
};
inline constexpr std::size_t kFencesKept = 16;
struct DurableState {
  BootId boot_id;  // of the life of the kernel in which this was written; in another life nothing is held
  std::vector<PoolDurable> pools;
  Inhibitions inhibitions{};
  std::vector<FenceStamp> fences{};  // oldest first, at most kFencesKept
  bool operator==(const DurableState&) const = default;
};

enum class Severity : std::uint8_t { info, notice, warning, error };
std::string_view text_of(Severity severity);

// One entry of the node's history: the same in the journal, the scenario files, `hapair events` and `hapair why`.
// `kind` is a stable word such as "verdict" or "takeover-started"; `text` says what happened, to what, why, and what to
// do. `decision` ties together what belongs to one decision; 0: to none.
struct Record {
  Instant when;
  Severity severity = Severity::info;
  std::string kind;
  PoolName pool;  // empty: not about one pool
  std::uint64_t decision = 0;
  std::string text;
  std::vector<std::pair<std::string, std::string>> fields;
};

}  // namespace hapair::agent
