#include "ccm/fabric/iwarp/ddp.h"

#include <utility>

#include "ccm/fabric/iwarp/big_endian.h"

namespace hapair::ccm::iwarp {
namespace {

constexpr std::uint8_t kTagged = 0x80;
constexpr std::uint8_t kLast = 0x40;
constexpr std::uint8_t kDdpVersionMask = 0x03;
constexpr std::uint8_t kDdpVersion = 0x01;
constexpr std::uint8_t kRdmapVersionMask = 0xc0;
constexpr std::uint8_t kRdmapVersion = 0x40;
constexpr std::uint8_t kOpcodeMask = 0x0f;

std::uint32_t queue_of(Opcode opcode) {
  switch (opcode) {
    case Opcode::read_request:
      return kReadQueue;
    case Opcode::terminate:
      return kTerminateQueue;
    case Opcode::write:
    case Opcode::read_response:
    case Opcode::send:
    case Opcode::send_invalidate:
    case Opcode::send_solicited:
    case Opcode::send_solicited_invalidate:
      break;
  }
  return kSendQueue;
}

// Layer, type and code that the standard has.
bool known(const TerminateCode& code) {
  switch (code.layer) {
    case 0:
      return code.type <= 2;
    case 1:
      // "Local catastrophic" of DDP is what a swapped "remote protection error" looks like, and nobody sends it.
      return code.type == 1 || code.type == 2;
    case 2:
      return code.type == 0;
    default:
      return false;
  }
}

}  // namespace

bool is_access_error(const TerminateCode& code) { return code.layer <= 1 && code.type == 1; }

std::size_t encode_header(const Segment& segment, std::span<std::byte> into) {
  const auto flags =
      static_cast<std::uint8_t>((segment.tagged ? kTagged : 0) | (segment.last ? kLast : 0) | kDdpVersion);
  into[0] = std::byte{flags};
  into[1] = std::byte{static_cast<std::uint8_t>(kRdmapVersion | static_cast<std::uint8_t>(segment.opcode))};
  put_u32(into.subspan(2), segment.stag);
  if (segment.tagged) {
    put_u64(into.subspan(6), segment.offset);
    return kTaggedHeaderBytes;
  }
  put_u32(into.subspan(6), segment.queue);
  put_u32(into.subspan(10), segment.message);
  put_u32(into.subspan(14), segment.message_offset);
  return kUntaggedHeaderBytes;
}

void encode(const ReadRequest& request, std::span<std::byte, kReadRequestBytes> into) {
  put_u32(into.subspan(0), request.sink_stag);
  put_u64(into.subspan(4), request.sink_offset);
  put_u32(into.subspan(12), request.length);
  put_u32(into.subspan(16), request.source_stag);
  put_u64(into.subspan(20), request.source_offset);
}

std::array<std::byte, 4> encode(const TerminateCode& code) {
  // The last two bytes: no copies of the failing segment's headers follow.
  return {std::byte{static_cast<std::uint8_t>(code.layer << 4U | code.type)}, std::byte{code.code}, std::byte{0},
          std::byte{0}};
}

std::expected<Segment, TerminateCode> parse_segment(std::span<const std::byte> ulpdu) {
  if (ulpdu.size() < kTaggedHeaderBytes) return std::unexpected(terminate::kMpaLength);
  const auto ddp = std::to_integer<std::uint8_t>(ulpdu[0]);
  const auto rdmap = std::to_integer<std::uint8_t>(ulpdu[1]);
  Segment segment;
  segment.tagged = (ddp & kTagged) != 0;
  segment.last = (ddp & kLast) != 0;
  if ((ddp & kDdpVersionMask) != kDdpVersion) {
    return std::unexpected(segment.tagged ? terminate::kTaggedDdpVersion : terminate::kUntaggedDdpVersion);
  }
  if ((rdmap & kRdmapVersionMask) != kRdmapVersion) return std::unexpected(terminate::kRdmapVersion);
  const std::uint8_t opcode = rdmap & kOpcodeMask;
  if (opcode > static_cast<std::uint8_t>(Opcode::terminate)) return std::unexpected(terminate::kUnexpectedOpcode);
  segment.opcode = static_cast<Opcode>(opcode);
  const bool wants_tag = segment.opcode == Opcode::write || segment.opcode == Opcode::read_response;
  if (segment.tagged != wants_tag) return std::unexpected(terminate::kUnexpectedOpcode);
  segment.stag = get_u32(ulpdu.subspan(2));
  if (segment.tagged) {
    segment.offset = get_u64(ulpdu.subspan(6));
    segment.payload = ulpdu.subspan(kTaggedHeaderBytes);
    return segment;
  }
  if (ulpdu.size() < kUntaggedHeaderBytes) return std::unexpected(terminate::kMpaLength);
  segment.queue = get_u32(ulpdu.subspan(6));
  segment.message = get_u32(ulpdu.subspan(10));
  segment.message_offset = get_u32(ulpdu.subspan(14));
  segment.payload = ulpdu.subspan(kUntaggedHeaderBytes);
  if (segment.queue != queue_of(segment.opcode)) return std::unexpected(terminate::kUntaggedQueue);
  return segment;
}

std::expected<ReadRequest, TerminateCode> parse_read_request(std::span<const std::byte> payload) {
  if (payload.size() < kReadRequestBytes) return std::unexpected(terminate::kMpaLength);
  if (payload.size() > kReadRequestBytes) return std::unexpected(terminate::kUntaggedTooLong);
  return ReadRequest{get_u32(payload), get_u64(payload.subspan(4)), get_u32(payload.subspan(12)),
                     get_u32(payload.subspan(16)), get_u64(payload.subspan(20))};
}

TerminateCode parse_terminate(std::span<const std::byte> payload) {
  if (payload.size() < 2) return terminate::kStreamError;
  const auto first = std::to_integer<std::uint8_t>(payload[0]);
  TerminateCode code{static_cast<std::uint8_t>(first >> 4U), static_cast<std::uint8_t>(first & 0x0fU),
                     std::to_integer<std::uint8_t>(payload[1])};
  if (!known(code)) std::swap(code.layer, code.type);
  return code;
}

}  // namespace hapair::ccm::iwarp
