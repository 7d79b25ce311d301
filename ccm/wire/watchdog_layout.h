// What a node's own processes tell each other about the watchdog that guards it: until when a client wants it
// fed, and how the CCM, which holds it, stands with the device. Nothing of it goes to the partner.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "ccm/base/time.h"

namespace hapair::ccm {

using ClientName = std::array<char, 24>;  // zero-padded

// A time of CLOCK_BOOTTIME in nanoseconds, or one of these two.
inline constexpr std::int64_t kSaysNothing = 0;  // what an earlier life of the same client said stands
inline constexpr std::int64_t kFedFreely =
    std::numeric_limits<std::int64_t>::max();  // it has stopped all that it serves

// For how long a node may still run after the time T of one of its clients has passed and stands. With D, the device's
// own time-out (WDIOC_GETTIMEOUT):
//   the last feed that was decided on comes before T; the device resets the node D later: before T + D.
// Two things feed it once more, later than T, and neither can be undone from within the process:
//   - CCM is stopped (SIGSTOP, a frozen control group) between its look at the clock and its feed, and goes on: that is
//     before T + 3/4 D, else the node was reset, since the feed before was at least D/4 earlier; reset before T + 7/4
//     D;
//   - CCM dies while the device runs: the kernel, which closes the descriptor, feeds it once (watchdog_release() of
//     drivers/watchdog/watchdog_dev.c); that is before T + D, reset before T + 2 D. A CCM that comes after it finds T
//     passed in run_dir and does not take the device up.
// So T + 2 D, and a second for devices that count in ticks of their own. Not covered: both in one, a CCM that was
// stopped in that very instruction, goes on after T, feeds, and then dies within D. Nor a virtual machine that its
// hypervisor stops, and with it the watchdog that it emulates; nor a machine that is suspended, whose device stops with
// it and begins anew after it.
inline constexpr int kResetBoundInTimeouts = 2;
inline constexpr Duration kWatchdogGranularity = std::chrono::seconds(1);
constexpr Duration reset_bound_of(Duration device_timeout) {
  return kResetBoundInTimeouts * device_timeout + kWatchdogGranularity;
}

// A container's watchdog (ccm/container/node_init.h) keeps within the same bound: a feed counts from the decision on,
// and nobody feeds it when CCM dies, so its time is over before T + D. The D and the second that are left are for the
// kernel, which has to end the processes and to unmount what was mounted in the container alone.
enum class WatchdogKind : std::uint8_t {
  machine = 0,    // a device that resets the machine
  container = 1,  // process 1 of the node's container, which ends with all processes in it
};

enum class WatchdogState : std::uint8_t {
  none = 0,    // none is configured
  absent = 1,  // configured and not held; `problem` says why, and it is tried again every second
  armed = 2,   // held, and not feeding it resets this node within the bound of what is configured
  unfit = 3,   // held and fed, and not to be relied upon: `problem` says why
};
std::string_view text_of(WatchdogState state);

enum class WatchdogProblem : std::uint8_t {
  none = 0,
  cannot_open = 1,      // `error`
  no_watchdog = 2,      // the path is something else
  other_timeout = 3,    // the device did not take the time-out, and runs with `timeout_ms`
  alarm_only = 4,       // its driver tells someone instead of resetting
  ends_with_ccm = 5,    // its driver stops it when its holder dies: no magic close, and nowayout is off
  feed_refused = 6,     // `error`
  not_kept = 7,         // what clients want could not be kept in run_dir for a CCM that restarts
  time_has_passed = 8,  // of a client, before the device was held: holding it would feed it
  software = 9,         // softdog: it dies with the kernel
  processes_only = 10,  // a container's, and nobody promised that the pools end with its processes
  hosts_boot_id = 11,   // a container's, whose boot id is the host's and outlives it
  unanswered = 12,      // process 1 of the container has not said that it read the last feed
};

// In the place of a client whose time has passed: the watchdog is not fed any more, so that it resets a poisoned node.
// No client has a name with blanks, so none can take that back.
inline constexpr std::string_view kStarvedFor = "a poison of the partner";

struct WatchdogSelfLayout {
  std::array<char, 48> device;  // its path, cut where it is longer
  std::uint8_t state;           // WatchdogState
  std::uint8_t problem;         // WatchdogProblem
  std::uint8_t cannot_stop;     // 1: nowayout, it goes on when the CCM ends
  std::uint8_t kind;            // WatchdogKind, of one that is held
  std::int32_t error;           // errno of the problem
  std::uint32_t wanted_ms;      // the time-out of the configuration
  std::uint32_t timeout_ms;     // the device's own; 0: it is not held
  std::uint32_t pretimeout_ms;  // likewise; 0: none
  std::uint32_t slowest_feed_us;
  std::uint64_t feeds;
  std::int64_t fed_at_ns;     // CLOCK_BOOTTIME of the last; 0: none
  std::int64_t fed_until_ns;  // the earliest time of a client; kSaysNothing: fed as long as the CCM runs
  ClientName fed_for;         // that client
};
static_assert(sizeof(WatchdogSelfLayout) == 120);
static_assert(offsetof(WatchdogSelfLayout, error) == 52);
static_assert(offsetof(WatchdogSelfLayout, feeds) == 72);
static_assert(offsetof(WatchdogSelfLayout, fed_until_ns) == 88);

// "resets this node", "ends this container".
std::string_view end_by(WatchdogKind kind);
// What is wrong with it and what to do, as a sentence; empty where nothing is.
std::string problem_of(const WatchdogSelfLayout& watchdog);
// It is not fed any more: the time of a client has passed.
bool overdue(const WatchdogSelfLayout& watchdog, Instant now);

// The device that this node's CCM has started and not stopped since, as it is kept over the CCM's restarts: whatever
// the configuration says by then, it is this one that must be fed. Zero `timeout_ms`: none.
struct RunningWatchdog {
  std::array<char, 96> device;
  std::uint32_t timeout_ms;
  std::uint32_t pretimeout_ms;
};
static_assert(sizeof(RunningWatchdog) == 104);

// One client's wish, as it is kept over the CCM's own restarts (ccm/watchdog/fed_until_record.h). Free while
// `until_ns` is kSaysNothing.
struct FedUntilEntry {
  ClientName name;
  std::int64_t until_ns;
};
static_assert(sizeof(FedUntilEntry) == 32);

}  // namespace hapair::ccm
