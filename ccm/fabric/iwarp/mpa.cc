#include "ccm/fabric/iwarp/mpa.h"

#include <algorithm>
#include <cstring>

#include "ccm/base/check.h"
#include "ccm/fabric/iwarp/big_endian.h"

namespace hapair::ccm::iwarp {
namespace {

constexpr std::string_view kRequestText = "MPA ID Req Frame";
constexpr std::string_view kReplyText = "MPA ID Rep Frame";
static_assert(kRequestText.size() == 16 && kReplyText.size() == 16);

constexpr std::uint8_t kMarkers = 0x80;
constexpr std::uint8_t kCrc = 0x40;
constexpr std::uint8_t kReject = 0x20;
constexpr std::uint8_t kEnhanced = 0x10;
// Of the two words behind the flag E; each carries a count in its low 14 bits.
constexpr std::uint16_t kHigh = 0x8000;
constexpr std::uint16_t kLow = 0x4000;
constexpr std::uint16_t kCount = 0x3fff;
constexpr std::size_t kEnhancedBytes = 4;

}  // namespace

std::string_view text_of(MpaError error) {
  switch (error) {
    case MpaError::not_mpa:
      return "no MPA frame";
    case MpaError::wrong_frame:
      return "a request for a reply, or the other way round";
    case MpaError::revision:
      return "an MPA revision that is not known";
    case MpaError::too_much_data:
      return "a length that no MPA frame has";
  }
  return "no MPA frame";
}

std::size_t encode(const MpaFrame& frame, std::span<std::byte> into) {
  const std::size_t length = (frame.enhanced ? kEnhancedBytes : 0) + frame.private_data.size();
  HAPAIR_CHECK(length <= kMaxPrivateData && into.size() >= kMpaHeaderBytes + length, "an MPA frame has its limits");
  const std::string_view text = frame.reply ? kReplyText : kRequestText;
  std::memcpy(into.data(), text.data(), text.size());
  std::uint8_t flags = 0;
  if (frame.markers) flags |= kMarkers;
  if (frame.crc) flags |= kCrc;
  if (frame.rejected) flags |= kReject;
  if (frame.enhanced) flags |= kEnhanced;
  into[16] = std::byte{flags};
  into[17] = std::byte{frame.revision};
  put_u16(into.subspan(18), static_cast<std::uint16_t>(length));
  std::span<std::byte> rest = into.subspan(kMpaHeaderBytes);
  if (frame.enhanced) {
    auto first = static_cast<std::uint16_t>(frame.ird & kCount);
    auto second = static_cast<std::uint16_t>(frame.ord & kCount);
    if (frame.peer_to_peer) first |= kHigh;
    if (frame.rtr_write) second |= kHigh;
    if (frame.rtr_read) second |= kLow;
    put_u16(rest, first);
    put_u16(rest.subspan(2), second);
    rest = rest.subspan(kEnhancedBytes);
  }
  std::ranges::copy(frame.private_data, rest.begin());
  return kMpaHeaderBytes + length;
}

std::expected<std::optional<ParsedMpa>, MpaError> parse_mpa(std::span<const std::byte> bytes, bool reply) {
  const std::string_view want = reply ? kReplyText : kRequestText;
  const std::string_view other = reply ? kRequestText : kReplyText;
  const std::size_t shown = std::min(bytes.size(), want.size());
  if (std::memcmp(bytes.data(), want.data(), shown) != 0) {
    const bool swapped = std::memcmp(bytes.data(), other.data(), shown) == 0;
    return std::unexpected(swapped ? MpaError::wrong_frame : MpaError::not_mpa);
  }
  if (bytes.size() < kMpaHeaderBytes) return std::nullopt;
  ParsedMpa parsed;
  MpaFrame& frame = parsed.frame;
  const auto flags = std::to_integer<std::uint8_t>(bytes[16]);
  frame.reply = reply;
  frame.markers = (flags & kMarkers) != 0;
  frame.crc = (flags & kCrc) != 0;
  frame.rejected = reply && (flags & kReject) != 0;
  frame.revision = std::to_integer<std::uint8_t>(bytes[17]);
  if (frame.revision != 1 && frame.revision != 2) return std::unexpected(MpaError::revision);
  frame.enhanced = frame.revision == 2 && (flags & kEnhanced) != 0;
  const std::size_t length = get_u16(bytes.subspan(18));
  if (length > kMaxPrivateData || (frame.enhanced && length < kEnhancedBytes)) {
    return std::unexpected(MpaError::too_much_data);
  }
  parsed.bytes = kMpaHeaderBytes + length;
  if (bytes.size() < parsed.bytes) return std::nullopt;
  std::span<const std::byte> rest = bytes.subspan(kMpaHeaderBytes, length);
  if (frame.enhanced) {
    const std::uint16_t first = get_u16(rest);
    const std::uint16_t second = get_u16(rest.subspan(2));
    frame.ird = first & kCount;
    frame.ord = second & kCount;
    frame.peer_to_peer = (first & kHigh) != 0;
    frame.rtr_write = (second & kHigh) != 0;
    frame.rtr_read = (second & kLow) != 0;
    rest = rest.subspan(kEnhancedBytes);
  }
  frame.private_data = rest;
  return parsed;
}

}  // namespace hapair::ccm::iwarp
