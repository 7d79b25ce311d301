// For what real processes, threads and disks do in their own time.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace hapair::ccm {

// True as soon as `condition` is; false after ten seconds.
inline bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace hapair::ccm
