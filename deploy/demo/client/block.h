// What the client writes: blocks that say which run, pool, slot and write they belong to, and that are whole or not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>

namespace hapair::demo {

inline constexpr std::size_t kBlockBytes = 4096;

struct BlockName {
  std::uint64_t run = 0;       // drawn at each start of the client: blocks of an older run are not this run's
  std::uint64_t sequence = 0;  // of the write, from 1
  std::uint64_t slot = 0;      // the block's place on the LUN
  std::uint32_t pool = 0;      // a checksum of the pool's name
  bool operator==(const BlockName&) const = default;
};

enum class BlockFault : std::uint8_t {
  empty,    // nothing was ever written there
  foreign,  // bytes that are no block of this client
  torn,     // a block whose checksum does not match
};
std::string_view text_of(BlockFault fault);

std::uint32_t pool_number(std::string_view pool);

// Fills `into` (kBlockBytes) with the name, a body derived from it, and the checksum.
void write_block(const BlockName& name, std::span<std::byte> into);
std::expected<BlockName, BlockFault> read_block(std::span<const std::byte> block);

}  // namespace hapair::demo
