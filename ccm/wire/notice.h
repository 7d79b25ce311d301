// A notice: what a node's agent publishes (AgentBlockLayout), as it stands beside the node's beat in the same block of
// a mailbox disk, so that a planned move works with every network gone. One write carries both.
//
//   of the node's block
//      0  the beat (BeatDatagramLayout)
//    512  the notice (NoticeLayout), in sectors of its own where they are small
//
// The MAC is under a key of its own, derived from the pair's, and covers the beat too: so whose the notice is, of which
// life, and that it was made a moment ago, is what the beat beside it proves (ccm/network/beat_exchange.h), and a
// notice of another write than its beat's is none. Whether what it says is newer than what a page said is
// agent/core/partner_blocks.h's to decide.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "ccm/base/ids.h"
#include "ccm/wire/beat_datagram.h"
#include "ccm/wire/mac.h"
#include "ccm/wire/mailbox_disk.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

inline constexpr std::uint64_t kNoticeMagic = 0x3145544f4e504148;  // "HAPNOTE1"
inline constexpr std::uint16_t kNoticeVersion = 1;
inline constexpr std::size_t kNoticeAt = 512;

struct NoticeLayout {
  std::uint64_t magic;
  std::uint16_t version;
  std::array<std::uint8_t, 6> zero;
  std::uint64_t incarnation;  // of the beat in the same write, as is its sequence
  std::uint64_t sequence;
  AgentBlockLayout agent;
  ShortMac mac;       // of the beat's bytes and of all before it here
  std::uint32_t crc;  // CRC32C of all before it: tells half a write from a forgery
  std::uint32_t zero_b;
};
static_assert(sizeof(NoticeLayout) == 1144);
static_assert(offsetof(NoticeLayout, version) == 8);
static_assert(offsetof(NoticeLayout, incarnation) == 16);
static_assert(offsetof(NoticeLayout, sequence) == 24);
static_assert(offsetof(NoticeLayout, agent) == 32);
static_assert(offsetof(NoticeLayout, mac) == 1120);
static_assert(offsetof(NoticeLayout, crc) == 1136);
static_assert(kBeatBytes <= kNoticeAt && kNoticeAt + sizeof(NoticeLayout) <= kDiskBlockBytes);

// Why the notice beside a beat that counts does not.
enum class NoticeRefusal : std::uint8_t {
  malformed,  // neither a notice nor the zeros that a node without one leaves there
  version,    // of a version that this node does not read
  torn,       // half a write, or of another write than the beat beside it
  forged,     // whole, and without the pair's key over it and that beat
};
inline constexpr std::size_t kNoticeRefusals = 4;
std::string_view text_of(NoticeRefusal refusal);

using DiskBlock = std::array<std::byte, kDiskBlockBytes>;

// The key of a pair's notices.
Key notice_key(const Key& pair_key);

// Makes `block` the one to write: `beat` (as encoded) and beside it the notice. No allocation.
void encode_notice(DiskBlock& block, std::span<const std::byte, kBeatBytes> beat, const AgentBlockLayout& agent,
                   const Key& key);
struct Notice {
  bool there = false;  // false: zeros, of a ccmd that writes none
  AgentBlockLayout agent{};
};
// Beside `beat`, which came in that very block and counts. No input is trusted; what the agent's block says is checked
// by whoever reads it.
std::expected<Notice, NoticeRefusal> open_notice(std::span<const std::byte> block, const BeatView& beat,
                                                 const Key& key);

}  // namespace hapair::ccm
