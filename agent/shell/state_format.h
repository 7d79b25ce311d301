// The bytes of `state_dir/state`: what must survive a crash of this node. Fixed layout, little-endian, versioned, with
// a CRC32C, and with the names of the pair and the node, so that a file from elsewhere is not taken for this node's.
//
//   offset
//      0  magic, version, bytes            the length of the whole file
//     16  crc                              CRC32C of the whole file with this field zero
//     20  pool_count
//     24  pair, node, boot id
//    104  pool_count pools of 120 bytes; of versions 2 and 3, which are read too, their first 112, of version 1 96
//   then  what operators have forbidden, and when fences began (StateOrdersLayout); not in versions 1 and 2
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "agent/core/model.h"
#include "ccm/base/ids.h"
#include "ccm/wire/status_page.h"

namespace hapair::agent {

inline constexpr std::uint64_t kStateMagic = 0x3145544154535048;  // "HPSTATE1"
inline constexpr std::uint32_t kStateVersion = 5;
// Had no partner_boot: not known, so a takeover after an upgrade takes a fence or a release until the partner is seen.
inline constexpr std::uint32_t kOldestStateVersion = 1;
inline constexpr std::uint32_t kFirstVersionWithOrders = 3;
inline constexpr std::uint32_t kFirstVersionWithLeases = 4;       // zeros before: nobody rests on any
inline constexpr std::uint32_t kFirstVersionWithEarlierLife = 5;  // not known before: taken to be so

struct StateHeaderLayout {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t bytes;
  std::uint32_t crc;
  std::uint32_t pool_count;
  std::array<char, ccm::kNameBytes> pair;
  std::array<char, ccm::kNameBytes> node;
  std::array<std::uint8_t, 16> boot_id;
};
static_assert(sizeof(StateHeaderLayout) == 104);
static_assert(offsetof(StateHeaderLayout, bytes) == 12);
static_assert(offsetof(StateHeaderLayout, crc) == 16);
static_assert(offsetof(StateHeaderLayout, pair) == 24);
static_assert(offsetof(StateHeaderLayout, node) == 56);
static_assert(offsetof(StateHeaderLayout, boot_id) == 88);

struct StatePoolLayout {
  std::array<char, ccm::kNameBytes> pool;
  std::array<char, ccm::kNameBytes> owner;  // all zero: nobody yet
  std::uint64_t epoch;
  std::uint64_t claim;
  std::uint8_t released;      // 0 or 1
  std::uint8_t held;          // 0 or 1
  std::uint8_t leased;        // 0 or 1
  std::uint8_t earlier_life;  // 0 or 1
  std::uint32_t lease_over_ms;
  std::uint64_t armed;
  std::array<std::uint8_t, 16> partner_boot;  // all zero: not known
  std::uint64_t mailbox;
};
static_assert(sizeof(StatePoolLayout) == 120);
static_assert(offsetof(StatePoolLayout, mailbox) == 112);
inline constexpr std::size_t kPoolBytesOfVersion3 = offsetof(StatePoolLayout, mailbox);
static_assert(offsetof(StatePoolLayout, partner_boot) == 96);
inline constexpr std::size_t kPoolBytesOfVersion1 = offsetof(StatePoolLayout, partner_boot);
static_assert(offsetof(StatePoolLayout, epoch) == 64);
static_assert(offsetof(StatePoolLayout, claim) == 72);
static_assert(offsetof(StatePoolLayout, released) == 80);
static_assert(offsetof(StatePoolLayout, leased) == 82);
static_assert(offsetof(StatePoolLayout, earlier_life) == 83);
static_assert(offsetof(StatePoolLayout, lease_over_ms) == 84);
static_assert(offsetof(StatePoolLayout, armed) == 88);

struct StateInhibitionLayout {
  std::int64_t since_ms;  // since 1970; likewise below
  std::int64_t until_ms;
  std::int64_t length_ms;  // 0: no end
  std::int64_t ends_ns;    // CLOCK_BOOTTIME in the boot of the header
  std::uint8_t on;         // 0 or 1
  std::array<std::uint8_t, 7> zero;
  std::array<char, kByBytes> by;  // padded with zeros; likewise below
  std::array<char, kReasonBytes> reason;
};
static_assert(sizeof(StateInhibitionLayout) == 208);
static_assert(offsetof(StateInhibitionLayout, on) == 32);
static_assert(offsetof(StateInhibitionLayout, by) == 40);
static_assert(offsetof(StateInhibitionLayout, reason) == 88);

struct StateOrdersLayout {
  std::array<StateInhibitionLayout, kInhibited> inhibitions;
  std::uint32_t fence_count;
  std::uint32_t zero;
  std::array<std::int64_t, kFencesKept> fences_ms;
  std::array<std::int64_t, kFencesKept> fences_ns;  // CLOCK_BOOTTIME in the boot of the header
};
static_assert(sizeof(StateOrdersLayout) == 1096);
static_assert(offsetof(StateOrdersLayout, fence_count) == 832);
static_assert(offsetof(StateOrdersLayout, fences_ms) == 840);

inline constexpr std::size_t kMaxStateBytes =
    sizeof(StateHeaderLayout) + ccm::kMaxPools * sizeof(StatePoolLayout) + sizeof(StateOrdersLayout);

// Whose state it is.
struct StateIdentity {
  PairName pair;
  NodeName node;
};

// At most kMaxPools pools.
std::vector<std::byte> encode_state(const StateIdentity& identity, const DurableState& state);
// The error is a part of a sentence: what is wrong with the bytes. Nothing in them is trusted.
std::expected<DurableState, std::string> decode_state(const StateIdentity& identity, std::span<const std::byte> bytes);

}  // namespace hapair::agent
