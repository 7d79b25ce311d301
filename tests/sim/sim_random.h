// Chance from a seed, the same on every machine (SplitMix64, of Steele, Lea and Flood 2014).
#pragma once

#include <cstdint>

#include "ccm/base/random.h"
#include "ccm/base/time.h"

namespace hapair::sim {

class SimRandom final : public Random {
 public:
  explicit SimRandom(std::uint64_t seed) : state_(seed) {}
  void fill(std::span<std::byte> bytes) override;
  std::uint64_t next();
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  [[nodiscard]] bool one_in(std::uint64_t n) { return below(n) == 0; }
  [[nodiscard]] bool per_mille(unsigned chance) { return below(1000) < chance; }
  [[nodiscard]] Duration between(Duration least, Duration most);

 private:
  std::uint64_t state_;
};

}  // namespace hapair::sim
