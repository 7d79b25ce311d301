#include "ccm/client/examples/record.h"

#include <cstring>

#include "ccm/base/crc32c.h"

namespace hapair::mirror {
namespace {

constexpr std::size_t kHeaderChecked = offsetof(RecordHeader, crc);

std::uint32_t crc_of_header(const RecordHeader& header) {
  return crc32c(std::as_bytes(std::span(&header, 1)).first(kHeaderChecked));
}

template <class T>
void put(std::span<std::byte> at, const T& value) {
  std::memcpy(at.data(), &value, sizeof value);
}

std::uint64_t word_at(std::span<const std::byte> at) {
  std::uint64_t value = 0;
  std::memcpy(&value, at.data(), sizeof value);
  return value;
}

}  // namespace

void make_record(std::span<std::byte> slot, std::uint64_t run, std::uint64_t sequence, bool checksum) {
  const std::span<std::byte> payload = slot.subspan(sizeof(RecordHeader));
  for (std::size_t at = 0; at + sizeof sequence <= payload.size(); at += kPage) put(payload.subspan(at), sequence);
  RecordHeader header{};
  header.magic = kRecordMagic;
  header.run = run;
  header.sequence = sequence;
  header.bytes = static_cast<std::uint32_t>(payload.size());
  header.payload = checksum ? crc32c(payload) : 0;
  header.crc = crc_of_header(header);
  put(slot, header);
}

std::optional<RecordHeader> read_record(std::span<const std::byte> slot) {
  RecordHeader header;
  if (slot.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, slot.data(), sizeof header);
  if (header.magic != kRecordMagic || header.crc != crc_of_header(header)) return std::nullopt;
  const std::span<const std::byte> payload = slot.subspan(sizeof header);
  if (header.bytes != payload.size()) return std::nullopt;
  for (std::size_t at = 0; at + sizeof header.sequence <= payload.size(); at += kPage) {
    if (word_at(payload.subspan(at)) != header.sequence) return std::nullopt;
  }
  if (header.payload != 0 && header.payload != crc32c(payload)) return std::nullopt;
  return header;
}

}  // namespace hapair::mirror
