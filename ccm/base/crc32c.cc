#include "ccm/base/crc32c.h"

#include <array>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include <cstring>

namespace hapair {
namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
    table[i] = crc;
  }
  return table;
}
constexpr auto kTable = make_table();

std::uint32_t by_table(std::span<const std::byte> bytes, std::uint32_t crc) {
  for (const std::byte b : bytes) crc = (crc >> 8) ^ kTable[(crc ^ std::to_integer<std::uint32_t>(b)) & 0xff];
  return crc;
}

#if defined(__x86_64__)
// The instruction's result comes three cycles after it, and one can begin in each: three parts are summed at once, and
// joined by what a sum becomes when so many zeros follow it, which is linear in its bits.
constexpr std::size_t kPartBytes = 1024;

using AfterZeros = std::array<std::array<std::uint32_t, 256>, 4>;  // by each byte of the sum
constexpr AfterZeros after_zeros(std::size_t zeros) {
  std::array<std::uint32_t, 32> of_bit{};
  for (std::size_t bit = 0; bit < of_bit.size(); ++bit) {
    std::uint32_t crc = std::uint32_t{1} << bit;
    for (std::size_t i = 0; i < zeros; ++i) crc = (crc >> 8) ^ kTable[crc & 0xff];
    of_bit[bit] = crc;
  }
  AfterZeros after{};
  for (std::size_t byte = 0; byte < after.size(); ++byte) {
    for (std::size_t value = 0; value < after[byte].size(); ++value) {
      for (std::size_t bit = 0; bit < 8; ++bit) {
        if ((value >> bit & 1) != 0) after[byte][value] ^= of_bit[8 * byte + bit];
      }
    }
  }
  return after;
}
constexpr AfterZeros kAfterOnePart = after_zeros(kPartBytes);
constexpr AfterZeros kAfterTwoParts = after_zeros(2 * kPartBytes);

std::uint32_t followed_by(const AfterZeros& after, std::uint64_t crc) {
  return after[0][crc & 0xff] ^ after[1][crc >> 8 & 0xff] ^ after[2][crc >> 16 & 0xff] ^ after[3][crc >> 24 & 0xff];
}

std::uint64_t word_at(std::span<const std::byte> bytes, std::size_t offset) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data() + offset, sizeof word);
  return word;
}

__attribute__((target("sse4.2"))) std::uint32_t by_instruction(std::span<const std::byte> bytes, std::uint32_t crc) {
  std::uint64_t wide = crc;
  for (; bytes.size() >= 3 * kPartBytes; bytes = bytes.subspan(3 * kPartBytes)) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t i = 0; i < kPartBytes; i += sizeof(std::uint64_t)) {
      wide = _mm_crc32_u64(wide, word_at(bytes, i));
      second = _mm_crc32_u64(second, word_at(bytes, kPartBytes + i));
      third = _mm_crc32_u64(third, word_at(bytes, 2 * kPartBytes + i));
    }
    wide = followed_by(kAfterTwoParts, wide) ^ followed_by(kAfterOnePart, second) ^ third;
  }
  while (bytes.size() >= sizeof(std::uint64_t)) {
    wide = _mm_crc32_u64(wide, word_at(bytes, 0));
    bytes = bytes.subspan(sizeof(std::uint64_t));
  }
  crc = static_cast<std::uint32_t>(wide);
  for (const std::byte b : bytes) crc = _mm_crc32_u8(crc, std::to_integer<std::uint8_t>(b));
  return crc;
}
#endif

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return ~by_instruction(bytes, ~crc);
#endif
  return ~by_table(bytes, ~crc);
}

}  // namespace hapair
