// The private data of a connection: what both ends tell each other while a reliable connection is made over verbs or
// iWARP. Layouts are fixed, little-endian, versioned and checksummed. An InfiniBand request carries 56 bytes at most,
// and some devices pad what arrives: a longer field is read up to the layout's own length.
//
// Request, 48 bytes                     Answer, 48 bytes
//   0  magic "HAPC", version, service     0  magic "HAPA", version, service
//   8  token (of a port; else zero)       8  two regions: address u64, length u32, key u32
//  40  zero, crc32c of what is before    40  zero, crc32c of what is before
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

namespace hapair::ccm {

inline constexpr std::size_t kConnectDataBytes = 48;
inline constexpr std::uint16_t kConnectVersion = 1;
using ConnectBytes = std::array<std::byte, kConnectDataBytes>;
// What lets a port's connection in; drawn by the node that exposes the port's memory, told under the session's MAC.
using PortToken = std::array<std::uint8_t, 32>;

// What the connection is for.
enum class ConnectService : std::uint8_t {
  early_channel = 1,
  port = 2,
};

struct ConnectRequest {
  ConnectService service = ConnectService::early_channel;
  PortToken token{};
};

// Memory that the answering side exposes. Where the device lets us choose, the address and (iWARP in user space) the
// key are constants; where it does not, this is how the other side learns them. A length of zero: not there.
struct RemoteRegion {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  std::uint32_t key = 0;  // STag, or rkey
  bool operator==(const RemoteRegion&) const = default;
};

struct ConnectAnswer {
  ConnectService service = ConnectService::early_channel;
  // early channel: status page, mailbox page; port: its memory, its control words.
  std::array<RemoteRegion, 2> regions{};
};

enum class ConnectDataError : std::uint8_t {
  too_short,
  not_ours,   // no magic: another protocol
  version,    // hapair, but another version of this layout
  corrupted,  // the checksum does not match
  malformed,  // a value that no version defines
};
std::string_view text_of(ConnectDataError error);

ConnectBytes encode(const ConnectRequest& request);
ConnectBytes encode(const ConnectAnswer& answer);
// No input is trusted.
std::expected<ConnectRequest, ConnectDataError> parse_connect_request(std::span<const std::byte> bytes);
std::expected<ConnectAnswer, ConnectDataError> parse_connect_answer(std::span<const std::byte> bytes);

}  // namespace hapair::ccm
