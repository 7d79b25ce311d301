// CRC32C (Castagnoli; RFC 3385 and RFC 3720 appendix B.4 have the test vectors). It tells torn and decayed bytes from
// whole ones; it proves nothing about who wrote them: a MAC does that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace hapair {

// Continues `crc` (0 to start) over `bytes`.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc = 0);

}  // namespace hapair
