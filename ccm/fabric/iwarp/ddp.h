// Direct data placement and RDMAP: the headers of one segment, and the codes with which an end says what was wrong (RFC
// 5041; RFC 5040). Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>

namespace hapair::ccm::iwarp {

enum class Opcode : std::uint8_t {
  write = 0,
  read_request = 1,
  read_response = 2,
  send = 3,
  send_invalidate = 4,
  send_solicited = 5,
  send_solicited_invalidate = 6,
  terminate = 7,
};

// Untagged queues (RFC 5040, section 4.2).
inline constexpr std::uint32_t kSendQueue = 0;
inline constexpr std::uint32_t kReadQueue = 1;
inline constexpr std::uint32_t kTerminateQueue = 2;

inline constexpr std::size_t kTaggedHeaderBytes = 14;    // without the ULPDU length
inline constexpr std::size_t kUntaggedHeaderBytes = 18;  // likewise
inline constexpr std::size_t kReadRequestBytes = 28;

struct Segment {
  Opcode opcode = Opcode::write;
  bool last = false;
  bool tagged = false;
  std::uint32_t stag = 0;    // tagged: where to; send with invalidate: what to invalidate
  std::uint64_t offset = 0;  // tagged: TO
  std::uint32_t queue = 0;   // untagged
  std::uint32_t message = 0;
  std::uint32_t message_offset = 0;
  std::span<const std::byte> payload;
};

struct ReadRequest {
  std::uint32_t sink_stag = 0;
  std::uint64_t sink_offset = 0;
  std::uint32_t length = 0;
  std::uint32_t source_stag = 0;
  std::uint64_t source_offset = 0;
};

// What a Terminate says (RFC 5040, section 4.8): who noticed, what kind, which code.
struct TerminateCode {
  std::uint8_t layer = 0;
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  bool operator==(const TerminateCode&) const = default;
};
namespace terminate {
inline constexpr TerminateCode kReadInvalidStag{0, 1, 0};
inline constexpr TerminateCode kReadBounds{0, 1, 1};
inline constexpr TerminateCode kReadRights{0, 1, 2};
inline constexpr TerminateCode kReadWrap{0, 1, 4};
inline constexpr TerminateCode kInvalidateStag{0, 1, 9};
inline constexpr TerminateCode kRdmapVersion{0, 2, 5};
inline constexpr TerminateCode kUnexpectedOpcode{0, 2, 6};
inline constexpr TerminateCode kStreamError{0, 2, 7};
inline constexpr TerminateCode kTaggedInvalidStag{1, 1, 0};
inline constexpr TerminateCode kTaggedBounds{1, 1, 1};
inline constexpr TerminateCode kTaggedRights{1, 1, 2};  // RFC 5041: not associated with this stream
inline constexpr TerminateCode kTaggedWrap{1, 1, 3};
inline constexpr TerminateCode kTaggedDdpVersion{1, 1, 4};
inline constexpr TerminateCode kUntaggedQueue{1, 2, 1};
inline constexpr TerminateCode kUntaggedNoBuffer{1, 2, 2};
inline constexpr TerminateCode kUntaggedMessage{1, 2, 3};
inline constexpr TerminateCode kUntaggedOffset{1, 2, 4};
inline constexpr TerminateCode kUntaggedTooLong{1, 2, 5};
inline constexpr TerminateCode kUntaggedDdpVersion{1, 2, 6};
inline constexpr TerminateCode kMpaCrc{2, 0, 2};
inline constexpr TerminateCode kMpaLength{2, 0, 3};
}  // namespace terminate

// True where the code says that memory was not there or not to be touched.
bool is_access_error(const TerminateCode& code);

// Headers of a segment whose payload follows; returns how many bytes of `into` (at least kUntaggedHeaderBytes) they
// take.
std::size_t encode_header(const Segment& segment, std::span<std::byte> into);
void encode(const ReadRequest& request, std::span<std::byte, kReadRequestBytes> into);
std::array<std::byte, 4> encode(const TerminateCode& code);

// The ULPDU of one frame. The error is what the sender is to be told. No input is trusted.
std::expected<Segment, TerminateCode> parse_segment(std::span<const std::byte> ulpdu);
std::expected<ReadRequest, TerminateCode> parse_read_request(std::span<const std::byte> payload);
// Some senders swap layer and type; where only one order has a meaning, that is taken.
TerminateCode parse_terminate(std::span<const std::byte> payload);

}  // namespace hapair::ccm::iwarp
