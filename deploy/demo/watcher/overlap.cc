#include "deploy/demo/watcher/overlap.h"

namespace hapair::demo {

void Overlap::sample(Instant now, std::size_t owners) {
  if (open_) intervals_.back().to = now;
  if (owners >= 2 && !open_) intervals_.push_back({now, now});
  open_ = owners >= 2;
}

Duration Overlap::two_owners(Instant now) const {
  Duration sum{};
  for (const Interval& interval : intervals_) sum += interval.to - interval.from;
  if (open_) sum += now - intervals_.back().to;
  return sum;
}

}  // namespace hapair::demo
