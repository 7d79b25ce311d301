#include "ccm/wire/session_block.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>

#include "ccm/wire/observation.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {
namespace {

// As full as a node's may be.
SessionBlockLayout full_block() {
  SessionBlockLayout block{};
  block.protocol_min = 1;
  block.protocol_max = 2;
  block.rails = (1U << kMaxRails) - 1;
  block.port_count = kMaxPorts;
  for (std::uint8_t i = 0; i < kMaxPorts; ++i) {
    block.ports.at(i) = {.slot = static_cast<std::uint8_t>(kMaxClients - 1 - i / kMaxClientPorts),
                         .index = static_cast<std::uint8_t>(i % kMaxClientPorts),
                         .rail = kMaxRails - 1,
                         .rights = kPartnerReads | kPartnerWrites,
                         .exposure = UINT32_MAX,
                         .reaches = UINT32_MAX,
                         .avoids = (1U << kMaxRails) - 1,
                         .zero = {},
                         .memory_bytes = UINT64_MAX};
  }
  return block;
}

bool sound_with(const std::function<void(SessionBlockLayout&)>& change) {
  SessionBlockLayout block = full_block();
  change(block);
  return session_block_is_sound(block);
}

TEST(SessionBlock, IsSoundWhereEveryFieldHasItsHighestValue) {
  EXPECT_TRUE(session_block_is_sound(full_block()));
  EXPECT_TRUE(session_block_is_sound(SessionBlockLayout{})) << "of a CCM that has no sessions";
}

TEST(SessionBlock, VersionsAreARange) {
  EXPECT_TRUE(sound_with([](SessionBlockLayout& block) { block.protocol_min = block.protocol_max; }));
  EXPECT_TRUE(sound_with([](SessionBlockLayout& block) { block.protocol_max = UINT16_MAX; }));
  EXPECT_FALSE(sound_with([](SessionBlockLayout& block) { block.protocol_min = 3; }));
}

TEST(SessionBlock, ListsNoMorePortsThanItHolds) {
  EXPECT_FALSE(sound_with([](SessionBlockLayout& block) { block.port_count = kMaxPorts + 1; }));
  EXPECT_FALSE(sound_with([](SessionBlockLayout& block) { block.port_count = UINT8_MAX; }));
}

TEST(SessionBlock, NamesNoRailThatNoNodeHas) {
  EXPECT_FALSE(sound_with([](SessionBlockLayout& block) { block.rails = 1U << kMaxRails; }));
  EXPECT_FALSE(sound_with([](SessionBlockLayout& block) { block.rails = UINT8_MAX; }));
}

// The first port and the last: a check of some of them would be none.
TEST(SessionBlock, EachPortsFieldsAreWithinTheirRanges) {
  for (const std::size_t i : {std::size_t{0}, kMaxPorts - 1}) {
    const auto sound = [&](const std::function<void(SessionPortLayout&)>& change) {
      return sound_with([&](SessionBlockLayout& block) { change(block.ports.at(i)); });
    };
    EXPECT_FALSE(sound([](SessionPortLayout& port) { port.slot = kMaxClients; }));
    EXPECT_FALSE(sound([](SessionPortLayout& port) { port.index = kMaxClientPorts; }));
    EXPECT_FALSE(sound([](SessionPortLayout& port) { port.rail = kMaxRails; }));
    EXPECT_FALSE(sound([](SessionPortLayout& port) { port.rights = kPartnerReads + kPartnerWrites + 1; }));
    EXPECT_FALSE(sound([](SessionPortLayout& port) { port.avoids = 1U << kMaxRails; }));
    EXPECT_TRUE(sound([](SessionPortLayout& port) { port.rights = 0; }));
    EXPECT_TRUE(sound([](SessionPortLayout& port) { port.exposure = 0; }));
    EXPECT_TRUE(sound([](SessionPortLayout& port) { port.reaches = 0; }));
    EXPECT_TRUE(sound([](SessionPortLayout& port) { port.memory_bytes = 0; }));
  }
}

TEST(SessionBlock, APortIsListedOnce) {
  EXPECT_FALSE(sound_with([](SessionBlockLayout& block) {
    block.ports[kMaxPorts - 1].slot = block.ports[0].slot;
    block.ports[kMaxPorts - 1].index = block.ports[0].index;
  }));
}

TEST(SessionBlock, WhatIsBeyondThePortsListedIsNotLookedAt) {
  EXPECT_TRUE(sound_with([](SessionBlockLayout& block) {
    block.port_count = 1;
    block.ports[1] = block.ports[0];
    block.ports[2].slot = UINT8_MAX;
  }));
}

// A later version may use what is spare now.
TEST(SessionBlock, UnknownCapabilitiesAndSpareBytesAreNoError) {
  EXPECT_TRUE(sound_with([](SessionBlockLayout& block) {
    block.capabilities = UINT64_MAX;
    block.zero_a = 1;
    block.zero_b.fill(1);
    block.ports[0].zero.fill(1);
    block.software.fill('x');
    block.serial = UINT64_MAX;
  }));
}

}  // namespace
}  // namespace hapair::ccm
