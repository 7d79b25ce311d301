// Keys and message authentication: keyed BLAKE2b of libsodium (crypto_generichash; RFC 7693).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "ccm/base/random.h"

namespace hapair::ccm {

inline constexpr std::size_t kMacBytes = 32;
inline constexpr std::size_t kShortMacBytes = 16;
inline constexpr std::size_t kNonceBytes = 32;
inline constexpr std::size_t kKeyBytes = 32;

using Digest = std::array<std::uint8_t, kMacBytes>;
using Mac = std::array<std::uint8_t, kMacBytes>;
using ShortMac = std::array<std::uint8_t, kShortMacBytes>;
using Nonce = std::array<std::uint8_t, kNonceBytes>;

// 32 secret bytes; wiped when they go. The pair's key comes from its key file, a session's from the pair's key and
// both nonces.
class Key {
 public:
  Key() = default;
  // Any secret of at least 32 bytes; it is hashed, so every byte of it counts.
  static Key from_secret(std::span<const std::byte> secret);
  // A key for one purpose: two contexts never give the same key.
  [[nodiscard]] Key derive(std::string_view context, std::initializer_list<std::span<const std::byte>> parts) const;
  Key(const Key&) = default;
  Key& operator=(const Key&) = default;
  ~Key();
  [[nodiscard]] std::span<const std::uint8_t> bytes() const { return bytes_; }
  bool operator==(const Key&) const = default;

 private:
  std::array<std::uint8_t, kKeyBytes> bytes_{};
};

// The MAC of all parts, in order. Parts are of fixed width wherever this is used, so their borders need no mark.
Mac mac_of(const Key& key, std::initializer_list<std::span<const std::byte>> parts);
ShortMac short_mac_of(const Key& key, std::initializer_list<std::span<const std::byte>> parts);
// Without a key.
Digest digest_of(std::span<const std::byte> bytes);
// In constant time.
bool same(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b);

// Starts libsodium. Safe to call more than once; false means that the machine has no source of randomness.
bool start_crypto();

class SystemRandom final : public Random {
 public:
  void fill(std::span<std::byte> bytes) override;
};

}  // namespace hapair::ccm
