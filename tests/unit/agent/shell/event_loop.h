// An sd-event loop that runs until something has happened.
#pragma once

#include <gtest/gtest.h>
#include <systemd/sd-event.h>

#include <cstdlib>
#include <functional>

#include "ccm/base/time.h"

namespace hapair::test {

class EventLoop {
 public:
  EventLoop() {
    if (sd_event_new(&loop_) < 0) std::abort();
  }
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop() { sd_event_unref(loop_); }

  [[nodiscard]] sd_event* get() const { return loop_; }

  // False where `condition` did not come true within `limit`; generous, since it only bounds a failing test.
  bool run_until(const std::function<bool()>& condition, Duration limit = std::chrono::seconds(20)) {
    const SystemClock clock;
    const Instant end = clock.now() + limit;
    while (!condition()) {
      if (clock.now() >= end) return false;
      if (sd_event_run(loop_, 20'000) < 0) return false;
    }
    return true;
  }

 private:
  sd_event* loop_ = nullptr;
};

}  // namespace hapair::test
