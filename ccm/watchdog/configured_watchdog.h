// The watchdog that the configuration names: what is found there when it is taken up says of which kind it is. A
// character device is the machine's (linux_watchdog.h), a socket a container's (container_watchdog.h).
#pragma once

#include <optional>
#include <string>

#include "ccm/watchdog/container_watchdog.h"
#include "ccm/watchdog/linux_watchdog.h"
#include "ccm/watchdog/watchdog.h"

namespace hapair::ccm {

class ConfiguredWatchdog final : public Watchdog {
 public:
  explicit ConfiguredWatchdog(const std::string& path);
  ConfiguredWatchdog(const ConfiguredWatchdog&) = delete;
  ConfiguredWatchdog& operator=(const ConfiguredWatchdog&) = delete;

  Answer hold(Duration timeout, Duration pretimeout, Instant decided) override;
  Answer look() override { return held_->look(); }
  int feed(Instant decided) override { return held_->feed(decided); }
  void stop() override { held_->stop(); }
  void leave_running() override { held_->leave_running(); }

 private:
  std::string path_;
  LinuxWatchdog linux_;
  ContainerWatchdog container_;
  Watchdog* held_ = &linux_;
};

// What is there now; nothing where there is neither kind.
std::optional<WatchdogKind> watchdog_kind_at(const std::string& path);

}  // namespace hapair::ccm
