// The seam to the watchdog: a timer outside of this process that resets the machine, or ends the container that is the
// node, where nobody has fed it for its time-out. The real sides are Linux's (linux_watchdog.h) and process 1 of a
// container (container_watchdog.h).
#pragma once

#include <cerrno>
#include <expected>
#include <optional>

#include "ccm/base/time.h"
#include "ccm/wire/watchdog_layout.h"

namespace hapair::ccm {

// Of a feed() that did its part: whoever keeps the time has not said that it read the one before.
inline constexpr int kFeedBeforeUnanswered = ETIMEDOUT;

struct WatchdogFault {
  WatchdogProblem problem = WatchdogProblem::none;
  int error = 0;  // errno

  bool operator==(const WatchdogFault&) const = default;
};

class Watchdog {
 public:
  struct Held {
    Duration timeout{};           // with which it runs; devices round, and may not take what they are given
    Duration pretimeout{};        // zero: none, or not supported
    bool can_stop = true;         // false: nowayout
    bool outlives_holder = true;  // false: it is stopped when the holder's descriptor is closed, however that happens
    bool resets = true;           // false: it only gives an alarm
    bool hardware = true;         // false: a timer of the kernel that it is to guard against
    WatchdogKind kind = WatchdogKind::machine;
  };
  // Nothing: it was asked, and has not answered yet.
  using Answer = std::expected<std::optional<Held>, WatchdogFault>;
  // Takes the device up and starts it, or goes on with one that runs. Either feeds it. `decided`: when the clock was
  // looked at; a container's that runs counts from then on, a device from when it is told.
  virtual Answer hold(Duration timeout, Duration pretimeout, Instant decided) = 0;
  // Looks whether what was not answered is by now.
  virtual Answer look() = 0;
  // Zero, or an errno; kFeedBeforeUnanswered: it was fed. Short: a register is written, except where a device is behind
  // a management controller (IPMI), whose answer the kernel waits for.
  virtual int feed(Instant decided) = 0;
  // Lets go of it and stops it, where it can be stopped.
  virtual void stop() = 0;
  // Lets go of it: it runs on, after one feed more by the kernel.
  virtual void leave_running() = 0;

 protected:
  ~Watchdog() = default;
};

}  // namespace hapair::ccm
