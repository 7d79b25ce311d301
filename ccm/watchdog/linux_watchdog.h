// Watchdog through Linux's API (Documentation/watchdog/watchdog-api.rst).
#pragma once

#include <string>

#include "ccm/base/fd.h"
#include "ccm/watchdog/watchdog.h"

namespace hapair::ccm {

class LinuxWatchdog final : public Watchdog {
 public:
  explicit LinuxWatchdog(std::string device);

  // A device answers at once.
  Answer hold(Duration timeout, Duration pretimeout, Instant decided) override;
  Answer look() override { return std::unexpected(WatchdogFault{WatchdogProblem::cannot_open, EBADF}); }
  int feed(Instant decided) override;
  void stop() override;
  void leave_running() override;

 private:
  [[nodiscard]] bool nowayout() const;

  std::string device_;
  Fd fd_;
};

}  // namespace hapair::ccm
