#include "ccm/wire/ownership_slot.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <vector>

#include "tests/unit/ccm/wire/golden.h"

namespace hapair::ccm {
namespace {

Key key_of(std::string_view secret) { return slot_key(Key::from_secret(std::as_bytes(std::span(secret)))); }
Key golden_key() { return key_of("0123456789abcdef0123456789abcdef"); }

SlotPlace golden_place() {
  return {.of = {*PairName::parse("pair-1"), *NodeName::parse("beta"), *NodeName::parse("alpha")},
          .writer = PairSide::upper,
          .pool = *PoolName::parse("pool-a"),
          .pool_place = 3,
          .disk = 1,
          .disks = 3};
}

OwnershipSlot golden_slot() {
  return {.life = 0x1122334455667788,
          .sequence = 0x0102030405060708,
          .founded = true,
          .instance = 6,
          .ballot = 0x0a0c,
          .voted_in = 0x0908,
          .vote = {Epoch(0x0e0d), PairSide::upper},
          .decided = {5, {Epoch(0x0e0c), PairSide::lower}}};
}

std::vector<std::byte> block_of(std::span<const std::byte> bytes) {
  std::vector<std::byte> block(kDiskBlockBytes);
  std::memcpy(block.data(), bytes.data(), bytes.size());
  return block;
}

// Changed by who holds the key.
std::vector<std::byte> sealed(const std::function<void(OwnershipSlotLayout&)>& change) {
  const auto bytes = encode_slot(golden_slot(), golden_place(), golden_key());
  OwnershipSlotLayout layout;
  std::memcpy(&layout, bytes.data(), sizeof layout);
  change(layout);
  layout.mac = mac_of(golden_key(), {std::as_bytes(std::span(&layout, 1)).first(offsetof(OwnershipSlotLayout, mac))});
  return block_of(std::as_bytes(std::span(&layout, 1)));
}

SlotError error_of(std::span<const std::byte> block, const SlotPlace& place = golden_place()) {
  const auto slot = decode_slot(block, place, golden_key());
  EXPECT_FALSE(slot.has_value());
  return slot ? SlotError::blank : slot.error();
}

TEST(OwnershipSlot, IsEncodedAsTheGoldenBytes) {
  const auto bytes = encode_slot(golden_slot(), golden_place(), golden_key());
  EXPECT_EQ(std::vector<std::byte>(bytes.begin(), bytes.end()), golden_bytes(kGoldenSlot, kSlotBytes));
}

TEST(OwnershipSlot, IsReadFromTheGoldenBytes) {
  const auto slot = decode_slot(golden_bytes(kGoldenSlot, kDiskBlockBytes), golden_place(), golden_key());
  ASSERT_TRUE(slot.has_value());
  EXPECT_EQ(*slot, golden_slot());
}

TEST(OwnershipSlot, IsTheSameFromBothNodesPointsOfView) {
  SlotPlace from_alpha = golden_place();
  std::swap(from_alpha.of.node, from_alpha.of.partner);
  EXPECT_EQ(decode_slot(golden_bytes(kGoldenSlot, kDiskBlockBytes), from_alpha, golden_key()), golden_slot());
}

TEST(OwnershipSlot, HasABlockForEachPoolOfEachNodeWithinTheArea) {
  SlotPlace place = golden_place();
  std::vector<std::size_t> blocks;
  for (const PairSide side : {PairSide::lower, PairSide::upper}) {
    for (std::size_t pool = 0; pool < kMaxPools; ++pool) {
      place.writer = side;
      place.pool_place = static_cast<std::uint8_t>(pool);
      blocks.push_back(place.block());
    }
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) EXPECT_EQ(blocks[i], 8 + i);
  EXPECT_EQ(blocks.back() + 1, kDiskBlocks);
}

TEST(OwnershipSlot, ThatWasNeverWrittenIsBlank) {
  EXPECT_EQ(error_of(std::vector<std::byte>(kDiskBlockBytes)), SlotError::blank);
}

TEST(OwnershipSlot, IsGarbageWhereItIsNoSlotOrCutShort) {
  std::vector<std::byte> block(kDiskBlockBytes);
  block.back() = std::byte{1};
  EXPECT_EQ(error_of(block), SlotError::garbage);
  const auto golden = golden_bytes(kGoldenSlot, kDiskBlockBytes);
  EXPECT_EQ(error_of(std::span(golden).first(kSlotBytes)), SlotError::garbage);
  EXPECT_EQ(error_of({}), SlotError::garbage);
  EXPECT_EQ(error_of(std::vector<std::byte>(kDiskBlockBytes, std::byte{0x55})), SlotError::garbage);
}

TEST(OwnershipSlot, WithAnyByteFlippedIsRefused) {
  auto block = golden_bytes(kGoldenSlot, kDiskBlockBytes);
  for (std::size_t i = 0; i < kSlotBytes; ++i) {
    block[i] ^= std::byte{1};
    EXPECT_FALSE(decode_slot(block, golden_place(), golden_key())) << i;
    block[i] ^= std::byte{1};
  }
}

TEST(OwnershipSlot, WrittenToItsHalfIsForged) {
  auto block = golden_bytes(kGoldenSlot, kDiskBlockBytes);
  OwnershipSlot older = golden_slot();
  older.ballot -= 2;
  older.sequence -= 1;
  const auto before = encode_slot(older, golden_place(), golden_key());
  std::memcpy(block.data() + 132, before.data() + 132, kSlotBytes - 132);
  EXPECT_EQ(error_of(block), SlotError::forged);
}

TEST(OwnershipSlot, OfAnotherKeyIsForged) {
  const auto block = golden_bytes(kGoldenSlot, kDiskBlockBytes);
  const auto slot = decode_slot(block, golden_place(), key_of("another secret of 32 bytes or so"));
  ASSERT_FALSE(slot);
  EXPECT_EQ(slot.error(), SlotError::forged);
}

TEST(OwnershipSlot, OfAnotherVersionPairNodeOrPoolSaysSo) {
  EXPECT_EQ(error_of(sealed([](auto& s) { s.version = 2; })), SlotError::version);
  EXPECT_EQ(error_of(sealed([](auto& s) { s.pair[0] = 'q'; })), SlotError::foreign_pair);
  EXPECT_EQ(error_of(sealed([](auto& s) { s.node[0] = 'q'; })), SlotError::foreign_node);
  EXPECT_EQ(error_of(sealed([](auto& s) { s.pool_name[0] = 'q'; })), SlotError::foreign_pool);
}

TEST(OwnershipSlot, CopiedToAnotherPlaceSaysSo) {
  const auto block = golden_bytes(kGoldenSlot, kDiskBlockBytes);
  SlotPlace place = golden_place();
  place.writer = PairSide::lower;
  EXPECT_EQ(error_of(block, place), SlotError::foreign_node);
  place = golden_place();
  place.disk = 2;
  EXPECT_EQ(error_of(block, place), SlotError::misplaced) << "a copy of another disk";
  place = golden_place();
  place.disks = 1;
  EXPECT_EQ(error_of(block, place), SlotError::misplaced) << "of three disks, and now there is one";
  place = golden_place();
  place.pool_place = 0;
  EXPECT_EQ(error_of(block, place), SlotError::misplaced);
}

TEST(OwnershipSlot, WhoseNumbersContradictEachOtherIsMalformed) {
  const std::vector<std::function<void(OwnershipSlotLayout&)>> malformed{
      [](auto& s) { s.life = 0; },
      [](auto& s) { s.sequence = 0; },
      [](auto& s) { s.founded = 2; },
      [](auto& s) { s.founded = 0; },
      [](auto& s) { s.instance = 7; },
      [](auto& s) { s.instance = 4; },
      [](auto& s) { s.instance = 0; },
      [](auto& s) { s.ballot = 1; },
      [](auto& s) { s.ballot += 1; },
      [](auto& s) { s.voted_in += 1; },
      [](auto& s) { s.voted_in = s.ballot + 2; },
      [](auto& s) { s.voted_in = 0; },
      [](auto& s) { s.vote_epoch = 0; },
      [](auto& s) { s.vote_epoch = s.decided_epoch; },
      [](auto& s) { s.vote_owner = 3; },
      [](auto& s) { s.vote_owner = 0; },
      [](auto& s) { s.decided_owner = 3; },
      [](auto& s) { s.decided_epoch = 0; },
      [](auto& s) { s.decided_instance = 0; },
  };
  for (std::size_t i = 0; i < malformed.size(); ++i)
    EXPECT_EQ(error_of(sealed(malformed[i])), SlotError::malformed) << i;
}

TEST(OwnershipSlot, OfANodeThatHasUsedNoBallotComesBack) {
  const OwnershipSlot first{.life = 1, .sequence = 1};
  const auto block = block_of(encode_slot(first, golden_place(), golden_key()));
  EXPECT_EQ(decode_slot(block, golden_place(), golden_key()), first);
}

}  // namespace
}  // namespace hapair::ccm
