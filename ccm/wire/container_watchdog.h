// What the holder of a container's watchdog (ccmd) and the container's process 1 (hapair-node-init) tell each other,
// over a SOCK_SEQPACKET socket: one packet a message. Holding is one connection; a second one is refused while it
// lasts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "ccm/base/time.h"

namespace hapair::ccm {

inline constexpr std::uint32_t kContainerWatchdogMagic = 0x31445743;  // "CWD1"; another layout has another one

enum class ContainerWatchdogMessage : std::uint32_t {
  hold = 1,     // `timeout_ms` is wanted, fed at `at_ns`; answered by held or refused
  feed = 2,     // fed at `at_ns`; answered by fed
  stop = 3,     // the magic word: who closes without it leaves the time running
  held = 4,     // it runs with `timeout_ms`; `cannot_stop`
  refused = 5,  // `error`; the connection is closed
  fed = 6,      // the feed of `at_ns` was read
};

struct ContainerWatchdogPacket {
  std::uint32_t magic;
  std::uint32_t message;
  std::int64_t at_ns;  // CLOCK_BOOTTIME of the holder's decision: what was late on its way fed no later for that
  std::uint32_t timeout_ms;
  std::uint32_t cannot_stop;
  std::int32_t error;  // errno
  std::uint32_t zero;
};
static_assert(sizeof(ContainerWatchdogPacket) == 32);
static_assert(offsetof(ContainerWatchdogPacket, at_ns) == 8);
static_assert(offsetof(ContainerWatchdogPacket, error) == 24);

// What configurations may ask for (ccm/config), and thus what is taken.
inline constexpr std::uint32_t kShortestContainerTimeoutMs = 1'000;
inline constexpr std::uint32_t kLongestContainerTimeoutMs = 600'000;

// Nothing where the bytes are no packet of this layout.
std::optional<ContainerWatchdogPacket> container_watchdog_packet(std::span<const std::byte> bytes);
ContainerWatchdogPacket container_watchdog_packet(ContainerWatchdogMessage message, Instant at = {});

}  // namespace hapair::ccm
