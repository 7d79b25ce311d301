#include "ccm/fabric/iwarp/mpa.h"

#include <gtest/gtest.h>

#include "tests/unit/ccm/fabric/iwarp/frames.h"

namespace hapair::ccm::iwarp {
namespace {

Bytes request() {
  const Bytes data = bytes_of("private.");
  MpaFrame frame;
  frame.crc = frame.enhanced = true;
  frame.ird = 16;
  frame.ord = 4;
  frame.private_data = data;
  Bytes bytes(kMaxMpaBytes);
  bytes.resize(encode(frame, bytes));
  return bytes;
}

TEST(Mpa, RequestsHaveTheGoldenBytes) {
  EXPECT_EQ(hex(request()), hex(bytes_of("MPA ID Req Frame")) + "5002000c" + "00100004" + hex(bytes_of("private.")));
}

TEST(Mpa, WhatWasEncodedIsReadBack) {
  const Bytes bytes = request();
  const auto parsed = parse_mpa(bytes, false);
  ASSERT_TRUE(parsed && *parsed);
  const MpaFrame& frame = (*parsed)->frame;
  EXPECT_EQ((*parsed)->bytes, bytes.size());
  EXPECT_TRUE(frame.crc && frame.enhanced);
  EXPECT_FALSE(frame.markers || frame.rejected || frame.peer_to_peer || frame.rtr_read || frame.rtr_write);
  EXPECT_EQ(frame.ird, 16);
  EXPECT_EQ(frame.ord, 4);
  EXPECT_EQ(hex(frame.private_data), hex(bytes_of("private.")));
}

TEST(Mpa, ABeginningIsWaitedForAndEveryWrongBeginningToldAtOnce) {
  const Bytes bytes = request();
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const auto parsed = parse_mpa(std::span(bytes).first(n), false);
    ASSERT_TRUE(parsed) << n;
    EXPECT_FALSE(*parsed) << n;
  }
  for (std::size_t n = 0; n < 16; ++n) {
    Bytes wrong(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n + 1));
    wrong[n] ^= std::byte{0x80};
    EXPECT_FALSE(parse_mpa(wrong, false)) << n;
  }
}

TEST(Mpa, GarbageIsNamed) {
  Bytes bytes = request();
  EXPECT_EQ(parse_mpa(bytes, true).error(), MpaError::wrong_frame);
  EXPECT_EQ(parse_mpa(bytes_of("GET / HTTP/1.1\r\n\r\n..."), false).error(), MpaError::not_mpa);
  bytes[17] = std::byte{3};
  EXPECT_EQ(parse_mpa(bytes, false).error(), MpaError::revision);
  bytes = request();
  put_u16(std::span(bytes).subspan(18), 513);
  EXPECT_EQ(parse_mpa(bytes, false).error(), MpaError::too_much_data);
  put_u16(std::span(bytes).subspan(18), 3);
  EXPECT_EQ(parse_mpa(bytes, false).error(), MpaError::too_much_data) << "the flag E needs four bytes";
}

TEST(Mpa, RevisionOneHasNoCountsOfReads) {
  MpaFrame frame;
  frame.reply = true;
  frame.revision = 1;
  frame.rejected = true;
  Bytes bytes(kMaxMpaBytes);
  bytes.resize(encode(frame, bytes));
  EXPECT_EQ(hex(bytes), hex(bytes_of("MPA ID Rep Frame")) + "20010000");
  const auto parsed = parse_mpa(bytes, true);
  ASSERT_TRUE(parsed && *parsed);
  EXPECT_TRUE((*parsed)->frame.rejected);
  EXPECT_FALSE((*parsed)->frame.enhanced);
}

}  // namespace
}  // namespace hapair::ccm::iwarp
