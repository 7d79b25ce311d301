#include "ccm/wire/mailbox_page.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <functional>
#include <numeric>
#include <vector>

#include "ccm/base/crc32c.h"
#include "tests/unit/ccm/wire/golden.h"

namespace hapair::ccm {
namespace {

using Record = std::array<std::byte, kRecordBytes>;

Key golden_key() {
  static constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";
  return Key::from_secret(std::as_bytes(std::span(kSecret)));
}

RecordView golden_view() {
  RecordView view;
  view.kind = RecordKind::hello;
  view.pair = *PairName::parse("pair-1");
  view.from = *NodeName::parse("alpha");
  view.from_incarnation = Incarnation(0x1122334455667788);
  view.to_incarnation = Incarnation(0x99);
  std::iota(view.from_boot_id.bytes.begin(), view.from_boot_id.bytes.end(), std::uint8_t{0});
  std::iota(view.from_nonce.begin(), view.from_nonce.end(), std::uint8_t{0});
  std::iota(view.to_nonce.begin(), view.to_nonce.end(), std::uint8_t{100});
  return view;
}

// The record after `change`, with a CRC that fits again.
Record changed(const std::function<void(RecordLayout&)>& change) {
  Record bytes = encode_record(golden_view(), golden_key());
  RecordLayout layout;
  std::memcpy(&layout, bytes.data(), sizeof layout);
  change(layout);
  std::memcpy(bytes.data(), &layout, sizeof layout);
  layout.crc = crc32c(std::span(bytes).subspan(offsetof(RecordLayout, kind)));
  std::memcpy(bytes.data(), &layout, sizeof layout);
  return bytes;
}

RecordError error_of(std::span<const std::byte> bytes, RecordKind kind = RecordKind::hello) {
  const auto record = parse_record(bytes, kind);
  EXPECT_FALSE(record.has_value());
  return record.error();
}

TEST(Record, IsEncodedAsTheGoldenBytes) {
  const Record record = encode_record(golden_view(), golden_key());
  EXPECT_EQ(std::vector<std::byte>(record.begin(), record.end()), golden_bytes(kGoldenHello, kRecordBytes));
}

TEST(Record, IsReadFromTheGoldenBytes) {
  const auto bytes = golden_bytes(kGoldenHello, kRecordBytes);
  const auto record = parse_record(bytes, RecordKind::hello);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->pair.view(), "pair-1");
  EXPECT_EQ(record->from.view(), "alpha");
  EXPECT_EQ(record->to_incarnation, Incarnation(0x99));
  EXPECT_EQ(record->to_nonce[31], 131);
  EXPECT_TRUE(record_is_authentic(bytes, golden_key()));
  EXPECT_FALSE(record_is_authentic(bytes, golden_key().derive("other", {})));
}

TEST(Record, AFlippedBitAnywhereIsNoticed) {
  const Record whole = encode_record(golden_view(), golden_key());
  for (std::size_t bit = 0; bit < 8 * kRecordBytes; ++bit) {
    Record bytes = whole;
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    ASSERT_EQ(error_of(bytes), RecordError::torn) << "bit " << bit;
  }
}

TEST(Record, AChangedFieldWithAFittingCrcIsNotAuthentic) {
  EXPECT_FALSE(record_is_authentic(changed([](RecordLayout& r) { r.from_incarnation = 5; }), golden_key()));
  EXPECT_FALSE(record_is_authentic(changed([](RecordLayout& r) { r.to_incarnation = 5; }), golden_key()));
  EXPECT_FALSE(record_is_authentic(changed([](RecordLayout& r) { r.from_boot_id[0] = 5; }), golden_key()));
  EXPECT_FALSE(record_is_authentic(changed([](RecordLayout& r) { r.from_nonce[0] = 5; }), golden_key()));
  EXPECT_FALSE(record_is_authentic(changed([](RecordLayout& r) { r.to_nonce[0] = 5; }), golden_key()));
  EXPECT_FALSE(record_is_authentic(changed([](RecordLayout& r) { put_name(r.from, "beta"); }), golden_key()));
  EXPECT_FALSE(record_is_authentic(changed([](RecordLayout& r) { put_name(r.pair, "pair-2"); }), golden_key()));
  EXPECT_FALSE(record_is_authentic(changed([](RecordLayout& r) { r.kind = 2; }), golden_key()));
}

RecordView poison_view() {
  RecordView view = golden_view();
  view.kind = RecordKind::poison;
  std::iota(view.to_boot_id.bytes.begin(), view.to_boot_id.bytes.end(), std::uint8_t{200});
  view.serial = 0x0807060504030201;
  return view;
}

TEST(PoisonRecord, IsEncodedAsTheGoldenBytesAndReadFromThem) {
  const Record record = encode_record(poison_view(), golden_key());
  const auto golden = golden_bytes(kGoldenPoison, kRecordBytes);
  EXPECT_EQ(std::vector<std::byte>(record.begin(), record.end()), golden);
  const auto read = parse_record(golden, RecordKind::poison);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->serial, 0x0807060504030201U);
  EXPECT_EQ(read->to_boot_id.bytes[15], 215);
  EXPECT_TRUE(record_is_authentic(golden, golden_key()));
  EXPECT_EQ(error_of(golden, RecordKind::connected), RecordError::malformed);
}

TEST(PoisonRecord, SaysWhetherItIsWithdrawnOrToResetTheNode) {
  RecordView view = poison_view();
  EXPECT_FALSE(parse_record(encode_record(view, golden_key()), RecordKind::poison)->withdrawn);
  view.withdrawn = true;
  Record record = encode_record(view, golden_key());
  EXPECT_TRUE(parse_record(record, RecordKind::poison)->withdrawn);
  EXPECT_FALSE(parse_record(record, RecordKind::poison)->resets);
  view.withdrawn = false;
  view.resets = true;
  record = encode_record(view, golden_key());
  EXPECT_TRUE(parse_record(record, RecordKind::poison)->resets);
  EXPECT_FALSE(parse_record(record, RecordKind::poison)->withdrawn);
  EXPECT_EQ(record[offsetof(RecordLayout, order_mark)], std::byte{2});
  record[offsetof(RecordLayout, order_mark)] = std::byte{3};
  RecordLayout layout;
  std::memcpy(&layout, record.data(), sizeof layout);
  layout.crc = crc32c(std::span(record).subspan(offsetof(RecordLayout, kind)));
  std::memcpy(record.data(), &layout, sizeof layout);
  EXPECT_EQ(error_of(record, RecordKind::poison), RecordError::malformed);
}

TEST(PoisonRecord, ThatNamesNoLifeOfTheTargetOrNoSerialIsMalformed) {
  RecordView nobodys = poison_view();
  nobodys.to_boot_id = BootId{};
  EXPECT_EQ(error_of(encode_record(nobodys, golden_key()), RecordKind::poison), RecordError::malformed);
  RecordView unnumbered = poison_view();
  unnumbered.serial = 0;
  EXPECT_EQ(error_of(encode_record(unnumbered, golden_key()), RecordKind::poison), RecordError::malformed);
}

TEST(Record, ZerosAreAnEmptySlot) { EXPECT_EQ(error_of(Record{}), RecordError::empty); }

TEST(Record, AFieldOutOfItsRangeIsMalformed) {
  EXPECT_EQ(error_of(changed([](RecordLayout& r) { r.kind = 0; })), RecordError::malformed);
  EXPECT_EQ(error_of(changed([](RecordLayout& r) { r.kind = 77; })), RecordError::malformed);
  EXPECT_EQ(error_of(changed([](RecordLayout& r) { r.from_incarnation = 0; })), RecordError::malformed);
  EXPECT_EQ(error_of(changed([](RecordLayout& r) { r.to_incarnation = 0; })), RecordError::malformed);
  EXPECT_EQ(error_of(changed([](RecordLayout& r) { r.pair.fill('x'); })), RecordError::malformed);
  EXPECT_EQ(error_of(changed([](RecordLayout& r) { r.from = {}; })), RecordError::malformed);
  EXPECT_EQ(error_of(std::vector<std::byte>(kRecordBytes - 1)), RecordError::malformed);
}

TEST(Record, OneKindInTheSlotOfTheOtherIsMalformed) {
  EXPECT_EQ(error_of(encode_record(golden_view(), golden_key()), RecordKind::connected), RecordError::malformed);
}

}  // namespace
}  // namespace hapair::ccm
