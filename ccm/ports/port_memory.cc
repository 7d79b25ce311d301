#include "ccm/ports/port_memory.h"

#include <utility>

#include "ccm/base/shared_memory.h"

namespace hapair::ccm {
namespace {

std::expected<void, std::string> make_one(const char* name, std::uint64_t bytes, Fd& fd, Mapping& mapping) {
  auto memory = sealed_memory(name, bytes);
  if (!memory) return std::unexpected(memory.error());
  auto mapped = Mapping::map(*memory, bytes, true);
  if (!mapped) return std::unexpected(mapped.error());
  fd = std::move(*memory);
  mapping = std::move(*mapped);
  return {};
}

std::span<std::byte> within(std::span<std::byte> memory, std::uint64_t offset, std::uint64_t bytes) {
  if (offset > memory.size() || bytes > memory.size() - offset) return {};
  return memory.subspan(offset, bytes);
}

}  // namespace

std::expected<PortMemory, std::string> PortMemory::make(std::uint64_t memory_bytes, std::uint64_t staging_bytes) {
  PortMemory made;
  if (auto one = make_one("hapair-port", memory_bytes, made.memory_fd_, made.memory_); !one) {
    return std::unexpected(one.error());
  }
  const std::uint64_t control = kStagingOffset + staging_bytes;
  if (auto one = make_one("hapair-port-channel", control, made.control_fd_, made.control_); !one) {
    return std::unexpected(one.error());
  }
  PortChannel& channel = made.channel();
  channel.magic = kPortChannelMagic;
  channel.memory_bytes = memory_bytes;
  channel.staging_bytes = staging_bytes;
  return made;
}

std::span<std::byte> PortMemory::local(std::uint64_t address, std::uint64_t bytes) const {
  const std::uint64_t border = memory_.bytes().size();
  if (address < border) return within(memory_.bytes(), address, bytes);
  return within(control_.bytes().subspan(kStagingOffset), address - border, bytes);
}

}  // namespace hapair::ccm
