// What one node has written about the ownership of one pool on one mailbox disk: its block of Disk Paxos (Gafni,
// Lamport 2002). 216 bytes at the start of the slot's block (mailbox_disk.h), so that a write is whole or not there on
// disks with either size of sector; little-endian, of fixed width; the MAC is under a key of its own, derived from the
// pair's, and covers everything before it.
//
// Ownership is a row of instances, numbered from 1. Each decides one value: at which epoch which node owns the pool.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "ccm/base/ids.h"
#include "ccm/wire/mac.h"
#include "ccm/wire/mailbox_disk.h"

namespace hapair::ccm {

inline constexpr std::uint64_t kSlotMagic = 0x31544f4c53504148;  // "HAPSLOT1"
inline constexpr std::uint16_t kSlotVersion = 1;
inline constexpr std::size_t kSlotBytes = 216;
inline constexpr std::size_t kMaxOwnershipDisks = 3;

// Of the two nodes' names the one that sorts first, or the other. Values are the disk's.
enum class PairSide : std::uint8_t { none = 0, lower = 1, upper = 2 };
inline constexpr PairSide other(PairSide side) {
  switch (side) {
    case PairSide::lower:
      return PairSide::upper;
    case PairSide::upper:
      return PairSide::lower;
    case PairSide::none:
      break;
  }
  return PairSide::none;
}
inline PairSide side_of(const NodeName& node, const NodeName& partner) {
  return node.view() < partner.view() ? PairSide::lower : PairSide::upper;
}

struct OwnershipSlotLayout {
  std::uint64_t magic;
  std::uint16_t version;
  std::uint8_t side;   // PairSide of the writer
  std::uint8_t pool;   // its place in the configuration
  std::uint8_t disk;   // this disk's place among the disks that decide
  std::uint8_t disks;  // how many of them there are
  std::uint8_t founded;
  std::uint8_t zero;
  std::array<char, kNameBytes> pair;
  std::array<char, kNameBytes> node;
  std::array<char, kNameBytes> pool_name;
  std::uint64_t life;
  std::uint64_t sequence;
  std::uint64_t instance;
  std::uint64_t ballot;
  std::uint64_t voted_in;
  std::uint64_t vote_epoch;
  std::uint64_t decided_instance;
  std::uint64_t decided_epoch;
  std::uint8_t vote_owner;     // PairSide
  std::uint8_t decided_owner;  // PairSide
  std::array<std::uint8_t, 6> more_zeros;
  Mac mac;
};
static_assert(sizeof(OwnershipSlotLayout) == kSlotBytes);
static_assert(kSlotBytes <= 512, "a slot is within the smallest sector");
static_assert(offsetof(OwnershipSlotLayout, pair) == 16);
static_assert(offsetof(OwnershipSlotLayout, pool_name) == 80);
static_assert(offsetof(OwnershipSlotLayout, life) == 112);
static_assert(offsetof(OwnershipSlotLayout, instance) == 128);
static_assert(offsetof(OwnershipSlotLayout, voted_in) == 144);
static_assert(offsetof(OwnershipSlotLayout, decided_instance) == 160);
static_assert(offsetof(OwnershipSlotLayout, vote_owner) == 176);
static_assert(offsetof(OwnershipSlotLayout, mac) == 184);

struct OwnershipValue {
  Epoch epoch;
  PairSide owner = PairSide::none;
  bool operator==(const OwnershipValue&) const = default;
};
// What an instance came to; instance 0: none has come to anything yet.
struct OwnershipDecision {
  std::uint64_t instance = 0;
  OwnershipValue value;
  bool operator==(const OwnershipDecision&) const = default;
};
// The words of the paper are in parentheses.
struct OwnershipSlot {
  std::uint64_t life = 0;       // of the writer's program: drawn at its start, never 0
  std::uint64_t sequence = 0;   // of the writes of that life, from 1
  bool founded = false;         // all disks have a slot of the writer; before, it uses no ballot
  std::uint64_t instance = 0;   // that `ballot` and `vote` belong to: the last decided one or the next
  std::uint64_t ballot = 0;     // (mbal) the highest that the writer began; odd of the lower node, even of the upper
  std::uint64_t voted_in = 0;   // (bal) the ballot of `vote`; 0: no vote in this instance
  OwnershipValue vote{};        // (inp)
  OwnershipDecision decided{};  // the last decision that the writer knows
  bool operator==(const OwnershipSlot&) const = default;
};

// Which slot of which disk.
struct SlotPlace {
  DiskPair of;  // as this node sees it
  PairSide writer = PairSide::none;
  PoolName pool;
  std::uint8_t pool_place = 0;
  std::uint8_t disk = 0;
  std::uint8_t disks = 0;
  // The slot's block on the disk.
  [[nodiscard]] std::size_t block() const { return slot_block(writer == PairSide::lower, pool_place); }
};

enum class SlotError : std::uint8_t {
  blank,         // zeros: nothing was written there since the area was made
  garbage,       // no slot, or half of one
  version,       // of a version that this node does not read
  foreign_pair,  // another pair's
  foreign_node,  // not the node's whose place it is
  foreign_pool,  // another pool's: the nodes list their pools in different orders
  misplaced,     // written for another disk, pool place or number of disks
  forged,        // not under the pair's key
  malformed,     // the pair's own, and its numbers contradict each other
};
std::string_view text_of(SlotError error);

// The key of a pair's slots.
Key slot_key(const Key& pair_key);

std::array<std::byte, kSlotBytes> encode_slot(const OwnershipSlot& slot, const SlotPlace& place, const Key& key);
// `block` is the slot's, whole. No input is trusted.
std::expected<OwnershipSlot, SlotError> decode_slot(std::span<const std::byte> block, const SlotPlace& place,
                                                    const Key& key);

}  // namespace hapair::ccm
