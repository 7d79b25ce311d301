// Watchdog of a node that is a container: its process 1 (ccm/container, hapair-node-init) keeps the time, and ends with
// everything in the container where it is not fed. What that covers, and what not: ccm/container/node_init.h.
#pragma once

#include <cstdint>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/watchdog/watchdog.h"

namespace hapair::ccm {

class ContainerWatchdog final : public Watchdog {
 public:
  explicit ContainerWatchdog(std::string socket);

  // Never waits.
  Answer hold(Duration timeout, Duration pretimeout, Instant decided) override;
  Answer look() override;
  // Each feed is answered, by the time of the next: a process 1 that stands still would not end anything.
  int feed(Instant decided) override;
  void stop() override;
  // The time runs on; unlike a device's driver nobody feeds it on that occasion.
  void leave_running() override;

 private:
  // False: the connection is closed.
  bool read_answers();

  std::string path_;
  Fd socket_;
  std::int64_t unanswered_ns_ = 0;  // the time of the feed that was sent last; 0: it was answered
};

}  // namespace hapair::ccm
