// Blocks of a disk without the page cache between: what is read is on the disk, what is written is there for the other
// node. Both wait for as long as the disk does.
#pragma once

#include <cstddef>
#include <span>

#include "ccm/base/fd.h"

namespace hapair {

// Every disk takes blocks of this size and alignment.
inline constexpr std::size_t kDirectBlockBytes = 4096;

// Memory as direct I/O wants it, zero at first.
class DirectBlock {
 public:
  DirectBlock();
  ~DirectBlock();
  DirectBlock(const DirectBlock&) = delete;
  DirectBlock& operator=(const DirectBlock&) = delete;
  [[nodiscard]] std::span<std::byte> bytes() const { return {bytes_, kDirectBlockBytes}; }

 private:
  std::byte* bytes_;
};

// `disk` was opened with O_DIRECT; `number` counts blocks. 0, or errno; EIO where the disk ends before.
int read_block(const Fd& disk, std::size_t number, const DirectBlock& into);
int write_block(const Fd& disk, std::size_t number, const DirectBlock& from);

}  // namespace hapair
