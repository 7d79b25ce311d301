#include "ccm/watchdog/configured_watchdog.h"

#include <sys/stat.h>

namespace hapair::ccm {

std::optional<WatchdogKind> watchdog_kind_at(const std::string& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return std::nullopt;
  if (S_ISCHR(st.st_mode)) return WatchdogKind::machine;
  if (S_ISSOCK(st.st_mode)) return WatchdogKind::container;
  return std::nullopt;
}

ConfiguredWatchdog::ConfiguredWatchdog(const std::string& path) : path_(path), linux_(path), container_(path) {}

Watchdog::Answer ConfiguredWatchdog::hold(Duration timeout, Duration pretimeout, Instant decided) {
  if (watchdog_kind_at(path_) == WatchdogKind::container) {
    held_ = &container_;
  } else {
    held_ = &linux_;  // which says what is wrong with anything else
  }
  return held_->hold(timeout, pretimeout, decided);
}

}  // namespace hapair::ccm
