// The two ends of the ring of observations: one writer (the CCM), any number of readers (its clients), no locks. A
// reader that is slower than the ring loses the oldest observations and knows how many.
#pragma once

#include <cstdint>

#include "ccm/wire/observation.h"

namespace hapair::ccm {

class ObservationWriter {
 public:
  // `ring` outlives this; it is zero before the first writer takes it.
  explicit ObservationWriter(ObservationRing& ring);
  // Gives the observation its serial and shows it.
  void write(ObservationLayout& observation);
  void write_self(const CcmSelfLayout& self);
  [[nodiscard]] std::uint64_t newest() const { return serial_; }  // 0: none yet

 private:
  ObservationRing* ring_;
  std::uint64_t serial_ = 0;
};

class ObservationReader {
 public:
  // Begins behind the newest observation: what was seen before this reader came is not news to it.
  explicit ObservationReader(ObservationRing& ring);
  bool next(ObservationLayout& into);
  [[nodiscard]] std::uint64_t missed() const { return missed_; }

 private:
  ObservationRing* ring_;
  std::uint64_t seen_ = 0;
  std::uint64_t missed_ = 0;
};

}  // namespace hapair::ccm
