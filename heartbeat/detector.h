// Tells a counter that moves from one that stands, by what its own arrivals have taught.
//
// The limit is the mean of the last arrivals and six of their standard deviations, between a configured floor and
// ceiling: phi accrual (Hayashibara, Defago, Yared, Katayama: The phi Accrual Failure Detector, SRDS 2004) at phi 9
// under its normal distribution. Chen's NFD-E (Chen, Toueg, Aguilera: On the Quality of Service of Failure Detectors,
// IEEE Transactions on Computers 51(5), 2002) has a constant margin after the expected arrival instead. What decided,
// by tests/bench/detector-choice (what a real pair's CCM saw at 10 ms over a rail of iWARP for 20 s under each load,
// the partner alive; wrong suspicions, and in brackets the mean patience in ms):
//   load       fixed 30 ms   NFD-E, margin 20 ms   phi 8         this, floor 30 ms
//   idle        0 (30)        0 (30)                16 (12)       0 (30)
//   processor   0 (30)        0 (30)                14 (11)       0 (30)
//   memory      6 (30)       15 (28)                21 (13)       0 (30)
//   io          1 (30)        2 (30)                19 (16)       0 (30)
//   loss 1 %    3 (30)       10 (29)                24 (23)       3 (40)
//   loss 10 %  96 (30)       99 (32)                15 (156)      1 (285)
//   loss 30 %  31 (30)       31 (37)                 0 (1213)     5 (491)
//   jitter      9 (30)       88 (30)                 0 (46)       0 (47)
// Without a floor phi accrual takes a regular partner's least delay for death; NFD-E does not learn how irregular one
// is, and expects beats at the pace's grid, which a stalled partner leaves; attested silence is what memory pressure
// needs.
//
// What counts is *attested* silence: the time during which this node looked and saw nothing. A look that comes late
// (our own process was stopped, our CPU was stolen, our machine was suspended) attests only the time of two looks, so a
// node that was late itself does not hold that against its partner.
//
// Damping of what flaps: a silence that was longer than the usual limit, and ended below the ceiling, was no death.
// After the third within a minute the limit is half as long again as the longest of them, up to the ceiling, until a
// minute has passed without one.
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
enum class LimitReason : std::uint8_t { floor, learnt, ceiling, widened, flapped };
std::string_view text_of(LimitReason reason);

class Detector {
 public:
  explicit Detector(const DetectorLimits& limits) : limits_(limits) {}

  // One look at `now`: did the counter move since the last one? The first look only begins the watch. What is told
  // late, of before the last look, adds no silence.
  void look(Instant now, bool moved);
  // Begins anew, as after a restart of what is watched: nothing is held against it that was before.
  void reset();
  // The same, and by other limits from now on.
  void begin(const DetectorLimits& limits);
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
  void note_flap(Instant now, Duration silence);
  [[nodiscard]] Duration undamped_limit() const;

  DetectorLimits limits_;
  bool watching_ = false;
  Instant last_look_;
  Instant last_moved_;
  Duration silence_{};
  Duration limit_ = limits_.floor;
  int factor_ = 1;
  // Silences that were no death, each within a minute of the one before.
  int flaps_ = 0;
  Duration longest_flap_{};
  Instant last_flap_;
  Duration mean_{};
  std::array<Duration, kWindow> window_{};
  std::size_t count_ = 0;  // arrivals learnt, at most kWindow
  std::size_t next_ = 0;
  std::size_t forgiven_ = 0;
};

}  // namespace hapair::heartbeat
