// A queue from one thread to one other, without locks and without allocation.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

namespace hapair {

template <class T, std::size_t N>
class SpscRing {
 public:
  // The giving thread's. False: full, nothing was put.
  bool push(const T& item) {
    const std::size_t end = end_.load(std::memory_order_relaxed);
    if (end - begin_.load(std::memory_order_acquire) == N) return false;
    items_[end % N] = item;
    end_.store(end + 1, std::memory_order_release);
    return true;
  }
  // The taking thread's.
  bool pop(T& into) {
    const std::size_t begin = begin_.load(std::memory_order_relaxed);
    if (begin == end_.load(std::memory_order_acquire)) return false;
    into = items_[begin % N];
    begin_.store(begin + 1, std::memory_order_release);
    return true;
  }

 private:
  std::array<T, N> items_{};
  alignas(64) std::atomic<std::size_t> begin_ = 0;
  alignas(64) std::atomic<std::size_t> end_ = 0;
};

}  // namespace hapair
