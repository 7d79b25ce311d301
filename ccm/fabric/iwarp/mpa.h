// Marker PDU aligned framing: how an iWARP connection begins on a TCP stream, and how its frames lie in it (RFC 5044;
// enhanced negotiation: RFC 6581). Big-endian, but for the CRC. Pure: bytes in, bytes out. Markers are not used.
//
// Request and reply: 16 bytes of text, flags, revision, u16 length of what follows: with the flag E four bytes of
// IRD/ORD, then private data. A frame (FPDU): u16 ULPDU length, ULPDU, zeros to a multiple of four, CRC32C (as zero
// where the connection has none).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

namespace hapair::ccm::iwarp {

inline constexpr std::size_t kMpaHeaderBytes = 20;
inline constexpr std::size_t kMaxPrivateData = 512;  // RFC 5044, section 7.1.1
inline constexpr std::size_t kMaxMpaBytes = kMpaHeaderBytes + kMaxPrivateData;

struct MpaFrame {
  bool reply = false;
  bool markers = false;   // M: the sender wants markers in what it receives
  bool crc = false;       // C
  bool rejected = false;  // R, of a reply
  std::uint8_t revision = 2;
  // Of revision 2 with the flag E; how many reads one end answers at a time (IRD) and asks at a time (ORD).
  bool enhanced = false;
  std::uint16_t ird = 0;
  std::uint16_t ord = 0;
  bool peer_to_peer = false;  // A: the initiator's first frame is a ready-to-receive
  bool rtr_write = false;     // ... and may be a zero-length write,
  bool rtr_read = false;      // ... or a zero-length read
  std::span<const std::byte> private_data;
};

enum class MpaError : std::uint8_t {
  not_mpa,        // other bytes than the frame's text
  wrong_frame,    // a request where a reply was due, or the other way round
  revision,       // neither 1 nor 2
  too_much_data,  // more private data than the standard has, or less than the flag E needs
};
std::string_view text_of(MpaError error);

// Writes the frame; `into` is at least kMaxMpaBytes long. Returns its length.
std::size_t encode(const MpaFrame& frame, std::span<std::byte> into);

struct ParsedMpa {
  MpaFrame frame;         // private_data lies in what was parsed
  std::size_t bytes = 0;  // of the whole frame
};
// Nothing while `bytes` is only the beginning of a frame; wrong bytes are told as early as they can be. No input is
// trusted.
std::expected<std::optional<ParsedMpa>, MpaError> parse_mpa(std::span<const std::byte> bytes, bool reply);

// Where the parts of a frame with a ULPDU of `length` lie.
struct FpduShape {
  std::size_t padding = 0;
  std::size_t bytes = 0;  // of the whole frame
};
constexpr std::size_t kFpduLengthBytes = 2;
constexpr std::size_t kFpduCrcBytes = 4;
constexpr std::size_t kMaxUlpdu = 65535;
constexpr FpduShape fpdu_shape(std::size_t length) {
  const std::size_t padding = (4 - (kFpduLengthBytes + length) % 4) % 4;
  return {padding, kFpduLengthBytes + length + padding + kFpduCrcBytes};
}

}  // namespace hapair::ccm::iwarp
