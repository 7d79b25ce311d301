// Watchdog of a node that is a container: its process 1 (ccm/container, hapair-node-init) keeps the time, and ends with
// everything in the container where it is not fed. What that covers, and what not: ccm/container/node_init.h.
#pragma once

#include <string>

#include "ccm/base/fd.h"
#include "ccm/watchdog/watchdog.h"

namespace hapair::ccm {

class ContainerWatchdog final : public Watchdog {
 public:
  explicit ContainerWatchdog(std::string socket);

  // Waits for the answer at most kAnswerPatience.
  std::expected<Held, WatchdogFault> hold(Duration timeout, Duration pretimeout, Instant decided) override;
  int feed(Instant decided) override;
  void stop() override;
  // The time runs on; unlike a device's driver nobody feeds it on that occasion.
  void leave_running() override;

 private:
  std::string path_;
  Fd socket_;
};

inline constexpr Duration kAnswerPatience = std::chrono::milliseconds(250);

}  // namespace hapair::ccm
