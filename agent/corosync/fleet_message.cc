#include "agent/corosync/fleet_message.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "ccm/base/check.h"
#include "ccm/base/crc32c.h"

namespace hapair::agent {
namespace {

using Word = std::array<char, kFleetWordBytes>;

// Nothing that could disturb a terminal or a table gets through.
std::optional<std::string> word_in(const Word& in) {
  const auto end = std::ranges::find(in, '\0');
  const bool plain =
      std::all_of(in.begin(), end, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
  const bool padded = std::all_of(end, in.end(), [](char c) { return c == '\0'; });
  if (!plain || !padded || end == in.begin() || end == in.end()) return std::nullopt;
  return std::string(in.begin(), end);
}

template <class Name>
std::optional<Name> name_of(const std::array<char, ccm::kNameBytes>& in) {
  return Name::parse(ccm::name_in(in));
}

std::uint32_t checksum(std::span<const std::byte> message) {
  constexpr std::size_t kAt = offsetof(FleetHeaderLayout, crc);
  constexpr std::array<std::byte, sizeof(FleetHeaderLayout::crc)> kZeros{};
  return crc32c(message.subspan(kAt + kZeros.size()), crc32c(kZeros, crc32c(message.first(kAt))));
}

std::optional<FleetPool> pool_in(std::span<const std::byte> bytes) {
  FleetPoolLayout in;
  std::memcpy(&in, bytes.data(), sizeof in);
  const auto name = name_of<PoolName>(in.name);
  const auto state = word_in(in.state);
  const auto owner = name_of<NodeName>(in.owner);
  if (!name || !state || (!owner && in.owner.front() != '\0')) return std::nullopt;
  return FleetPool{*name, owner.value_or(NodeName{}), *state, Epoch(in.epoch)};
}

}  // namespace

std::string_view text_of(FleetRefusal refusal) {
  switch (refusal) {
    case FleetRefusal::foreign:
      return "foreign";
    case FleetRefusal::truncated:
      return "truncated";
    case FleetRefusal::newer:
      return "newer";
    case FleetRefusal::garbage:
      return "garbage";
  }
  return "unknown";
}

std::vector<std::byte> encode_fleet_message(const FleetNews& news) {
  const FleetReport& report = news.report;
  HAPAIR_CHECK(report.pools.size() <= ccm::kMaxPools, "the configuration was checked");
  std::vector<std::byte> bytes(kFleetHeaderBytes + report.pools.size() * kFleetPoolBytes);
  FleetHeaderLayout out{};
  out.magic = kFleetMagic;
  out.version = kFleetVersion;
  out.bytes = static_cast<std::uint16_t>(bytes.size());
  const auto age_ms = std::max<std::int64_t>(0, news.age / std::chrono::milliseconds(1));
  out.age_ms = static_cast<std::uint32_t>(std::min<std::int64_t>(age_ms, UINT32_MAX));
  out.pools = static_cast<std::uint8_t>(report.pools.size());
  ccm::put_name(out.pair, report.pair.view());
  ccm::put_name(out.node, report.node.view());
  ccm::put_name(out.partner, report.partner.view());
  ccm::put_name(out.state, report.state);
  ccm::put_name(out.partner_seen, report.partner_seen);
  std::memcpy(bytes.data(), &out, sizeof out);
  for (std::size_t i = 0; i < report.pools.size(); ++i) {
    FleetPoolLayout pool{};
    pool.epoch = report.pools[i].epoch.value();
    ccm::put_name(pool.name, report.pools[i].name.view());
    ccm::put_name(pool.owner, report.pools[i].owner.view());
    ccm::put_name(pool.state, report.pools[i].state);
    std::memcpy(bytes.data() + kFleetHeaderBytes + i * kFleetPoolBytes, &pool, sizeof pool);
  }
  out.crc = checksum(bytes);
  std::memcpy(bytes.data(), &out, sizeof out);
  return bytes;
}

std::expected<FleetNews, FleetRefusal> decode_fleet_message(std::span<const std::byte> bytes) {
  std::uint64_t magic = 0;
  if (bytes.size() < sizeof magic) return std::unexpected(FleetRefusal::foreign);
  std::memcpy(&magic, bytes.data(), sizeof magic);
  if (magic != kFleetMagic) return std::unexpected(FleetRefusal::foreign);
  std::uint16_t version = 0;
  constexpr std::size_t kVersionAt = offsetof(FleetHeaderLayout, version);
  if (bytes.size() < kVersionAt + sizeof version) return std::unexpected(FleetRefusal::truncated);
  std::memcpy(&version, bytes.data() + kVersionAt, sizeof version);
  if (version > kFleetVersion) return std::unexpected(FleetRefusal::newer);
  if (bytes.size() < kFleetHeaderBytes) return std::unexpected(FleetRefusal::truncated);
  FleetHeaderLayout in;
  std::memcpy(&in, bytes.data(), sizeof in);
  if (bytes.size() < in.bytes) return std::unexpected(FleetRefusal::truncated);
  if (version != kFleetVersion || bytes.size() != in.bytes || in.pools > ccm::kMaxPools ||
      bytes.size() != kFleetHeaderBytes + in.pools * kFleetPoolBytes || in.crc != checksum(bytes)) {
    return std::unexpected(FleetRefusal::garbage);
  }
  const auto pair = name_of<PairName>(in.pair);
  const auto node = name_of<NodeName>(in.node);
  const auto partner = name_of<NodeName>(in.partner);
  const auto state = word_in(in.state);
  const auto seen = word_in(in.partner_seen);
  if (!pair || !node || !partner || !state || !seen || *node == *partner) {
    return std::unexpected(FleetRefusal::garbage);
  }
  FleetNews news{{*pair, *node, *partner, *state, *seen, {}}, std::chrono::milliseconds(in.age_ms)};
  for (std::size_t i = 0; i < in.pools; ++i) {
    auto pool = pool_in(bytes.subspan(kFleetHeaderBytes + i * kFleetPoolBytes, kFleetPoolBytes));
    if (!pool) return std::unexpected(FleetRefusal::garbage);
    news.report.pools.push_back(std::move(*pool));
  }
  return news;
}

}  // namespace hapair::agent
