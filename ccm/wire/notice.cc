#include "ccm/wire/notice.h"

#include <algorithm>
#include <cstring>

#include "ccm/base/crc32c.h"

namespace hapair::ccm {
namespace {

constexpr std::size_t kMacAt = offsetof(NoticeLayout, mac);

std::span<const std::byte> bytes_of(const NoticeLayout& notice) { return std::as_bytes(std::span(&notice, 1)); }

std::uint32_t crc_of(const NoticeLayout& notice) { return crc32c(bytes_of(notice).first(offsetof(NoticeLayout, crc))); }

}  // namespace

std::string_view text_of(NoticeRefusal refusal) {
  switch (refusal) {
    case NoticeRefusal::malformed:
      return "malformed";
    case NoticeRefusal::version:
      return "version";
    case NoticeRefusal::torn:
      return "torn";
    case NoticeRefusal::forged:
      return "forged";
  }
  return "unknown";
}

Key notice_key(const Key& pair_key) { return pair_key.derive("hapair disk notice 1", {}); }

void encode_notice(DiskBlock& block, std::span<const std::byte, kBeatBytes> beat, const AgentBlockLayout& agent,
                   const Key& key) {
  BeatDatagramLayout of;
  std::memcpy(&of, beat.data(), sizeof of);
  NoticeLayout out{};
  out.magic = kNoticeMagic;
  out.version = kNoticeVersion;
  out.incarnation = of.incarnation;
  out.sequence = of.sequence;
  out.agent = agent;
  out.mac = short_mac_of(key, {beat, bytes_of(out).first(kMacAt)});
  out.crc = crc_of(out);
  block.fill(std::byte{});
  std::memcpy(block.data(), beat.data(), beat.size());
  std::memcpy(block.data() + kNoticeAt, &out, sizeof out);
}

std::expected<Notice, NoticeRefusal> open_notice(std::span<const std::byte> block, const BeatView& beat,
                                                 const Key& key) {
  if (block.size() != kDiskBlockBytes) return std::unexpected(NoticeRefusal::malformed);
  NoticeLayout in;
  std::memcpy(&in, block.data() + kNoticeAt, sizeof in);
  if (in.magic != kNoticeMagic) {
    const bool blank = std::ranges::all_of(bytes_of(in), [](std::byte byte) { return byte == std::byte{}; });
    if (blank) return Notice{};
    return std::unexpected(NoticeRefusal::malformed);
  }
  if (in.version != kNoticeVersion) return std::unexpected(NoticeRefusal::version);
  const bool of_this_write = in.incarnation == beat.incarnation.value() && in.sequence == beat.sequence;
  if (in.crc != crc_of(in) || !of_this_write) return std::unexpected(NoticeRefusal::torn);
  if (!same(in.mac, short_mac_of(key, {block.first(kBeatBytes), bytes_of(in).first(kMacAt)}))) {
    return std::unexpected(NoticeRefusal::forged);
  }
  return Notice{true, in.agent};
}

}  // namespace hapair::ccm
