#include "ccm/wire/status_page.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "ccm/base/check.h"
#include "ccm/base/crc32c.h"

namespace hapair::ccm {
namespace {

static_assert(std::endian::native == std::endian::little, "the layouts are little-endian; a port must swap here");

constexpr std::size_t kCoveredFrom = offsetof(StatusPageLayout, layout_min);
constexpr std::size_t kMacAt = offsetof(StatusPageLayout, page_mac);

ShortMac mac_of_page(std::span<const std::byte> bytes, const Digest& still, const Key& key) {
  static constexpr std::array<std::byte, kShortMacBytes> kNoMac{};
  constexpr std::size_t kAfterMac = kMacAt + kShortMacBytes;
  return short_mac_of(key, {bytes.subspan(kCoveredFrom, kMacAt - kCoveredFrom), kNoMac,
                            bytes.subspan(kAfterMac, kStillFrom - kAfterMac), std::as_bytes(std::span(still))});
}

// Keeps the milliseconds of a hostile page within what a Duration in nanoseconds holds: about 139 years.
constexpr std::uint64_t kLargestMs = (std::uint64_t{1} << 42) - 1;

bool known_phase(std::uint8_t value) { return value <= static_cast<std::uint8_t>(BootPhase::panicked); }
bool known_handshake(std::uint8_t value) { return value <= static_cast<std::uint8_t>(HandshakeState::refused); }
bool known_client_state(std::uint8_t value) { return value <= static_cast<std::uint8_t>(ClientState::left); }
// As the registry lets one in: operators see it in their terminal.
bool is_client_name(const std::array<char, 24>& field) {
  const std::string_view name = name_in(field);
  return !name.empty() && name.size() < field.size() &&
         std::ranges::all_of(name, [](char c) { return c > ' ' && c < 127; });
}

}  // namespace

std::string_view text_of(PageError error) {
  switch (error) {
    case PageError::torn:
      return "torn";
    case PageError::not_a_page:
      return "not-a-page";
    case PageError::no_layout:
      return "no-layout-in-common";
    case PageError::malformed:
      return "malformed";
    case PageError::not_authentic:
      return "not-authentic";
  }
  return "unknown";
}

LayoutRange layouts_of(std::span<const std::byte> bytes) {
  LayoutRange range;
  if (bytes.size() < kPageBytes) return range;
  std::memcpy(&range.min, bytes.data() + offsetof(StatusPageLayout, layout_min), sizeof range.min);
  std::memcpy(&range.max, bytes.data() + offsetof(StatusPageLayout, layout_max), sizeof range.max);
  return range;
}

bool page_is_whole(std::span<const std::byte, kPageBytes> bytes) {
  const auto number = [&bytes]<class Number>(Number into, std::size_t at) {
    std::memcpy(&into, bytes.data() + at, sizeof into);
    return into;
  };
  return number(std::uint64_t{}, offsetof(StatusPageLayout, magic)) == kStatusMagic &&
         number(std::uint32_t{}, offsetof(StatusPageLayout, sequence)) % 2 == 0 &&
         number(std::uint32_t{}, offsetof(StatusPageLayout, crc)) == crc32c(bytes.subspan(kCoveredFrom));
}

std::expected<StatusHead, PageError> parse_status_head(std::span<const std::byte> bytes) {
  if (bytes.size() != kPageBytes) return std::unexpected(PageError::not_a_page);
  StatusPageLayout page;
  std::memcpy(&page, bytes.data(), sizeof page);
  if (page.magic != kStatusMagic) return std::unexpected(PageError::not_a_page);
  if (!page_is_whole(bytes.first<kPageBytes>())) return std::unexpected(PageError::torn);
  if (page.layout_min > kLayoutMax || page.layout_max < kLayoutMin) return std::unexpected(PageError::no_layout);

  const auto pair = PairName::parse(name_in(page.pair));
  const auto node = NodeName::parse(name_in(page.node));
  if (!pair || !node || page.incarnation == 0 || page.page_bytes != kPageBytes) {
    return std::unexpected(PageError::malformed);
  }
  if (!known_phase(page.phase) || !known_handshake(page.handshake)) return std::unexpected(PageError::malformed);
  for (const ClientSlotLayout& slot : page.clients) {
    if (!known_client_state(slot.state)) return std::unexpected(PageError::malformed);
    if (slot.state != static_cast<std::uint8_t>(ClientState::none) && !is_client_name(slot.name)) {
      return std::unexpected(PageError::malformed);
    }
  }
  StatusHead head;
  head.pair = *pair;
  head.node = *node;
  head.incarnation = Incarnation(page.incarnation);
  head.boot_id = BootId{page.boot_id};
  head.phase = static_cast<BootPhase>(page.phase);
  head.phase_since = std::chrono::milliseconds(page.phase_since_ms & kLargestMs);
  head.trouble = page.trouble;
  head.handshake = static_cast<HandshakeState>(page.handshake);
  head.pace = std::chrono::microseconds(page.pace_us);
  head.nonce = page.nonce;
  head.ccm_beat = page.ccm_beat;
  head.proof_for = Incarnation(page.proof_for_incarnation);
  head.proof = page.proof;
  return head;
}

std::expected<StatusView, PageError> parse_status_page(std::span<const std::byte> bytes) {
  const auto head = parse_status_head(bytes);
  if (!head) return std::unexpected(head.error());
  StatusPageLayout page;
  std::memcpy(&page, bytes.data(), sizeof page);
  StatusView view{*head, {}, {}};
  for (const ClientSlotLayout& slot : page.clients) {
    if (slot.state == static_cast<std::uint8_t>(ClientState::none)) continue;
    view.clients.push_back({std::string(name_in(slot.name)), slot.beat, slot.life,
                            std::chrono::microseconds(slot.pace_us), static_cast<ClientState>(slot.state),
                            slot.completed, slot.outstanding, std::chrono::milliseconds(slot.stall_limit_ms)});
  }
  view.agent = page.agent;
  return view;
}

const Digest& StillDigest::of(std::span<const std::byte, kPageBytes> page) {
  const auto still = page.subspan<kStillFrom>();
  if (!digest_ || std::memcmp(bytes_.data(), still.data(), still.size()) != 0) {
    std::memcpy(bytes_.data(), still.data(), still.size());
    digest_ = digest_of(still);
  }
  return *digest_;
}

bool page_is_authentic(std::span<const std::byte> bytes, StillDigest& still, const Key& key) {
  if (bytes.size() != kPageBytes) return false;
  ShortMac found{};
  std::memcpy(found.data(), bytes.data() + kMacAt, found.size());
  return same(found, mac_of_page(bytes, still.of(bytes.first<kPageBytes>()), key));
}

StatusPublisher::StatusPublisher(std::span<std::byte> memory) : memory_(memory) {
  HAPAIR_CHECK(memory.size() == kPageBytes, "a status page has a fixed size");
  draft_.magic = kStatusMagic;
  draft_.layout_min = kLayoutMin;
  draft_.layout_max = kLayoutMax;
  draft_.page_bytes = kPageBytes;
}

void StatusPublisher::publish(const std::optional<Key>& session) {
  draft_.page_mac = {};
  const std::span<const std::byte, kPageBytes> draft_bytes(std::as_bytes(std::span(&draft_, 1)));
  if (session) draft_.page_mac = mac_of_page(draft_bytes, still_.of(draft_bytes), *session);
  draft_.crc = crc32c(draft_bytes.subspan(kCoveredFrom));

  // The sequence is odd while the words change. A remote read is not ordered against them, so the CRC decides; the
  // sequence spares a local reader the CRC.
  std::atomic_ref<std::uint32_t> sequence(
      *reinterpret_cast<std::uint32_t*>(memory_.data() + offsetof(StatusPageLayout, sequence)));
  sequence.store(++sequence_, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  std::memcpy(memory_.data() + kCoveredFrom, draft_bytes.data() + kCoveredFrom, kPageBytes - kCoveredFrom);
  std::memcpy(memory_.data() + offsetof(StatusPageLayout, crc), &draft_.crc, sizeof draft_.crc);
  std::memcpy(memory_.data(), &draft_.magic, sizeof draft_.magic);
  sequence.store(++sequence_, std::memory_order_release);
}

void StatusPublisher::withdraw() { std::memset(memory_.data(), 0, memory_.size()); }

}  // namespace hapair::ccm
