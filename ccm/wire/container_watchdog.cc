#include "ccm/wire/container_watchdog.h"

#include <cstring>

namespace hapair::ccm {

std::optional<ContainerWatchdogPacket> container_watchdog_packet(std::span<const std::byte> bytes) {
  ContainerWatchdogPacket packet{};
  if (bytes.size() != sizeof packet) return std::nullopt;
  std::memcpy(&packet, bytes.data(), sizeof packet);
  if (packet.magic != kContainerWatchdogMagic) return std::nullopt;
  return packet;
}

ContainerWatchdogPacket container_watchdog_packet(ContainerWatchdogMessage message, Instant at) {
  ContainerWatchdogPacket packet{};
  packet.magic = kContainerWatchdogMagic;
  packet.message = static_cast<std::uint32_t>(message);
  packet.at_ns = ns_of(at);
  return packet;
}

}  // namespace hapair::ccm
