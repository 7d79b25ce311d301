// The seam to randomness: the real side is libsodium's generator, the simulator's side is its seed.
#pragma once

#include <cstddef>
#include <span>

namespace hapair {

class Random {
 public:
  virtual void fill(std::span<std::byte> bytes) = 0;

 protected:
  ~Random() = default;
};

}  // namespace hapair
