#include "ccm/base/crc32c.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

namespace hapair {
namespace {

using Bytes = std::vector<std::byte>;

// The definition, a bit at a time.
std::uint32_t by_definition(std::span<const std::byte> bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
  }
  return ~crc;
}

Bytes noise(std::size_t size) {
  Bytes bytes(size);
  std::uint32_t state = 1;
  for (std::byte& byte : bytes) {
    state = state * 1'664'525 + 1'013'904'223;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

// RFC 3720, appendix B.4, whose bytes are in the order of the wire.
TEST(Crc32c, HasTheValuesOfTheStandard) {
  EXPECT_EQ(crc32c(Bytes(32)), 0x8a9136aaU);
  EXPECT_EQ(crc32c(Bytes(32, std::byte{0xff})), 0x62a8ab43U);
  std::vector<std::uint8_t> rising(32);
  std::iota(rising.begin(), rising.end(), std::uint8_t{0});
  EXPECT_EQ(crc32c(std::as_bytes(std::span(rising))), 0x46dd794eU);
  constexpr std::string_view kDigits = "123456789";
  EXPECT_EQ(crc32c(std::as_bytes(std::span(kDigits))), 0xe3069283U);
  EXPECT_EQ(crc32c({}), 0U);
}

TEST(Crc32c, OfEveryLengthAndAlignmentIsThatOfTheDefinition) {
  const Bytes bytes = noise(10'000);
  for (std::size_t length : {1U, 7U, 8U, 1023U, 3071U, 3072U, 3073U, 4080U, 6143U, 6144U, 6151U, 9216U, 9984U}) {
    for (std::size_t from = 0; from < 9; ++from) {
      const auto part = std::span(bytes).subspan(from, length);
      ASSERT_EQ(crc32c(part), by_definition(part)) << length << " bytes from " << from;
    }
  }
}

TEST(Crc32c, GoesOnWhereItWas) {
  const Bytes bytes = noise(8000);
  const std::span whole(bytes);
  const std::uint32_t expected = by_definition(whole);
  for (const std::size_t cut : {0U, 1U, 100U, 3072U, 4000U, 7999U, 8000U}) {
    EXPECT_EQ(crc32c(whole.subspan(cut), crc32c(whole.first(cut))), expected) << "cut at " << cut;
  }
}

}  // namespace
}  // namespace hapair
