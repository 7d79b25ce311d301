#include "proto/framing.h"

#include <utility>

namespace hapair::control {
namespace {

constexpr std::size_t kLengthBytes = 4;

}  // namespace

std::string framed(const google::protobuf::MessageLite& message) {
  const std::string body = message.SerializeAsString();
  std::string out;
  out.reserve(kLengthBytes + body.size());
  for (unsigned shift = 0; shift < 32; shift += 8) out += static_cast<char>((body.size() >> shift) & 0xff);
  return out + body;
}

void FrameReader::add(std::string_view bytes) {
  buffer_.erase(0, std::exchange(used_, 0));
  buffer_ += bytes;
}

std::expected<std::optional<std::string>, std::uint32_t> FrameReader::next() {
  const std::string_view rest = std::string_view(buffer_).substr(used_);
  if (rest.size() < kLengthBytes) return std::nullopt;
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    length |= static_cast<std::uint32_t>(static_cast<unsigned char>(rest[i])) << (8 * i);
  }
  if (length > max_bytes_) return std::unexpected(length);
  if (rest.size() < kLengthBytes + length) return std::nullopt;
  used_ += kLengthBytes + length;
  return std::string(rest.substr(kLengthBytes, length));
}

}  // namespace hapair::control
