// When the CCM beats. Beats fall on a grid of the pace; what both nodes do alike at the same moment wakes each of them
// less often, so a node whose beat would come a little after its partner's look beats with it. The later of the two
// follows, and is drawn towards the earlier until it is near enough; the earlier keeps its own grid. Pure.
#pragma once

#include "ccm/base/time.h"

namespace hapair::ccm {

class BeatGrid {
 public:
  // The first beat is due at `first`; `pace` is above zero.
  BeatGrid(Instant first, Duration pace) : pace_(pace), next_(first) {}

  // True once for each beat: it is due at `now`. Beats that were missed while this process did not run are not made up
  // for.
  bool take(Instant now);
  // The partner reads this node's page at `now`, as well as can be told: a beat that is near may come with it. However
  // often this is called, beats come at most four thirds as often as the pace has them.
  void partner_looks(Instant now);

  [[nodiscard]] Instant next() const { return next_; }
  // How far behind its time the last beat came; zero for one that came with the partner's look.
  [[nodiscard]] Duration late() const { return late_; }

 private:
  Duration pace_;
  Instant next_;
  Duration late_{};
  bool together_ = false;  // the next beat comes with the partner's look
  bool drawn_ = false;     // since the last beat
};

}  // namespace hapair::ccm
