// The mailbox page: the 4096 bytes of a node that its partner may write. Sixteen slots of 256 bytes; each kind of
// record has its own slot, so a late write of one kind never covers another. Every record carries a MAC: a byte that is
// not authenticated changes nothing but a counter.
//
//   slot 0 hello (step 2)   slot 1 connected (step 4)   slot 2 poison (poison.h)   slots 3 to 15 zero
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

#include "ccm/base/ids.h"
#include "ccm/wire/mac.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

inline constexpr std::size_t kRecordBytes = 256;
inline constexpr std::uint32_t kRecordMagic = 0x31525048;  // "HPR1"

enum class RecordKind : std::uint16_t { hello = 1, connected = 2, poison = 3 };

// The slot of a kind, as an offset into the mailbox page.
constexpr std::size_t record_offset(RecordKind kind) { return (static_cast<std::size_t>(kind) - 1) * kRecordBytes; }

struct RecordLayout {
  std::uint32_t magic;
  std::uint32_t crc;  // over all bytes from 8 on
  std::uint16_t kind;
  std::uint16_t layout;  // kLayoutMax of the writer
  std::uint32_t zero_a;
  std::array<char, kNameBytes> pair;
  std::array<char, kNameBytes> from;
  std::uint64_t from_incarnation;
  std::uint64_t to_incarnation;  // "I saw i"
  std::array<std::uint8_t, 16> from_boot_id;
  Nonce from_nonce;
  Nonce to_nonce;                           // the nonce read in step 1: a record for an older nonce is stale
  std::array<std::uint8_t, 16> to_boot_id;  // of poison, as what follows; zero in the others
  std::uint64_t serial;                     // rises in the life of the writer
  std::uint64_t order_mark;                 // 1: the order of that serial is withdrawn; 2: the node is to be reset
  Mac mac;                                  // hello: under the pair's key; connected and poison: under the session's
  std::array<std::uint8_t, 16> zero_c;
};
static_assert(sizeof(RecordLayout) == kRecordBytes);
static_assert(offsetof(RecordLayout, kind) == 8);
static_assert(offsetof(RecordLayout, pair) == 16);
static_assert(offsetof(RecordLayout, from_incarnation) == 80);
static_assert(offsetof(RecordLayout, from_boot_id) == 96);
static_assert(offsetof(RecordLayout, from_nonce) == 112);
static_assert(offsetof(RecordLayout, to_nonce) == 144);
static_assert(offsetof(RecordLayout, to_boot_id) == 176);
static_assert(offsetof(RecordLayout, serial) == 192);
static_assert(offsetof(RecordLayout, order_mark) == 200);
static_assert(offsetof(RecordLayout, mac) == 208);
static_assert(record_offset(RecordKind::hello) == 0 && record_offset(RecordKind::poison) == 2 * kRecordBytes);

struct RecordView {
  RecordKind kind = RecordKind::hello;
  PairName pair;
  NodeName from;
  Incarnation from_incarnation;
  Incarnation to_incarnation;
  BootId from_boot_id;
  Nonce from_nonce{};
  Nonce to_nonce{};
  BootId to_boot_id{};       // of poison, never the unknown one
  std::uint64_t serial = 0;  // of poison, never 0
  bool withdrawn = false;    // of poison, as the next
  bool resets = false;
};

enum class RecordError : std::uint8_t {
  empty,      // all zero: nothing was written yet
  torn,       // the CRC does not match: look again
  malformed,  // whole, but not a record of that slot
};
std::string_view text_of(RecordError error);

std::array<std::byte, kRecordBytes> encode_record(const RecordView& record, const Key& key);
// `bytes` is one slot. Says nothing about authenticity.
std::expected<RecordView, RecordError> parse_record(std::span<const std::byte> bytes, RecordKind expected_kind);
bool record_is_authentic(std::span<const std::byte> bytes, const Key& key);

}  // namespace hapair::ccm
