// The time that a judge is told where its world leaps over quiet: it stands still during each leap, so that the judge
// sees one look after the other at the usual pace. What the judge says of times is told in the world's time again.
#pragma once

#include <algorithm>
#include <vector>

#include "ccm/base/time.h"
#include "heartbeat/sighting.h"
#include "heartbeat/verdict.h"

namespace hapair::world {

class LeapClock {
 public:
  // The last look before it was at `last_look`, in the world's time. What the judge then still names of the last
  // `round`, such as the beat that came last, would have come again and again during the leap, at last at its end.
  void leap(Instant last_look, Duration round, Duration length) {
    const Instant at = judge_time(last_look) - round;
    leapt_ += length;
    leaps_.push_back({at, leapt_});
  }
  [[nodiscard]] Instant judge_time(Instant world) const { return world - leapt_; }
  // Of what the judge names after the last leap: since each is leapt over quiet only, nothing that it remembers from
  // before one is as young as its last round.
  [[nodiscard]] Instant world_time(Instant judge) const {
    const auto after = std::ranges::lower_bound(leaps_, judge, {}, &Leap::at);
    return after == leaps_.begin() ? judge : judge + std::prev(after)->until_then;
  }
  [[nodiscard]] heartbeat::Assessment world_time(heartbeat::Assessment assessment) const {
    assessment.since = world_time(assessment.since);
    for (heartbeat::Evidence& each : assessment.because) each.when = world_time(each.when);
    return assessment;
  }
  [[nodiscard]] heartbeat::Sighting world_time(heartbeat::Sighting sighting) const {
    sighting.when = world_time(sighting.when);
    return sighting;
  }

 private:
  struct Leap {
    Instant at;           // in the judge's time
    Duration until_then;  // all leaps up to this one
  };
  std::vector<Leap> leaps_;
  Duration leapt_{};
};

}  // namespace hapair::world
