// Two ends of shm ports in one folder, with the port files that stand for their network and power.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <optional>

#include "ccm/fabric/shm/port_file.h"
#include "ccm/fabric/shm/shm_port_fabric.h"
#include "tests/unit/ccm/fabric/exposed_memory.h"
#include "tests/unit/ccm/temp_folder.h"

namespace hapair::ccm {

inline ShmSettings shm_settings(const std::string& folder, const char* node, const char* partner) {
  return {.dir = folder,
          .pair = *PairName::parse("pair"),
          .node = *NodeName::parse(node),
          .partner = *NodeName::parse(partner),
          .retry_timeout = std::chrono::milliseconds(20),
          .answer_timeout = std::chrono::milliseconds(500)};
}

inline PortToken port_token(std::uint8_t mark) {
  PortToken token{};
  token.fill(mark);
  return token;
}

inline std::optional<PortFile> held_port(const std::string& path) {
  auto port = PortFile::open(path, true);
  if (!port || !port->hold()) return std::nullopt;
  return std::move(*port);
}

// Polls `fabric`, and `other` where there is one, until it has an event; none after ten seconds.
inline std::optional<PortEvent> next_event(PortFabric& fabric, PortFabric* other = nullptr) {
  const SystemClock clock;
  const Instant until = clock.now() + std::chrono::seconds(10);
  std::array<PortEvent, 1> event;
  std::array<PortEvent, 8> others;
  while (clock.now() < until) {
    if (fabric.poll(clock.now(), event) > 0) return event[0];
    if (other != nullptr) (void)other->poll(clock.now(), others);
  }
  return std::nullopt;
}

inline void expect_next(PortFabric& fabric, PortEvent::Kind kind, FabricError error, PortFabric* other = nullptr) {
  const auto event = next_event(fabric, other);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, kind);
  EXPECT_EQ(event->error, error) << text_of(event->error);
}

}  // namespace hapair::ccm
