// Tells a counter that moves from one that stands, by what its own arrivals have taught.
//
// The limit is Chen's NFD-E in spirit (Chen, Toueg, Aguilera: On the Quality of Service of Failure Detectors, IEEE
// Transactions on Computers 51(5), 2002): the expected arrival plus a margin that follows the measured jitter, here the
// mean plus six standard deviations of the last arrivals, between a configured floor and ceiling.
//
// What counts is *attested* silence: the time during which this node looked and saw nothing. A look that comes late
// (our own process was stopped, our CPU was stolen, our machine was suspended) attests only the time of two looks, so a
// node that was late itself does not hold that against its partner.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ccm/base/time.h"

namespace hapair::heartbeat {

struct DetectorLimits {
  Duration floor{};    // never suspect earlier; at least two looks
  Duration ceiling{};  // never wait longer, whatever the jitter was
  Duration look{};     // how often one looks
};

// What decided the limit that is in force.
enum class LimitReason : std::uint8_t { floor, learnt, ceiling, widened };
std::string_view text_of(LimitReason reason);

class Detector {
 public:
  explicit Detector(const DetectorLimits& limits) : limits_(limits) {}

  // One look at `now`: did the counter move since the last one? The first look only begins the watch.
  void look(Instant now, bool moved);
  // Begins anew, as after a restart of what is watched: nothing is held against it that was before.
  void reset();
  // From now on silence must last `factor` times the usual limit, up to the ceiling; 1 is the usual. Stays over a
  // reset.
  void widen(int factor) { factor_ = factor; }

  [[nodiscard]] bool silent() const { return watching_ && silence_ >= limit(); }
  // Attested silence as a share of the limit: 0 just moved, 1 suspected; the continuous value that a plot shows.
  [[nodiscard]] double suspicion() const;
  [[nodiscard]] Duration silence() const { return silence_; }
  // The one in force.
  [[nodiscard]] Duration limit() const;
  [[nodiscard]] LimitReason limit_reason() const;
  [[nodiscard]] Duration mean_arrival() const { return mean_; }
  [[nodiscard]] std::size_t arrivals() const { return count_; }
  // When the counter was last seen to move; the watch's begin before that.
  [[nodiscard]] Instant last_moved() const { return last_moved_; }
  // Looks that came so late that their time was not held against what is watched.
  [[nodiscard]] std::size_t forgiven() const { return forgiven_; }

 private:
  static constexpr std::size_t kWindow = 64;

  void learn(Duration arrival);

  DetectorLimits limits_;
  bool watching_ = false;
  Instant last_look_;
  Instant last_moved_;
  Duration silence_{};
  Duration limit_ = limits_.floor;
  int factor_ = 1;
  Duration mean_{};
  std::array<Duration, kWindow> window_{};
  std::size_t count_ = 0;  // arrivals learnt, at most kWindow
  std::size_t next_ = 0;
  std::size_t forgiven_ = 0;
};

}  // namespace hapair::heartbeat
