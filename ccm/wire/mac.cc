#include "ccm/wire/mac.h"

#include <sodium.h>

#include "ccm/base/check.h"

namespace hapair::ccm {
namespace {

const unsigned char* data_of(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

void hash(std::span<std::uint8_t> out, std::span<const std::uint8_t> key,
          std::initializer_list<std::span<const std::byte>> parts) {
  crypto_generichash_state state;
  HAPAIR_CHECK(crypto_generichash_init(&state, key.data(), key.size(), out.size()) == 0, "key and output sizes");
  for (const auto part : parts) crypto_generichash_update(&state, data_of(part), part.size());
  crypto_generichash_final(&state, out.data(), out.size());
}

}  // namespace

Key Key::from_secret(std::span<const std::byte> secret) {
  Key key;
  hash(key.bytes_, {}, {std::as_bytes(std::span("hapair pair key 1")), secret});
  return key;
}

Key Key::derive(std::string_view context, std::initializer_list<std::span<const std::byte>> parts) const {
  crypto_generichash_state state;
  Key key;
  HAPAIR_CHECK(crypto_generichash_init(&state, bytes_.data(), bytes_.size(), key.bytes_.size()) == 0, "fixed sizes");
  const std::uint64_t context_bytes = context.size();
  crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(&context_bytes), sizeof context_bytes);
  crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(context.data()), context.size());
  for (const auto part : parts) crypto_generichash_update(&state, data_of(part), part.size());
  crypto_generichash_final(&state, key.bytes_.data(), key.bytes_.size());
  return key;
}

Key::~Key() { sodium_memzero(bytes_.data(), bytes_.size()); }

Mac mac_of(const Key& key, std::initializer_list<std::span<const std::byte>> parts) {
  Mac mac{};
  hash(mac, key.bytes(), parts);
  return mac;
}

ShortMac short_mac_of(const Key& key, std::initializer_list<std::span<const std::byte>> parts) {
  ShortMac mac{};
  hash(mac, key.bytes(), parts);
  return mac;
}

Digest digest_of(std::span<const std::byte> bytes) {
  Digest digest{};
  hash(digest, {}, {bytes});
  return digest;
}

bool same(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool start_crypto() { return sodium_init() >= 0; }

void SystemRandom::fill(std::span<std::byte> bytes) { randombytes_buf(bytes.data(), bytes.size()); }

}  // namespace hapair::ccm
