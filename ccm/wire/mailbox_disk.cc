#include "ccm/wire/mailbox_disk.h"

#include <algorithm>
#include <cstring>

#include "ccm/base/crc32c.h"

namespace hapair::ccm {
namespace {

constexpr std::size_t kCovered = offsetof(DiskHeaderLayout, crc);

// Of versions 1 and 2 the checksum lay before where the id lies now.
DiskError older_one(std::span<const std::byte> block) {
  constexpr std::size_t kCoveredThen = 116;
  std::uint32_t crc = 0;
  std::memcpy(&crc, block.data() + kCoveredThen, sizeof crc);
  return crc == crc32c(block.first(kCoveredThen)) ? DiskError::older : DiskError::malformed;
}

}  // namespace

std::string_view text_of(DiskError error) {
  switch (error) {
    case DiskError::blank:
      return "it is blank";
    case DiskError::no_area:
      return "it holds something else than a mailbox area";
    case DiskError::version:
      return "its mailbox area is of a later version than this hapair knows";
    case DiskError::malformed:
      return "the header of its mailbox area is damaged";
    case DiskError::foreign:
      return "its mailbox area is another pair's";
    case DiskError::older:
      return "its mailbox area is of an older version, as an earlier hapair made it, and must be made anew with "
             "--overwrite";
  }
  return "unknown";
}

std::string_view init_option(DiskError error) { return error == DiskError::older ? " --overwrite" : ""; }

std::array<std::byte, kDiskBlockBytes> encode_disk_header(const DiskPair& of, const DiskAreaId& id) {
  const bool lower = beat_block(of.node, of.partner) == 1;
  DiskHeaderLayout header{};
  header.magic = kDiskMagic;
  header.version = kDiskVersion;
  header.blocks = kDiskBlocks;
  header.block_bytes = kDiskBlockBytes;
  put_name(header.pair, of.pair.view());
  put_name(header.lower_node, (lower ? of.node : of.partner).view());
  put_name(header.upper_node, (lower ? of.partner : of.node).view());
  header.id = id;
  header.crc = crc32c(std::as_bytes(std::span(&header, 1)).first(kCovered));
  std::array<std::byte, kDiskBlockBytes> block{};
  std::memcpy(block.data(), &header, sizeof header);
  return block;
}

std::expected<DiskAreaId, DiskError> check_disk_header(std::span<const std::byte> block, const DiskPair& expected) {
  if (block.size() != kDiskBlockBytes) return std::unexpected(DiskError::no_area);
  DiskHeaderLayout header;
  std::memcpy(&header, block.data(), sizeof header);
  if (header.magic != kDiskMagic) {
    const bool blank = std::ranges::all_of(block, [](std::byte byte) { return byte == std::byte{}; });
    return std::unexpected(blank ? DiskError::blank : DiskError::no_area);
  }
  if (header.version == 1 || header.version == 2) return std::unexpected(older_one(block));
  if (header.crc != crc32c(block.first(kCovered))) return std::unexpected(DiskError::malformed);
  if (header.version != kDiskVersion) return std::unexpected(DiskError::version);
  const auto own = encode_disk_header(expected, header.id);
  if (!std::ranges::equal(block.first(sizeof header), std::span(own).first(sizeof header))) {
    return std::unexpected(DiskError::foreign);
  }
  return header.id;
}

}  // namespace hapair::ccm
