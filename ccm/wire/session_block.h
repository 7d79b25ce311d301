// The session's part of a status page: what a node tells its partner of itself and of its clients' ports. It is state,
// not messages: each node shows all of it on every rail, so nothing can be lost, and whoever reads the newest page
// knows everything. It counts only from a page that carries the session's MAC.
//
//   offset in the page
//   1840  protocol_min, protocol_max, rails, port_count, capabilities, software   64 bytes
//   1904  16 ports of 24 bytes: of which client, how large, over which rail it is reached, what it reaches
//
// The clients themselves are in the page's client slots; a port belongs to the partner's port of the same client name
// and index.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hapair::ccm {

inline constexpr std::uint16_t kSessionProtocolMin = 1;
inline constexpr std::uint16_t kSessionProtocolMax = 1;
inline constexpr std::size_t kMaxPorts = 16;  // of a node
inline constexpr std::size_t kMaxClientPorts = 4;

// What the partner may do with a port's memory.
inline constexpr std::uint8_t kPartnerReads = 1;
inline constexpr std::uint8_t kPartnerWrites = 2;

struct SessionPortLayout {
  std::uint8_t slot;       // of its client on this page
  std::uint8_t index;      // among that client's ports
  std::uint8_t rail;       // over which the partner reaches it
  std::uint8_t rights;     // kPartnerReads, kPartnerWrites
  std::uint32_t exposure;  // another number each time the memory is opened to the partner; 0: it is not
  std::uint32_t reaches;   // the partner's exposure that this node's connection is up to; 0: none
  std::uint8_t avoids;     // bit i: over rail i this node could not reach the partner's port, and asks for another one
  std::array<std::uint8_t, 3> zero;
  std::uint64_t memory_bytes;
  bool operator==(const SessionPortLayout&) const = default;
};
static_assert(sizeof(SessionPortLayout) == 24);
static_assert(offsetof(SessionPortLayout, exposure) == 4);
static_assert(offsetof(SessionPortLayout, reaches) == 8);
static_assert(offsetof(SessionPortLayout, avoids) == 12);
static_assert(offsetof(SessionPortLayout, memory_bytes) == 16);

struct SessionBlockLayout {
  std::uint16_t protocol_min;  // 0: this CCM has no sessions
  std::uint16_t protocol_max;
  std::uint8_t rails;  // bit i: rail i is connected, as this node sees it
  std::uint8_t port_count;
  std::uint16_t zero_a;
  std::uint64_t capabilities;     // kCapability... (poison.h); unknown bits are no error
  std::array<char, 24> software;  // version, for people
  std::uint64_t serial;           // rises with every change: pages of several rails may be read in any order
  std::array<std::uint8_t, 16> zero_b;
  std::array<SessionPortLayout, kMaxPorts> ports;
  bool operator==(const SessionBlockLayout&) const = default;
};
static_assert(sizeof(SessionBlockLayout) == 64 + kMaxPorts * sizeof(SessionPortLayout));
static_assert(offsetof(SessionBlockLayout, capabilities) == 8);
static_assert(offsetof(SessionBlockLayout, software) == 16);
static_assert(offsetof(SessionBlockLayout, serial) == 40);
static_assert(offsetof(SessionBlockLayout, ports) == 64);

// How the negotiation of the protocol stands.
enum class SessionState : std::uint8_t {
  none = 0,         // the partner has not been heard
  established = 1,  // both speak `protocol()`
  refused = 2,      // no version in common
};
std::string_view text_of(SessionState state);

// Every field has a value that this version defines; authenticity is the caller's to know.
bool session_block_is_sound(const SessionBlockLayout& block);

}  // namespace hapair::ccm
