// The mailbox disk: a small area on storage that both nodes reach, through which they see each other when every network
// is gone. Blocks of 4096 bytes, so that it fits disks with either size of sector; little-endian, of fixed width.
//
//   block
//     0    whose area it is (DiskHeaderLayout): nothing is written to a disk that does not say so
//     1    the newest beat of the node whose name is the lower one (BeatDatagramLayout), and with it what its agent
//          publishes (notice.h), then zeros
//     2    likewise of the other
//     3-7  zeros, kept
//     8-   of the node whose name is the lower one what it has written about the ownership of each pool, a block a pool
//          by its place in the configuration (OwnershipSlotLayout), then zeros
//     24-  likewise of the other
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "ccm/base/ids.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

inline constexpr std::uint64_t kDiskMagic = 0x314b534944504148;  // "HAPDISK1"
inline constexpr std::uint16_t kDiskVersion = 3;                 // 1 had no blocks for the ownership, 2 no id
inline constexpr std::size_t kDiskBlockBytes = 4096;
inline constexpr std::size_t kFirstSlotBlock = 8;
inline constexpr std::size_t kDiskBlocks = kFirstSlotBlock + 2 * kMaxPools;
inline constexpr std::size_t kDiskBytes = kDiskBlocks * kDiskBlockBytes;
static_assert(kDiskBytes == std::size_t{160} * 1024, "as the operator is told");

struct DiskHeaderLayout {
  std::uint64_t magic;
  std::uint16_t version;
  std::uint16_t blocks;
  std::uint32_t block_bytes;
  std::array<char, kNameBytes> pair;
  std::array<char, kNameBytes> lower_node;  // of the two names the one that sorts first
  std::array<char, kNameBytes> upper_node;
  std::array<std::uint8_t, 16> id;  // drawn when the area was made
  std::uint32_t zero;
  std::uint32_t crc;  // CRC32C of all before it
};
static_assert(sizeof(DiskHeaderLayout) == 136);
static_assert(offsetof(DiskHeaderLayout, id) == 112);
static_assert(offsetof(DiskHeaderLayout, pair) == 16);
static_assert(offsetof(DiskHeaderLayout, lower_node) == 48);
static_assert(offsetof(DiskHeaderLayout, crc) == 132);

// Tells one area from every other: two nodes that look at different disks find it out by it.
using DiskAreaId = std::array<std::uint8_t, 16>;

// Whose area a disk has.
struct DiskPair {
  PairName pair;
  NodeName node;
  NodeName partner;
};
enum class DiskError : std::uint8_t {
  blank,      // zeros: no area was made there
  no_area,    // something else
  version,    // an area of a later version than this node knows
  malformed,  // an area whose header is damaged
  foreign,    // another pair's
  older,      // an area of version 1 or 2: it has no place for the ownership, or no id
};
std::string_view text_of(DiskError error);
// What `hapair mailbox init DEVICE` needs besides to make an area of this pair's there, where nobody else's is lost.
std::string_view init_option(DiskError error);

std::array<std::byte, kDiskBlockBytes> encode_disk_header(const DiskPair& of, const DiskAreaId& id);
// `block` is the disk's first, of kDiskBlockBytes. No input is trusted.
std::expected<DiskAreaId, DiskError> check_disk_header(std::span<const std::byte> block, const DiskPair& expected);

// The block with this node's beat, or the partner's.
inline std::size_t beat_block(const NodeName& of, const NodeName& other) { return of.view() < other.view() ? 1 : 2; }
// The block with what a node has written about a pool's ownership; `lower`: the node's name is the lower one.
inline std::size_t slot_block(bool lower, std::size_t pool_place) {
  return kFirstSlotBlock + (lower ? 0 : kMaxPools) + pool_place;
}

}  // namespace hapair::ccm
