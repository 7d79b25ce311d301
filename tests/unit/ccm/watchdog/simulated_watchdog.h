// A watchdog that counts on a clock of the test's, and what becomes of the node.
#pragma once

#include <functional>
#include <optional>

#include "ccm/watchdog/watchdog.h"

namespace hapair::ccm {

class TestClock final : public Clock {
 public:
  explicit TestClock(Instant now) : now_(now) {}
  [[nodiscard]] Instant now() const override { return now_; }
  [[nodiscard]] std::int64_t wall_us() const override { return 0; }
  void advance(Duration by) { now_ += by; }

 private:
  Instant now_;
};

class SimulatedWatchdog final : public Watchdog {
 public:
  explicit SimulatedWatchdog(TestClock& clock) : clock_(&clock) {}

  // How the device is.
  std::optional<WatchdogFault> fault;  // of its being taken up
  std::optional<Duration> timeout;     // it takes no other
  bool can_stop = true;
  bool outlives_holder = true;
  bool resets = true;
  bool hardware = true;
  WatchdogKind kind = WatchdogKind::machine;
  bool silent = false;  // it does not answer who wants to hold it
  int feed_error = 0;
  std::function<void()> before_feed;  // what happens to the process between its decision and the call

  Answer hold(Duration wanted, Duration pretimeout, Instant /*decided*/) override {
    ++holds;
    if (fault) return std::unexpected(*fault);
    if (silent) {
      wanted_ = wanted;
      return std::nullopt;
    }
    note_reset();  // of one that runs
    runs_with_ = timeout.value_or(wanted);
    fed_at_ = clock_->now();
    ++feeds;
    held = true;
    return Held{.timeout = *runs_with_,
                .pretimeout = pretimeout,
                .can_stop = can_stop,
                .outlives_holder = outlives_holder,
                .resets = resets,
                .hardware = hardware,
                .kind = kind};
  }
  Answer look() override {
    if (silent) return std::nullopt;
    return hold(wanted_, {}, {});
  }
  int feed(Instant /*decided*/) override {
    if (before_feed) before_feed();
    if (feed_error == 0 || feed_error == kFeedBeforeUnanswered) take_feed();
    return feed_error;
  }
  void stop() override {
    ++stops;
    held = false;
    if (can_stop) runs_with_.reset();
  }
  // Also what the kernel does when its holder dies: it feeds it once.
  void leave_running() override {
    held = false;
    if (runs_with_) take_feed();
    if (!outlives_holder) runs_with_.reset();
  }

  // When this node is reset if nobody feeds it any more.
  [[nodiscard]] std::optional<Instant> resets_at() const {
    if (reset_at_) return reset_at_;
    if (!runs_with_) return std::nullopt;
    return fed_at_ + *runs_with_;
  }
  [[nodiscard]] bool node_was_reset() {
    note_reset();
    return reset_at_.has_value();
  }

  bool held = false;
  int holds = 0;
  int stops = 0;
  int feeds = 0;

 private:
  void note_reset() {
    if (!reset_at_ && runs_with_ && clock_->now() >= fed_at_ + *runs_with_) reset_at_ = fed_at_ + *runs_with_;
  }
  void take_feed() {
    note_reset();  // who is late finds the node reset already
    fed_at_ = clock_->now();
    ++feeds;
  }

  TestClock* clock_;
  Duration wanted_{};
  std::optional<Duration> runs_with_;
  Instant fed_at_;
  std::optional<Instant> reset_at_;
};

}  // namespace hapair::ccm
