#include "ccm/daemon/watchdog_keeper.h"

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "ccm/daemon/say.h"

namespace hapair::ccm {
namespace {

constexpr Duration kRetry = std::chrono::seconds(1);
constexpr Duration kAnswerPatience = std::chrono::milliseconds(250);  // then it is told, and waited for on

std::uint32_t whole_ms(Duration time) {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

std::string end_of(const WatchdogSelfLayout& self) { return std::string(end_by(static_cast<WatchdogKind>(self.kind))); }

std::string seconds_text(Duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count()) + " s";
}

}  // namespace

std::optional<WatchdogConfig> watchdog_to_hold(const std::optional<WatchdogConfig>& configured,
                                               const RunningWatchdog& running) {
  if (running.timeout_ms == 0) return configured;
  return WatchdogConfig{.device = std::string(name_in(running.device)),
                        .timeout = std::chrono::milliseconds(running.timeout_ms),
                        .pretimeout = std::chrono::milliseconds(running.pretimeout_ms),
                        .container_covers_pools = configured && configured->container_covers_pools};
}

WatchdogKeeper::WatchdogKeeper(const std::optional<WatchdogConfig>& config, Duration pace, Watchdog& device,
                               FedUntilTable table, RunningWatchdog& running, WatchdogGround ground, const Clock& clock)
    : config_(config),
      pace_(pace),
      device_(&device),
      running_(&running),
      ground_(ground),
      clock_(&clock),
      feed_(table) {
  if (!config_) return;
  put_name(self_.device, config_->device);
  self_.state = static_cast<std::uint8_t>(WatchdogState::absent);
  self_.wanted_ms = whole_ms(config_->timeout);
}

void WatchdogKeeper::turn() {
  if (!config_) return;
  show_first();
  const Instant now = clock_->now();
  if (starved_) return;
  tell_overdue(feed_.overdue(now));
  switch (feed_.at(now)) {
    case Feeding::no_device:
      if (asked_at_) return wait_for_answer(now);
      if (now >= next_try_) take_up(now);
      return;
    case Feeding::due:
      return feed(now);
    case Feeding::not_yet:
    case Feeding::overdue:
      return;
  }
}

// Before it is touched: from then on it may run.
void WatchdogKeeper::note_running() {
  put_name(running_->device, config_->device);
  running_->pretimeout_ms = whole_ms(config_->pretimeout);
  running_->timeout_ms = whole_ms(config_->timeout);
}

void WatchdogKeeper::show_first() {
  const auto first = feed_.first();
  self_.fed_until_ns = first ? first->until_ns : kSaysNothing;
  self_.fed_for = first ? first->name : ClientName{};
}

void WatchdogKeeper::tell_overdue(bool overdue) {
  if (overdue == told_overdue_) return;
  told_overdue_ = overdue;
  if (!held_) return;  // told where it is to be taken up
  const std::string device = "the watchdog " + config_->device;
  if (!overdue) return say(5, "ccmd: " + device + " is fed again: the client whose time had passed has said more");
  say(2, "ccmd: the time of client " + std::string(name_in(self_.fed_for)) + " has passed: " + device +
             " is not fed any more and " + end_of(self_) + " within " +
             seconds_text(std::chrono::milliseconds(self_.timeout_ms)) +
             ", unless that client says that it goes on or has stopped what it serves");
}

// Taking it up feeds it: after a client's time that would be a feed too many.
void WatchdogKeeper::take_up(Instant now) {
  next_try_ = now + kRetry;
  if (feed_.overdue(now)) return fail(WatchdogState::absent, {WatchdogProblem::time_has_passed, 0});
  if (!ground_.kept) return fail(WatchdogState::absent, {WatchdogProblem::not_kept, 0});
  ran_before_ = running_->timeout_ms != 0;
  note_running();
  const Watchdog::Answer answer = device_->hold(config_->timeout, config_->pretimeout, now);
  if (!answer) return cannot_hold(answer.error());
  if (*answer) return took_up(**answer, now);
  asked_at_ = now;
}

// It is asked once, however long its answer takes: a second wish behind the first would be one more to start it.
void WatchdogKeeper::wait_for_answer(Instant now) {
  const Instant asked = *asked_at_;
  const Watchdog::Answer answer = device_->look();
  if (answer && !*answer) {
    if (now - asked >= kAnswerPatience) fail(WatchdogState::absent, {WatchdogProblem::cannot_open, ETIMEDOUT});
    return;
  }
  asked_at_.reset();
  if (!answer) return cannot_hold(answer.error());
  took_up(**answer, asked);
}

void WatchdogKeeper::cannot_hold(const WatchdogFault& fault) {
  if (!ran_before_) running_->timeout_ms = 0;
  fail(WatchdogState::absent, fault);
}

void WatchdogKeeper::took_up(const Watchdog::Held& held, Instant decided) {
  held_ = true;
  told_.reset();
  feed_.device_is_held(held.timeout, decided);
  self_.timeout_ms = whole_ms(held.timeout);
  self_.pretimeout_ms = whole_ms(held.pretimeout);
  self_.cannot_stop = held.can_stop ? 0 : 1;
  self_.kind = static_cast<std::uint8_t>(held.kind);
  self_.fed_at_ns = ns_of(decided);
  say(5, "ccmd: the watchdog " + config_->device + " is held and fed; not fed, it " + end_of(self_) + " after " +
             seconds_text(held.timeout) + (held.can_stop ? "" : "; it cannot be stopped any more (nowayout)"));
  if (config_->pretimeout != held.pretimeout) {
    say(4, "ccmd: the watchdog " + config_->device + " has no pretimeout of " + seconds_text(config_->pretimeout) +
               " (it gives " + seconds_text(held.pretimeout) + "): nothing is told before its reset");
  }
  unfit_ = unfitness_of(held);
  succeed();
}

// A shorter time-out than was asked for is as good, as long as a loop that is merely late does not miss it.
WatchdogProblem WatchdogKeeper::unfitness_of(const Watchdog::Held& held) const {
  if (!held.resets) return WatchdogProblem::alarm_only;
  if (held.timeout > config_->timeout || held.timeout < kPacesPerWatchdogTimeout * pace_) {
    return WatchdogProblem::other_timeout;
  }
  if (!held.hardware) return WatchdogProblem::software;
  if (held.kind == WatchdogKind::container) {
    if (ground_.kernels_boot_id) return WatchdogProblem::hosts_boot_id;
    if (!config_->container_covers_pools) return WatchdogProblem::processes_only;
  }
  return held.outlives_holder ? WatchdogProblem::none : WatchdogProblem::ends_with_ccm;
}

void WatchdogKeeper::feed(Instant now) {
  const int error = device_->feed(now);
  const Instant after = clock_->now();
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(after - now).count();
  self_.slowest_feed_us = std::max(self_.slowest_feed_us, static_cast<std::uint32_t>(std::max<std::int64_t>(took, 0)));
  if (error != 0 && error != kFeedBeforeUnanswered) {  // tried again at the next beat
    fail(WatchdogState::unfit, {WatchdogProblem::feed_refused, error});
    if (error != ENODEV) return;
    device_->leave_running();
    feed_.device_is_lost();
    held_ = false;
    self_.timeout_ms = self_.pretimeout_ms = 0;
    self_.state = static_cast<std::uint8_t>(WatchdogState::absent);
    return;
  }
  feed_.fed(now);
  self_.fed_at_ns = ns_of(now);
  ++self_.feeds;
  if (error == kFeedBeforeUnanswered) return fail(WatchdogState::unfit, {WatchdogProblem::unanswered, 0});
  succeed();
}

// Told once, not at each try.
void WatchdogKeeper::fail(WatchdogState state, const WatchdogFault& fault) {
  self_.state = static_cast<std::uint8_t>(state);
  self_.problem = static_cast<std::uint8_t>(fault.problem);
  self_.error = fault.error;
  if (told_ == fault) return;
  told_ = fault;
  const bool tried_again = state == WatchdogState::absent || fault.problem == WatchdogProblem::feed_refused;
  say(4, "ccmd: this node is not guarded by a watchdog as configured: " + problem_of(self_) +
             (tried_again ? "; it is tried again by itself" : ""));
}

void WatchdogKeeper::succeed() {
  if (unfit_ != WatchdogProblem::none) return fail(WatchdogState::unfit, {unfit_, 0});
  self_.state = static_cast<std::uint8_t>(WatchdogState::armed);
  self_.problem = static_cast<std::uint8_t>(WatchdogProblem::none);
  self_.error = 0;
  if (!told_) return;
  told_.reset();
  say(5, "ccmd: the watchdog " + config_->device + " takes its feed again");
}

// The table is full only where every place has the time of a client: then this life of ccmd remembers it alone.
std::optional<Duration> WatchdogKeeper::starve() {
  if (!held_) return std::nullopt;
  starved_ = true;
  ClientName name{};
  put_name(name, kStarvedFor);
  (void)feed_.take(name, ns_of(clock_->now()));
  show_first();
  return reset_bound_of(std::chrono::milliseconds(self_.timeout_ms));
}

// The word to stop lies behind the wish to hold it. Whether it can be stopped is not known, so it stays noted: the next
// ccmd feeds it if it runs.
void WatchdogKeeper::end_unanswered() {
  asked_at_.reset();
  if (feed_.first()) return device_->leave_running();
  device_->stop();
  say(4, "ccmd ends, and the watchdog " + config_->device + " has not answered: it was asked to stop");
}

void WatchdogKeeper::end() {
  if (asked_at_) return end_unanswered();
  if (!held_) return;
  held_ = false;
  feed_.device_is_lost();
  const std::string device = "the watchdog " + config_->device;
  const std::string resets = " " + end_of(self_) + " in " + seconds_text(std::chrono::milliseconds(self_.timeout_ms)) +
                             " unless a ccmd is back by then";
  if (starved_) {
    say(0, "ccmd ends after its partner poisoned this node and its pools did not stop: " + device + " resets it");
    return device_->leave_running();
  }
  if (const auto first = feed_.first()) {
    say(4,
        "ccmd ends while client " + std::string(name_in(first->name)) + " wants this node watched: " + device + resets);
    return device_->leave_running();
  }
  if (self_.cannot_stop != 0) {
    say(4, "ccmd ends, and " + device + " cannot be stopped (nowayout): it" + resets);
    return device_->leave_running();
  }
  device_->stop();
  running_->timeout_ms = 0;
  say(5, "ccmd: " + device + " is stopped");
}

}  // namespace hapair::ccm
