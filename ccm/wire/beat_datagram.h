// The beat that a node sends its partner over an IP network, one datagram each: where the node is in its life, what
// beats on it, and which beat of the partner's it heard last. 176 bytes, little-endian, of fixed width; the MAC is
// under a key of its own, derived from the pair's, and covers everything before it. Which beats count is ccm/network's
// to say.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "ccm/base/ids.h"
#include "ccm/wire/mac.h"
#include "ccm/wire/names.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

inline constexpr std::uint64_t kBeatMagic = 0x3154414542504148;  // "HAPBEAT1"
inline constexpr std::uint16_t kBeatVersion = 1;
inline constexpr std::size_t kBeatBytes = 176;
inline constexpr std::size_t kMaxNetworks = 4;

struct BeatDatagramLayout {
  std::uint64_t magic;
  std::uint16_t version;
  std::uint8_t network;      // its number, in the order of the configuration
  std::uint8_t phase;        // BootPhase
  std::uint8_t agent_state;  // ClientState of the agent's slot
  std::array<std::uint8_t, 3> zero;
  std::array<char, kNameBytes> pair;
  std::array<char, kNameBytes> sender;
  std::uint64_t incarnation;
  std::array<std::uint8_t, 16> boot_id;
  std::uint64_t sequence;           // from 1 in each incarnation, on each network
  std::uint64_t heard_incarnation;  // the receiver's, which the sender heard last; 0: none yet
  std::uint64_t heard_sequence;     // the newest of it
  std::uint64_t held_us;            // how long ago that was, by the sender's clock
  std::uint64_t ccm_beat;
  std::uint64_t agent_beat;
  std::uint64_t agent_life;
  ShortMac mac;
};
static_assert(sizeof(BeatDatagramLayout) == kBeatBytes);
static_assert(offsetof(BeatDatagramLayout, pair) == 16);
static_assert(offsetof(BeatDatagramLayout, incarnation) == 80);
static_assert(offsetof(BeatDatagramLayout, sequence) == 104);
static_assert(offsetof(BeatDatagramLayout, heard_incarnation) == 112);
static_assert(offsetof(BeatDatagramLayout, held_us) == 128);
static_assert(offsetof(BeatDatagramLayout, ccm_beat) == 136);
static_assert(offsetof(BeatDatagramLayout, mac) == 160);

// What one beat tells of the node that sent it.
struct BeatNews {
  BootPhase phase = BootPhase::unknown;
  ClientState agent_state = ClientState::none;
  std::uint64_t ccm_beat = 0;
  std::uint64_t agent_beat = 0;
  std::uint64_t agent_life = 0;
};

struct BeatView {
  PairName pair;
  NodeName sender;
  std::uint8_t network = 0;
  Incarnation incarnation;
  BootId boot_id;
  std::uint64_t sequence = 0;
  Incarnation heard_incarnation;
  std::uint64_t heard_sequence = 0;
  Duration held{};
  BeatNews news;
};

enum class BeatError : std::uint8_t {
  truncated,   // not as long as a beat is
  not_a_beat,  // no magic
  version,     // a beat of a version that this node does not read
  malformed,   // a field has a value that no version defines
};
std::string_view text_of(BeatError error);

// Why a whole datagram did not count (ccm/network).
enum class BeatRefusal : std::uint8_t {
  malformed,    // truncated, or no beat at all
  version,      // of a version that this node does not read
  foreign,      // another pair's or node's, also this node's own reflected
  forged,       // the right names, not the pair's key
  misdirected,  // sent on another network than it came on: the two nodes number their networks differently
  replayed,     // seen before, or of a life of the partner that is over
  reordered,    // the partner's, and older than one that counted: the network did that
  unanswered,   // the partner's, and it has not heard this life of this node: a greeting, or an old recording
  late,         // was under way for too long, or answers what this node never sent
};
inline constexpr std::size_t kBeatRefusals = 9;
std::string_view text_of(BeatRefusal refusal);
// What any network of UDP does by itself: counted, and no refusal that an operator has to hear of.
constexpr bool nobodys_fault(BeatRefusal refusal) {
  return refusal == BeatRefusal::reordered || refusal == BeatRefusal::unanswered;
}

// The key of a pair's beats.
Key beat_key(const Key& pair_key);

std::array<std::byte, kBeatBytes> encode_beat(const BeatView& beat, const Key& key);
// No input is trusted. Says nothing about authenticity.
std::expected<BeatView, BeatError> parse_beat(std::span<const std::byte> bytes);
bool beat_is_authentic(std::span<const std::byte> bytes, const Key& key);

}  // namespace hapair::ccm
