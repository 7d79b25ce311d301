// The log that is mirrored: records of one size, numbered from 1 in each run of the sender, in a ring of slots in the
// receiver's port memory.
//
//   port memory of both sides: page 0 is for the partner's progress, then the slots
//   a slot: RecordHeader, then the payload; every 4096 bytes of it begin with the record's number, so that a record
//   that is half old and half new is recognised
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace hapair::mirror {

inline constexpr std::size_t kPage = 4096;
inline constexpr std::uint64_t kRecordMagic = 0x3152494d50414821;

struct RecordHeader {
  std::uint64_t magic;
  std::uint64_t run;  // drawn by the sender
  std::uint64_t sequence;
  std::uint32_t bytes;    // of the payload
  std::uint32_t payload;  // CRC32C of it; 0 where the run does without
  std::uint32_t crc;      // CRC32C of the header before this
  std::uint32_t zero;
};
static_assert(sizeof(RecordHeader) == 40);

// What the sender tells in a message: records up to this one are in the receiver's memory.
struct Note {
  std::uint64_t run;
  std::uint64_t acknowledged;
};
// What the receiver writes to the start of the sender's memory: slots up to this record are free again.
struct Progress {
  std::uint64_t run;
  std::uint64_t consumed;
};

struct RecordLayout {
  std::size_t slots = 0;
  std::size_t record_bytes = 0;  // header and payload; whole pages
  [[nodiscard]] std::size_t memory_bytes() const { return kPage + slots * record_bytes; }
  [[nodiscard]] std::size_t offset_of(std::uint64_t sequence) const {
    return kPage + static_cast<std::size_t>(sequence % slots) * record_bytes;
  }
};

// Fills a slot; the payload's bytes follow from run and sequence.
void make_record(std::span<std::byte> slot, std::uint64_t run, std::uint64_t sequence, bool checksum);
// The header of a slot that holds a whole record; nothing where it is torn, stale or none.
std::optional<RecordHeader> read_record(std::span<const std::byte> slot);

}  // namespace hapair::mirror
