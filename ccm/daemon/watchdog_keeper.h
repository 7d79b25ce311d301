// Holds the node's watchdog: takes the device up, feeds it from the CCM's loop while WatchdogFeed says so, and tells
// what is wrong with it. Whatever the device does, ccmd goes on. Real-time but for taking a machine's device up, once a
// second while it cannot be had; a container's is asked, and its answer looked for at later turns.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ccm/base/time.h"
#include "ccm/config/pair_config.h"
#include "ccm/daemon/client_registry.h"
#include "ccm/watchdog/feed.h"
#include "ccm/watchdog/watchdog.h"

namespace hapair::ccm {

// Which watchdog this ccmd is to hold: the configured one, unless another, or this one with another time-out, was
// started in this boot and not stopped since. What is promised of a container's pools is what the configuration says.
std::optional<WatchdogConfig> watchdog_to_hold(const std::optional<WatchdogConfig>& configured,
                                               const RunningWatchdog& running);

struct WatchdogGround {
  bool kept = true;              // what clients want, and which watchdog runs, outlive this process
  bool kernels_boot_id = false;  // this node's boot id is that of the kernel under it
};

class WatchdogKeeper final : public FedUntilTaker {
 public:
  // `config` empty: there is none to hold, and what clients want of it only is taken down. What is referred to outlives
  // this.
  WatchdogKeeper(const std::optional<WatchdogConfig>& config, Duration pace, Watchdog& device, FedUntilTable table,
                 RunningWatchdog& running, WatchdogGround ground, const Clock& clock);

  bool take(const ClientName& name, std::int64_t until_ns) override { return feed_.take(name, until_ns); }
  [[nodiscard]] std::int64_t standing(const ClientName& name) const override { return feed_.standing(name); }
  // One beat of the loop, after what the clients say was taken.
  void turn();
  // It is never fed again in this life of the kernel, also not by a ccmd that comes after this one. Within how much
  // time it resets the node; nothing: none is held.
  std::optional<Duration> starve();
  // ccmd ends as asked: the device is stopped, unless a client still has a time.
  void end();

  [[nodiscard]] const WatchdogSelfLayout& self() const { return self_; }

 private:
  void end_unanswered();
  void note_running();
  void show_first();
  void tell_overdue(bool overdue);
  void take_up(Instant now);
  void wait_for_answer(Instant now);
  void cannot_hold(const WatchdogFault& fault);
  void took_up(const Watchdog::Held& held, Instant decided);
  void feed(Instant now);
  [[nodiscard]] WatchdogProblem unfitness_of(const Watchdog::Held& held) const;
  void fail(WatchdogState state, const WatchdogFault& fault);
  void succeed();

  std::optional<WatchdogConfig> config_;
  Duration pace_;
  Watchdog* device_;
  RunningWatchdog* running_;
  WatchdogGround ground_;
  const Clock* clock_;
  WatchdogFeed feed_;
  WatchdogSelfLayout self_{};
  Instant next_try_;
  WatchdogProblem unfit_ = WatchdogProblem::none;  // of the device that is held
  std::optional<WatchdogFault> told_;              // the fault that was told last
  bool held_ = false;
  bool starved_ = false;
  std::optional<Instant> asked_at_;  // to hold it, and not answered
  bool ran_before_ = false;          // it ran when it was asked
  bool told_overdue_ = false;
};

}  // namespace hapair::ccm
