// A list of at most N items that never allocates.
#pragma once

#include <array>
#include <cstddef>

#include "ccm/base/check.h"

namespace hapair {

template <class T, std::size_t N>
class FixedList {
 public:
  void push(const T& item) {
    HAPAIR_CHECK(count_ < N, "a list takes no more than it holds");
    items_[count_++] = item;
  }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] const T& operator[](std::size_t i) const { return items_[i]; }
  [[nodiscard]] const T* begin() const { return items_.data(); }
  [[nodiscard]] const T* end() const { return items_.data() + count_; }

 private:
  std::array<T, N> items_{};
  std::size_t count_ = 0;
};

}  // namespace hapair
