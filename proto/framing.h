// How messages lie on the control socket: each behind its length as four little-endian bytes.
#pragma once

#include <google/protobuf/message_lite.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace hapair::control {

inline constexpr std::uint32_t kControlProtocol = 1;
inline constexpr std::size_t kMaxRequestBytes = 1U << 20;
inline constexpr std::size_t kMaxReplyBytes = 64U << 20;  // what a client accepts from its agent

std::string framed(const google::protobuf::MessageLite& message);

// Cuts a stream of bytes into messages. What it is given is not trusted.
class FrameReader {
 public:
  explicit FrameReader(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  void add(std::string_view bytes);
  // The next whole message; nothing while it is not whole. The error is the length that was announced and is too large:
  // the stream cannot go on from there.
  std::expected<std::optional<std::string>, std::uint32_t> next();
  [[nodiscard]] bool empty() const { return used_ == buffer_.size(); }

 private:
  std::size_t max_bytes_;
  std::string buffer_;
  std::size_t used_ = 0;  // of `buffer_`, already given out
};

}  // namespace hapair::control
