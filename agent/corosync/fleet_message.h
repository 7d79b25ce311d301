// What a node tells every other one of a Corosync process group about itself: one message, little-endian, of fixed
// widths, with a checksum. A header, then one entry for each of its pools.
//
// Nobody in the group is trusted: a message has no MAC, and whoever may speak to a Corosync of the cluster can send
// any. So what comes of it is shown to people and never decided by.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/status_page.h"

namespace hapair::agent {

inline constexpr std::uint64_t kFleetMagic = 0x3154454c46504148;  // "HAPFLET1"
inline constexpr std::uint16_t kFleetVersion = 1;
inline constexpr std::size_t kFleetWordBytes = 24;  // zero-padded

struct FleetPoolLayout {
  std::uint64_t epoch;
  std::array<char, ccm::kNameBytes> name;
  std::array<char, ccm::kNameBytes> owner;  // empty: not known
  std::array<char, kFleetWordBytes> state;
};
struct FleetHeaderLayout {
  std::uint64_t magic;
  std::uint16_t version;
  std::uint16_t bytes;  // of the whole message
  std::uint32_t crc;    // CRC32C of the whole message, with zeros here
  std::uint32_t age_ms;
  std::uint8_t pools;
  std::array<std::uint8_t, 3> zeros;
  std::array<char, ccm::kNameBytes> pair;
  std::array<char, ccm::kNameBytes> node;
  std::array<char, ccm::kNameBytes> partner;
  std::array<char, kFleetWordBytes> state;
  std::array<char, kFleetWordBytes> partner_seen;
};
inline constexpr std::size_t kFleetHeaderBytes = 168;
inline constexpr std::size_t kFleetPoolBytes = 96;
inline constexpr std::size_t kMaxFleetMessageBytes = kFleetHeaderBytes + ccm::kMaxPools * kFleetPoolBytes;
static_assert(sizeof(FleetHeaderLayout) == kFleetHeaderBytes);
static_assert(sizeof(FleetPoolLayout) == kFleetPoolBytes);
static_assert(offsetof(FleetHeaderLayout, crc) == 12);
static_assert(offsetof(FleetHeaderLayout, pools) == 20);
static_assert(offsetof(FleetHeaderLayout, pair) == 24);
static_assert(offsetof(FleetHeaderLayout, state) == 120);
static_assert(offsetof(FleetPoolLayout, owner) == 40);
static_assert(offsetof(FleetPoolLayout, state) == 72);
static_assert(kMaxFleetMessageBytes <= UINT16_MAX);

// States are the words of control.proto. A newer hapair may have others: they are shown as they are.
struct FleetPool {
  PoolName name;
  NodeName owner;  // empty: not known
  std::string state;
  Epoch epoch;
  bool operator==(const FleetPool&) const = default;
};
struct FleetReport {
  PairName pair;
  NodeName node;
  NodeName partner;
  std::string state;
  std::string partner_seen;      // the node's verdict about its partner
  std::vector<FleetPool> pools;  // at most kMaxPools
  bool operator==(const FleetReport&) const = default;
};
struct FleetNews {
  FleetReport report;
  Duration age{};  // of the report, when it was sent
};

enum class FleetRefusal : std::uint8_t {
  foreign,    // no message of hapair's
  truncated,  // shorter than it says
  newer,      // of a version that this node does not read
  garbage,    // its checksum or its contents are wrong
};
inline constexpr std::size_t kFleetRefusals = 4;
std::string_view text_of(FleetRefusal refusal);

// A word that is too long is cut.
std::vector<std::byte> encode_fleet_message(const FleetNews& news);
// No input is trusted.
std::expected<FleetNews, FleetRefusal> decode_fleet_message(std::span<const std::byte> bytes);

}  // namespace hapair::agent
