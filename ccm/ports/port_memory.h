// The two memories of one port, shared with its client: the channel with the staging bytes, and what the partner may
// reach. Sealed against shrinking, and really there: neither side can be ended by touching them.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/wire/port_channel.h"

namespace hapair::ccm {

class PortMemory {
 public:
  // The error says which memory could not be had. Takes as long as it takes to clear the bytes.
  static std::expected<PortMemory, std::string> make(std::uint64_t memory_bytes, std::uint64_t staging_bytes);

  [[nodiscard]] PortChannel& channel() const { return *reinterpret_cast<PortChannel*>(control_.bytes().data()); }
  [[nodiscard]] std::span<std::byte> control() const { return control_.bytes(); }
  [[nodiscard]] std::span<std::byte> memory() const { return memory_.bytes(); }
  [[nodiscard]] const Fd& control_fd() const { return control_fd_; }
  [[nodiscard]] const Fd& memory_fd() const { return memory_fd_; }
  // The bytes of a local address; empty where they do not lie within one of the two memories.
  [[nodiscard]] std::span<std::byte> local(std::uint64_t address, std::uint64_t bytes) const;

 private:
  Fd control_fd_;
  Fd memory_fd_;
  Mapping control_;
  Mapping memory_;
};

}  // namespace hapair::ccm
