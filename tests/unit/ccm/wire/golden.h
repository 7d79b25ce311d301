// Golden bytes, made by another implementation (Python: struct, hashlib.blake2b and a CRC32C of its own) from DESIGN.md
// and the layouts' headers: runs of bytes at their offsets, zero in between.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace hapair::ccm {

struct GoldenRun {
  std::size_t offset;
  std::string_view hex;
};

inline constexpr GoldenRun kGoldenPage[] = {
    {0, "4841505354415431020000006f7657370100010000100000706169722d31"},
    {56, "616c706861"},
    {88,
     "8877665544332211000102030405060708090a0b0c0d0e0f050400001027000040e20100000000000001020304050607"
     "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2a000000000000004d000000000000006465666768696a6b"
     "6c6d6e6f707172737475767778797a7b7c7d7e7f8081828318c14f7458f58b0635c7509ecf808012"},
    {240, "68617061697264"},
    {264, "0900000000000000efcdab0000000000204e000001"},
    {752, "0300000000000000040000000000000005000000000000000100060700000000080000000000000009"},
    {816, "706f6f6c2d61"},
    {848, "0b000000000000000c000000000000000d00000001020304"},
};

inline constexpr GoldenRun kGoldenHello[] = {
    {0, "485052318d7ecac10100010000000000706169722d31"},
    {48, "616c706861"},
    {80, "887766554433221199"},
    {97,
     "0102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f64"
     "65666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283"},
    {208, "d43e659f89a81e633577d4f5679d78316f6b034d02f2bb475a666bbf7bbdc422"},
};

inline std::vector<std::byte> golden_bytes(std::span<const GoldenRun> runs, std::size_t size) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::vector<std::byte> bytes(size);
  for (const GoldenRun& run : runs) {
    for (std::size_t i = 0; i < run.hex.size(); i += 2) {
      bytes.at(run.offset + i / 2) = static_cast<std::byte>(digit(run.hex[i]) * 16 + digit(run.hex[i + 1]));
    }
  }
  return bytes;
}

}  // namespace hapair::ccm
