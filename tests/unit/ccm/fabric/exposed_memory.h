// Memory that a test exposes through a port: a memfd, as every fabric can take it.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

#include "ccm/base/fd.h"
#include "ccm/fabric/port_fabric.h"

namespace hapair::ccm {

class ExposedMemory {
 public:
  ExposedMemory() = default;
  explicit ExposedMemory(std::size_t bytes) { assign(bytes, std::byte{0}); }

  // New memory: what was exposed before is no longer this.
  void assign(std::size_t bytes, std::byte value) {
    fd_ = Fd(::memfd_create("hapair-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(::ftruncate(fd_.get(), static_cast<off_t>(bytes)), 0);
    auto mapping = Mapping::map(fd_, bytes, true);
    ASSERT_TRUE(mapping) << mapping.error();
    mapping_ = std::move(*mapping);
    std::ranges::fill(mapping_.bytes(), value);
  }

  [[nodiscard]] std::span<std::byte> bytes() const { return mapping_.bytes(); }
  [[nodiscard]] std::size_t size() const { return mapping_.bytes().size(); }
  [[nodiscard]] std::byte operator[](std::size_t at) const { return mapping_.bytes()[at]; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] PortExposure exposure(bool reads = true, bool writes = true) const {
    return {.memory = bytes(), .partner_reads = reads, .partner_writes = writes, .memory_fd = fd()};
  }

 private:
  Fd fd_;
  Mapping mapping_;
};

}  // namespace hapair::ccm
