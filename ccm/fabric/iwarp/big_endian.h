// The byte order of iWARP's headers.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace hapair::ccm::iwarp {

static_assert(std::endian::native == std::endian::little);

inline void put_u16(std::span<std::byte> to, std::uint16_t value) {
  value = __builtin_bswap16(value);
  std::memcpy(to.data(), &value, sizeof value);
}
inline void put_u32(std::span<std::byte> to, std::uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(to.data(), &value, sizeof value);
}
inline void put_u64(std::span<std::byte> to, std::uint64_t value) {
  value = __builtin_bswap64(value);
  std::memcpy(to.data(), &value, sizeof value);
}
inline std::uint16_t get_u16(std::span<const std::byte> from) {
  std::uint16_t value = 0;
  std::memcpy(&value, from.data(), sizeof value);
  return __builtin_bswap16(value);
}
inline std::uint32_t get_u32(std::span<const std::byte> from) {
  std::uint32_t value = 0;
  std::memcpy(&value, from.data(), sizeof value);
  return __builtin_bswap32(value);
}
inline std::uint64_t get_u64(std::span<const std::byte> from) {
  std::uint64_t value = 0;
  std::memcpy(&value, from.data(), sizeof value);
  return __builtin_bswap64(value);
}

}  // namespace hapair::ccm::iwarp
