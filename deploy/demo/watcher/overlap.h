// Adds up how long more than one node held something of the same pool. Pure: it is told what was seen and when.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ccm/base/time.h"

namespace hapair::demo {

class Overlap {
 public:
  // `owners`: how many nodes hold something of the pool, seen at `now`. Two or more count from this sample until the
  // first one with fewer: what lies between two samples is held against the nodes.
  void sample(Instant now, std::size_t owners);

  // Up to `now`.
  [[nodiscard]] Duration two_owners(Instant now) const;
  // Each interval's begin and end; the last one may still be open: then its end is the last sample.
  struct Interval {
    Instant from;
    Instant to;
  };
  [[nodiscard]] const std::vector<Interval>& intervals() const { return intervals_; }

 private:
  bool open_ = false;
  std::vector<Interval> intervals_;
};

}  // namespace hapair::demo
