// The time of a container's watchdog: from when on the container has to end. Pure.
#pragma once

#include <optional>

#include "ccm/base/time.h"

namespace hapair::ccm {

class ContainerTimer {
 public:
  // `nowayout`: once started it cannot be stopped.
  explicit ContainerTimer(bool nowayout) : nowayout_(nowayout) {}

  // Starts it, from now on however long ago that was wished, or goes on with another time-out, fed at `fed_at`. Once it
  // has run out neither this nor anything else changes that.
  void start(Duration timeout, Instant fed_at, Instant now);
  // Decided at `at`. No feed is of the future, and an older one takes nothing back.
  void feed(Instant at, Instant now);
  // False where it cannot be stopped, and runs on.
  bool stop(Instant now);

  [[nodiscard]] std::optional<Instant> ends_at() const;
  [[nodiscard]] bool over(Instant now) const { return ends_at() && now >= *ends_at(); }
  [[nodiscard]] bool can_stop() const { return !nowayout_; }

 private:
  struct Running {
    Duration timeout{};
    Instant fed_at;
  };

  bool nowayout_;
  std::optional<Running> running_;
};

}  // namespace hapair::ccm
