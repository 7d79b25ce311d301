#include "agent/shell/capture.h"

#include <algorithm>

namespace hapair::agent {

void Capture::add(std::string_view bytes) {
  const std::size_t to_head = std::min(bytes.size(), half_ - head_.size());
  head_ += bytes.substr(0, to_head);
  bytes.remove_prefix(to_head);
  if (bytes.size() > half_) {
    left_out_ += bytes.size() - half_;
    bytes.remove_prefix(bytes.size() - half_);
  }
  tail_ += bytes;
  if (tail_.size() > 2 * half_) {
    left_out_ += tail_.size() - half_;
    tail_.erase(0, tail_.size() - half_);
  }
}

std::string Capture::text() const {
  const std::size_t surplus = tail_.size() > half_ ? tail_.size() - half_ : 0;
  const std::size_t missing = left_out_ + surplus;
  if (missing == 0) return head_ + tail_;
  return head_ + "\n[" + std::to_string(missing) + " bytes left out]\n" + tail_.substr(surplus);
}

}  // namespace hapair::agent
