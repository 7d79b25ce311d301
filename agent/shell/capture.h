// What a child wrote to one pipe: its first bytes and its last ones, however much there was.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace hapair::agent {

class Capture {
 public:
  explicit Capture(std::size_t max_bytes) : half_(max_bytes / 2) {}
  void add(std::string_view bytes);
  // Everything, or the first and the last half with a line between them that says how much is missing.
  [[nodiscard]] std::string text() const;

 private:
  std::size_t half_;
  std::string head_;
  std::string tail_;  // up to twice `half_`, so that it is seldom moved
  std::size_t left_out_ = 0;
};

}  // namespace hapair::agent
