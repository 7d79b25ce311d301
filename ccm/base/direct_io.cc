#include "ccm/base/direct_io.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "ccm/base/check.h"

namespace hapair {
namespace {

off_t offset_of(std::size_t number) { return static_cast<off_t>(number * kDirectBlockBytes); }

int status_of(ssize_t moved) {
  if (moved < 0) return errno;
  return moved == static_cast<ssize_t>(kDirectBlockBytes) ? 0 : EIO;
}

}  // namespace

DirectBlock::DirectBlock() : bytes_(static_cast<std::byte*>(std::aligned_alloc(kDirectBlockBytes, kDirectBlockBytes))) {
  HAPAIR_CHECK(bytes_ != nullptr, "memory for one block");
  std::memset(bytes_, 0, kDirectBlockBytes);
}

DirectBlock::~DirectBlock() { std::free(bytes_); }

int read_block(const Fd& disk, std::size_t number, const DirectBlock& into) {
  return status_of(::pread(disk.get(), into.bytes().data(), into.bytes().size(), offset_of(number)));
}

int write_block(const Fd& disk, std::size_t number, const DirectBlock& from) {
  return status_of(::pwrite(disk.get(), from.bytes().data(), from.bytes().size(), offset_of(number)));
}

}  // namespace hapair
