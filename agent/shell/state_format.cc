#include "agent/shell/state_format.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "agent/core/lease.h"
#include "ccm/base/check.h"
#include "ccm/base/crc32c.h"

namespace hapair::agent {
namespace {

static_assert(std::endian::native == std::endian::little, "the layouts are written as they lie in memory");

std::uint32_t crc_of(std::span<const std::byte> bytes) {
  constexpr std::size_t kCrcAt = offsetof(StateHeaderLayout, crc);
  constexpr std::array<std::byte, sizeof(std::uint32_t)> kZero{};
  std::uint32_t crc = crc32c(bytes.first(kCrcAt));
  crc = crc32c(kZero, crc);
  return crc32c(bytes.subspan(kCrcAt + kZero.size()), crc);
}

// A zero-padded name; nothing where the bytes are no such thing. An empty one is allowed only with `or_empty`.
template <class NameType>
std::optional<NameType> name_from(const std::array<char, ccm::kNameBytes>& field, bool or_empty) {
  const std::string_view text = ccm::name_in(field);
  const bool padded = std::all_of(field.begin() + static_cast<std::ptrdiff_t>(text.size()), field.end(),
                                  [](char c) { return c == '\0'; });
  if (!padded) return std::nullopt;
  if (text.empty()) return or_empty ? std::optional<NameType>(NameType{}) : std::nullopt;
  return NameType::parse(text);
}

std::unexpected<std::string> wrong(std::string what) { return std::unexpected(std::move(what)); }

std::expected<PoolDurable, std::string> pool_from(const StatePoolLayout& layout, std::uint32_t version) {
  const auto pool = name_from<PoolName>(layout.pool, false);
  const auto owner = name_from<NodeName>(layout.owner, true);
  const bool leases = layout.leased != 0 || layout.armed != 0 || layout.lease_over_ms != 0;
  const bool known = layout.earlier_life <= (version >= kFirstVersionWithEarlierLife ? 1 : 0) && layout.released <= 1 &&
                     layout.held <= 1 && layout.leased <= 1 && layout.lease_over_ms <= kLongestLeaseOver.count() &&
                     (version >= kFirstVersionWithLeases || !leases);
  if (!pool || !owner || !known) return wrong("a pool's entry holds values that no version defines");
  return PoolDurable{
      .pool = *pool,
      .epoch = Epoch(layout.epoch),
      .owner = *owner,
      .released = layout.released == 1,
      .claim = Epoch(layout.claim),
      .partner_boot = BootId{layout.partner_boot},
      .held = layout.held == 1,
      .earlier_life = version < kFirstVersionWithEarlierLife ? layout.held == 0 : layout.earlier_life == 1,
      .leased = layout.leased == 1,
      .armed = Epoch(layout.armed),
      .lease_over = std::chrono::milliseconds(layout.lease_over_ms),
      .mailbox = layout.mailbox};
}

std::size_t pool_bytes(const StateHeaderLayout& header) {
  if (header.version == 1) return kPoolBytesOfVersion1;
  return header.version < kFirstVersionWithLeases ? kPoolBytesOfVersion3 : sizeof(StatePoolLayout);
}

std::size_t orders_bytes(const StateHeaderLayout& header) {
  return header.version < kFirstVersionWithOrders ? 0 : sizeof(StateOrdersLayout);
}

template <std::size_t N>
void put_text(std::array<char, N>& field, const std::string& text) {
  text.copy(field.data(), N);
}

// Up to the first zero; behind it only zeros are allowed.
template <std::size_t N>
std::optional<std::string> text_from(const std::array<char, N>& field) {
  const auto end = std::ranges::find(field, '\0');
  if (std::any_of(end, field.end(), [](char c) { return c != '\0'; })) return std::nullopt;
  return std::string(field.begin(), end);
}

StateOrdersLayout orders_of(const DurableState& state) {
  StateOrdersLayout layout{};
  for (std::size_t i = 0; i < kInhibited; ++i) {
    const Inhibition& from = state.inhibitions.at(i);
    StateInhibitionLayout& to = layout.inhibitions.at(i);
    to.on = from.on ? 1 : 0;
    to.since_ms = from.since.count();
    to.until_ms = from.until.count();
    to.length_ms = from.length.count();
    to.ends_ns = ns_of(from.ends);
    put_text(to.by, from.by);
    put_text(to.reason, from.reason);
  }
  HAPAIR_CHECK(state.fences.size() <= kFencesKept, "the engine keeps no more");
  layout.fence_count = static_cast<std::uint32_t>(state.fences.size());
  for (std::size_t i = 0; i < state.fences.size(); ++i) {
    layout.fences_ms.at(i) = state.fences[i].wall.count();
    layout.fences_ns.at(i) = ns_of(state.fences[i].when);
  }
  return layout;
}

// In 139 years from 1970 on: nothing that is reckoned with it in nanoseconds overflows.
bool in_range(std::int64_t ms) {
  constexpr std::int64_t kLatestMs = std::int64_t{1} << 42;
  return ms >= 0 && ms <= kLatestMs;
}

bool in_range_ns(std::int64_t ns) {
  constexpr std::int64_t kMostNs = std::int64_t{1} << 62;
  return ns > -kMostNs && ns < kMostNs;
}

// False where it holds what no version defines.
bool take_orders(const StateOrdersLayout& layout, DurableState& state) {
  for (std::size_t i = 0; i < kInhibited; ++i) {
    const StateInhibitionLayout& from = layout.inhibitions.at(i);
    const auto by = text_from(from.by);
    const auto reason = text_from(from.reason);
    const bool zero = std::ranges::all_of(from.zero, [](std::uint8_t byte) { return byte == 0; });
    if (!by || !reason || !zero || from.on > 1) return false;
    if (!in_range(from.since_ms) || !in_range(from.until_ms) || !in_range(from.length_ms) || !in_range_ns(from.ends_ns))
      return false;
    if (from.on == 0) continue;
    state.inhibitions.at(i) = {.on = true,
                               .since = WallTime(from.since_ms),
                               .length = WallTime(from.length_ms),
                               .until = WallTime(from.until_ms),
                               .ends = instant_of_ns(from.ends_ns),
                               .by = *by,
                               .reason = *reason};
  }
  if (layout.fence_count > kFencesKept || layout.zero != 0) return false;
  for (std::size_t i = 0; i < layout.fence_count; ++i) {
    if (!in_range(layout.fences_ms.at(i)) || !in_range_ns(layout.fences_ns.at(i))) return false;
    state.fences.push_back({WallTime(layout.fences_ms.at(i)), instant_of_ns(layout.fences_ns.at(i))});
  }
  return true;
}

std::expected<void, std::string> check_header(const StateIdentity& identity, const StateHeaderLayout& header,
                                              std::span<const std::byte> bytes) {
  if (header.magic != kStateMagic) return wrong("it is no state file of hapair");
  if (header.version < kOldestStateVersion || header.version > kStateVersion) {
    return wrong("it has version " + std::to_string(header.version) + "; this hapaird reads versions " +
                 std::to_string(kOldestStateVersion) + " to " + std::to_string(kStateVersion));
  }
  if (header.bytes != bytes.size()) {
    return wrong("it has " + std::to_string(bytes.size()) + " bytes where its head says " +
                 std::to_string(header.bytes) + ": it was cut or is torn");
  }
  if (header.crc != crc_of(bytes)) return wrong("its checksum (CRC32C) does not match: it is torn or decayed");
  if (header.pool_count > ccm::kMaxPools ||
      bytes.size() != sizeof header + header.pool_count * pool_bytes(header) + orders_bytes(header)) {
    return wrong("its number of pools does not fit its length");
  }
  const auto pair = name_from<PairName>(header.pair, false);
  const auto node = name_from<NodeName>(header.node, false);
  if (!pair || !node) return wrong("its names are no names");
  if (*pair != identity.pair || *node != identity.node) {
    return wrong("it is of node " + node->text() + " of pair " + pair->text() + ", and this is node " +
                 identity.node.text() + " of pair " + identity.pair.text());
  }
  return {};
}

}  // namespace

std::vector<std::byte> encode_state(const StateIdentity& identity, const DurableState& state) {
  HAPAIR_CHECK(state.pools.size() <= ccm::kMaxPools, "the configuration allows no more pools");
  StateHeaderLayout header{};
  header.magic = kStateMagic;
  header.version = kStateVersion;
  header.pool_count = static_cast<std::uint32_t>(state.pools.size());
  header.bytes = static_cast<std::uint32_t>(sizeof header + state.pools.size() * sizeof(StatePoolLayout) +
                                            sizeof(StateOrdersLayout));
  ccm::put_name(header.pair, identity.pair.view());
  ccm::put_name(header.node, identity.node.view());
  header.boot_id = state.boot_id.bytes;
  std::vector<std::byte> bytes(header.bytes);
  std::size_t at = sizeof header;
  for (const PoolDurable& pool : state.pools) {
    StatePoolLayout layout{};
    ccm::put_name(layout.pool, pool.pool.view());
    ccm::put_name(layout.owner, pool.owner.view());
    layout.epoch = pool.epoch.value();
    layout.claim = pool.claim.value();
    layout.released = pool.released ? 1 : 0;
    layout.held = pool.held ? 1 : 0;
    layout.earlier_life = pool.earlier_life ? 1 : 0;
    layout.leased = pool.leased ? 1 : 0;
    layout.armed = pool.armed.value();
    layout.mailbox = pool.mailbox;
    layout.lease_over_ms = static_cast<std::uint32_t>(pool.lease_over.count());
    layout.partner_boot = pool.partner_boot.bytes;
    std::memcpy(bytes.data() + at, &layout, sizeof layout);
    at += sizeof layout;
  }
  const StateOrdersLayout orders = orders_of(state);
  std::memcpy(bytes.data() + at, &orders, sizeof orders);
  std::memcpy(bytes.data(), &header, sizeof header);
  header.crc = crc_of(bytes);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

std::expected<DurableState, std::string> decode_state(const StateIdentity& identity, std::span<const std::byte> bytes) {
  StateHeaderLayout header{};
  if (bytes.size() < sizeof header) {
    return wrong("it has only " + std::to_string(bytes.size()) + " bytes: it was cut or is torn");
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (const auto good = check_header(identity, header, bytes); !good) return std::unexpected(good.error());
  DurableState state;
  state.boot_id.bytes = header.boot_id;
  for (std::size_t i = 0; i < header.pool_count; ++i) {
    StatePoolLayout layout{};
    std::memcpy(&layout, bytes.data() + sizeof header + i * pool_bytes(header), pool_bytes(header));
    auto pool = pool_from(layout, header.version);
    if (!pool) return std::unexpected(pool.error());
    if (std::ranges::find(state.pools, pool->pool, &PoolDurable::pool) != state.pools.end()) {
      return wrong("it holds pool " + pool->pool.text() + " twice");
    }
    state.pools.push_back(*pool);
  }
  if (orders_bytes(header) == 0) return state;
  StateOrdersLayout orders{};
  std::memcpy(&orders, bytes.data() + bytes.size() - sizeof orders, sizeof orders);
  if (!take_orders(orders, state)) return wrong("what it says of forbidden actions or fences is defined by no version");
  return state;
}

}  // namespace hapair::agent
