// A queue of at most N that never allocates.
#pragma once

#include <array>
#include <cstddef>

#include "ccm/base/check.h"

namespace hapair {

template <class T, std::size_t N>
class FixedRing {
 public:
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] bool full() const { return count_ == N; }
  [[nodiscard]] std::size_t size() const { return count_; }
  T& front() { return items_[first_]; }
  T& at(std::size_t i) { return items_[(first_ + i) % N]; }
  void push(const T& item) {
    HAPAIR_CHECK(count_ < N, "a ring takes no more than it holds");
    items_[(first_ + count_++) % N] = item;
  }
  void pop() {
    HAPAIR_CHECK(count_ > 0, "a ring gives what it has");
    first_ = (first_ + 1) % N;
    --count_;
  }
  void clear() { first_ = count_ = 0; }

 private:
  std::array<T, N> items_{};
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace hapair
