#include "ccm/wire/connect_data.h"

#include <cstring>
#include <string_view>

#include "ccm/base/crc32c.h"

namespace hapair::ccm {
namespace {

constexpr std::uint32_t kRequestMagic = 0x43504148;  // "HAPC"
constexpr std::uint32_t kAnswerMagic = 0x41504148;   // "HAPA"

struct RequestLayout {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint8_t service;
  std::uint8_t zero_a;
  PortToken token;
  std::uint32_t zero_b;
  std::uint32_t crc;
};
static_assert(sizeof(RequestLayout) == kConnectDataBytes);
static_assert(offsetof(RequestLayout, token) == 8);
static_assert(offsetof(RequestLayout, crc) == 44);

struct RegionLayout {
  std::uint64_t address;
  std::uint32_t length;
  std::uint32_t key;
};
struct AnswerLayout {
  std::uint32_t magic;
  std::uint16_t version;
  std::uint8_t service;
  std::uint8_t zero_a;
  std::array<RegionLayout, 2> regions;
  std::uint32_t zero_b;
  std::uint32_t crc;
};
static_assert(sizeof(AnswerLayout) == kConnectDataBytes);
static_assert(offsetof(AnswerLayout, regions) == 8);
static_assert(offsetof(AnswerLayout, crc) == 44);

template <class Layout>
std::uint32_t crc_of(const Layout& layout) {
  return crc32c(std::as_bytes(std::span(&layout, 1)).first(offsetof(Layout, crc)));
}

template <class Layout>
ConnectBytes seal(Layout layout) {
  layout.version = kConnectVersion;
  layout.crc = crc_of(layout);
  ConnectBytes bytes;
  std::memcpy(bytes.data(), &layout, sizeof layout);
  return bytes;
}

template <class Layout>
std::expected<Layout, ConnectDataError> unseal(std::span<const std::byte> bytes, std::uint32_t magic) {
  if (bytes.size() < kConnectDataBytes) return std::unexpected(ConnectDataError::too_short);
  Layout layout;
  std::memcpy(&layout, bytes.data(), sizeof layout);
  if (layout.magic != magic) return std::unexpected(ConnectDataError::not_ours);
  if (layout.version != kConnectVersion) return std::unexpected(ConnectDataError::version);
  if (layout.crc != crc_of(layout)) return std::unexpected(ConnectDataError::corrupted);
  const auto service = static_cast<ConnectService>(layout.service);
  if (service != ConnectService::early_channel && service != ConnectService::port) {
    return std::unexpected(ConnectDataError::malformed);
  }
  return layout;
}

}  // namespace

std::string_view text_of(ConnectDataError error) {
  switch (error) {
    case ConnectDataError::too_short:
      return "too short";
    case ConnectDataError::not_ours:
      return "another protocol's";
    case ConnectDataError::version:
      return "another version's";
    case ConnectDataError::corrupted:
      return "corrupted";
    case ConnectDataError::malformed:
      return "malformed";
  }
  return "malformed";
}

ConnectBytes encode(const ConnectRequest& request) {
  RequestLayout layout{};
  layout.magic = kRequestMagic;
  layout.service = static_cast<std::uint8_t>(request.service);
  layout.token = request.token;
  return seal(layout);
}

ConnectBytes encode(const ConnectAnswer& answer) {
  AnswerLayout layout{};
  layout.magic = kAnswerMagic;
  layout.service = static_cast<std::uint8_t>(answer.service);
  for (std::size_t i = 0; i < answer.regions.size(); ++i) {
    const RemoteRegion& region = answer.regions[i];
    layout.regions[i] = {region.address, region.length, region.key};
  }
  return seal(layout);
}

std::expected<ConnectRequest, ConnectDataError> parse_connect_request(std::span<const std::byte> bytes) {
  const auto layout = unseal<RequestLayout>(bytes, kRequestMagic);
  if (!layout) return std::unexpected(layout.error());
  return ConnectRequest{static_cast<ConnectService>(layout->service), layout->token};
}

std::expected<ConnectAnswer, ConnectDataError> parse_connect_answer(std::span<const std::byte> bytes) {
  const auto layout = unseal<AnswerLayout>(bytes, kAnswerMagic);
  if (!layout) return std::unexpected(layout.error());
  ConnectAnswer answer;
  answer.service = static_cast<ConnectService>(layout->service);
  for (std::size_t i = 0; i < answer.regions.size(); ++i) {
    const RegionLayout& region = layout->regions[i];
    if (region.address + region.length < region.address) return std::unexpected(ConnectDataError::malformed);
    answer.regions[i] = {region.address, region.length, region.key};
  }
  return answer;
}

}  // namespace hapair::ccm
