#include "ccm/wire/mailbox_page.h"

#include <algorithm>
#include <cstring>

#include "ccm/base/crc32c.h"

namespace hapair::ccm {
namespace {

// RecordLayout::order_mark
constexpr std::uint64_t kWithdrawn = 1;
constexpr std::uint64_t kResets = 2;

constexpr std::size_t kCoveredFrom = offsetof(RecordLayout, kind);
constexpr std::size_t kMacAt = offsetof(RecordLayout, mac);

Mac mac_of_record(std::span<const std::byte> bytes, const Key& key) {
  return mac_of(key, {bytes.subspan(kCoveredFrom, kMacAt - kCoveredFrom)});
}

}  // namespace

std::string_view text_of(RecordError error) {
  switch (error) {
    case RecordError::empty:
      return "empty";
    case RecordError::torn:
      return "torn";
    case RecordError::malformed:
      return "malformed";
  }
  return "unknown";
}

std::array<std::byte, kRecordBytes> encode_record(const RecordView& record, const Key& key) {
  RecordLayout out{};
  out.magic = kRecordMagic;
  out.kind = static_cast<std::uint16_t>(record.kind);
  out.layout = kLayoutMax;
  put_name(out.pair, record.pair.view());
  put_name(out.from, record.from.view());
  out.from_incarnation = record.from_incarnation.value();
  out.to_incarnation = record.to_incarnation.value();
  out.from_boot_id = record.from_boot_id.bytes;
  out.from_nonce = record.from_nonce;
  out.to_nonce = record.to_nonce;
  out.to_boot_id = record.to_boot_id.bytes;
  out.serial = record.serial;
  out.order_mark = record.withdrawn ? kWithdrawn : record.resets ? kResets : 0;
  const auto bytes = std::as_bytes(std::span(&out, 1));
  out.mac = mac_of_record(bytes, key);
  out.crc = crc32c(bytes.subspan(kCoveredFrom));
  std::array<std::byte, kRecordBytes> encoded{};
  std::memcpy(encoded.data(), &out, sizeof out);
  return encoded;
}

std::expected<RecordView, RecordError> parse_record(std::span<const std::byte> bytes, RecordKind expected_kind) {
  if (bytes.size() != kRecordBytes) return std::unexpected(RecordError::malformed);
  if (std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; })) {
    return std::unexpected(RecordError::empty);
  }
  RecordLayout in;
  std::memcpy(&in, bytes.data(), sizeof in);
  if (in.magic != kRecordMagic || in.crc != crc32c(bytes.subspan(kCoveredFrom))) {
    return std::unexpected(RecordError::torn);
  }
  const auto pair = PairName::parse(name_in(in.pair));
  const auto from = NodeName::parse(name_in(in.from));
  if (in.kind != static_cast<std::uint16_t>(expected_kind) || !pair || !from || in.from_incarnation == 0 ||
      in.to_incarnation == 0) {
    return std::unexpected(RecordError::malformed);
  }
  RecordView record{expected_kind,
                    *pair,
                    *from,
                    Incarnation(in.from_incarnation),
                    Incarnation(in.to_incarnation),
                    BootId{in.from_boot_id},
                    in.from_nonce,
                    in.to_nonce};
  if (expected_kind != RecordKind::poison) return record;
  record.to_boot_id = BootId{in.to_boot_id};
  record.serial = in.serial;
  record.withdrawn = in.order_mark == kWithdrawn;
  record.resets = in.order_mark == kResets;
  if (!record.to_boot_id.known() || record.serial == 0 || in.order_mark > kResets)
    return std::unexpected(RecordError::malformed);
  return record;
}

bool record_is_authentic(std::span<const std::byte> bytes, const Key& key) {
  if (bytes.size() != kRecordBytes) return false;
  Mac found{};
  std::memcpy(found.data(), bytes.data() + kMacAt, found.size());
  return same(found, mac_of_record(bytes, key));
}

}  // namespace hapair::ccm
