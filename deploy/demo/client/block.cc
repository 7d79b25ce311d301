#include "deploy/demo/client/block.h"

#include <algorithm>
#include <cstring>

#include "ccm/base/check.h"
#include "ccm/base/crc32c.h"

namespace hapair::demo {
namespace {

constexpr std::uint64_t kMagic = 0x314b4c424d454448;  // "HDEMBLK1"

struct Head {
  std::uint64_t magic;
  std::uint64_t run;
  std::uint64_t sequence;
  std::uint64_t slot;
  std::uint32_t pool;
  std::uint32_t crc;  // over the whole block with this field zero
};
static_assert(sizeof(Head) == 40);

}  // namespace

std::string_view text_of(BlockFault fault) {
  switch (fault) {
    case BlockFault::empty:
      return "empty";
    case BlockFault::foreign:
      return "foreign bytes";
    case BlockFault::torn:
      return "a torn block";
  }
  return "unknown";
}

std::uint32_t pool_number(std::string_view pool) { return crc32c(std::as_bytes(std::span(pool))); }

void write_block(const BlockName& name, std::span<std::byte> into) {
  HAPAIR_CHECK(into.size() == kBlockBytes, "a block has one size");
  // The body differs from write to write in every word, so that a block put together from two writes shows.
  std::uint64_t word = name.run ^ (name.sequence * 0x9e3779b97f4a7c15U);
  for (std::size_t at = sizeof(Head); at + sizeof(word) <= into.size(); at += sizeof(word)) {
    word ^= word << 13U;
    word ^= word >> 7U;
    word ^= word << 17U;
    std::memcpy(into.data() + at, &word, sizeof(word));
  }
  Head head{kMagic, name.run, name.sequence, name.slot, name.pool, 0};
  std::memcpy(into.data(), &head, sizeof(head));
  head.crc = crc32c(into);
  std::memcpy(into.data(), &head, sizeof(head));
}

std::expected<BlockName, BlockFault> read_block(std::span<const std::byte> block) {
  HAPAIR_CHECK(block.size() == kBlockBytes, "a block has one size");
  if (std::ranges::all_of(block, [](std::byte b) { return b == std::byte{0}; })) {
    return std::unexpected(BlockFault::empty);
  }
  Head head{};
  std::memcpy(&head, block.data(), sizeof(head));
  if (head.magic != kMagic) return std::unexpected(BlockFault::foreign);
  Head unsigned_head = head;
  unsigned_head.crc = 0;
  std::uint32_t crc = crc32c(std::as_bytes(std::span(&unsigned_head, 1)));
  crc = crc32c(block.subspan(sizeof(Head)), crc);
  if (crc != head.crc) return std::unexpected(BlockFault::torn);
  return BlockName{head.run, head.sequence, head.slot, head.pool};
}

}  // namespace hapair::demo
