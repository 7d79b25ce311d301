// Frames as a peer could send them, right and wrong.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ccm/base/crc32c.h"
#include "ccm/fabric/iwarp/big_endian.h"
#include "ccm/fabric/iwarp/ddp.h"
#include "ccm/fabric/iwarp/mpa.h"

namespace hapair::ccm::iwarp {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::string_view text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

inline std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[std::to_integer<unsigned>(b) >> 4U];
    text += kDigits[std::to_integer<unsigned>(b) & 15U];
  }
  return text;
}

inline Bytes from_hex(std::string_view text) {
  Bytes bytes;
  std::string digits;
  for (const char c : text) {
    if (c != ' ') digits += c;
  }
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// Any ULPDU in a frame with a right CRC.
inline Bytes frame_of(std::span<const std::byte> ulpdu) {
  const FpduShape shape = fpdu_shape(ulpdu.size());
  Bytes frame(shape.bytes);
  put_u16(frame, static_cast<std::uint16_t>(ulpdu.size()));
  std::ranges::copy(ulpdu, frame.begin() + kFpduLengthBytes);
  const std::uint32_t crc = crc32c(std::span(frame).first(shape.bytes - kFpduCrcBytes));
  std::memcpy(frame.data() + shape.bytes - kFpduCrcBytes, &crc, sizeof crc);
  return frame;
}

inline Bytes ulpdu_of(const Segment& segment) {
  Bytes ulpdu(kUntaggedHeaderBytes);
  ulpdu.resize(encode_header(segment, ulpdu));
  ulpdu.insert(ulpdu.end(), segment.payload.begin(), segment.payload.end());
  return ulpdu;
}
inline Bytes frame_of(const Segment& segment) { return frame_of(ulpdu_of(segment)); }

inline Bytes write_frame(std::uint32_t stag, std::uint64_t offset, std::span<const std::byte> payload) {
  Segment segment;
  segment.opcode = Opcode::write;
  segment.tagged = segment.last = true;
  segment.stag = stag;
  segment.offset = offset;
  segment.payload = payload;
  return frame_of(segment);
}

inline Bytes read_frame(std::uint32_t message, const ReadRequest& request) {
  std::array<std::byte, kReadRequestBytes> payload{};
  encode(request, payload);
  Segment segment;
  segment.opcode = Opcode::read_request;
  segment.last = true;
  segment.queue = kReadQueue;
  segment.message = message;
  segment.payload = payload;
  return frame_of(segment);
}

inline Bytes send_frame(std::uint32_t message, std::span<const std::byte> payload, std::uint32_t offset = 0,
                        bool last = true) {
  Segment segment;
  segment.opcode = Opcode::send;
  segment.last = last;
  segment.queue = kSendQueue;
  segment.message = message;
  segment.message_offset = offset;
  segment.payload = payload;
  return frame_of(segment);
}

}  // namespace hapair::ccm::iwarp
