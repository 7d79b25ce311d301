#include "ccm/handshake/proof.h"

#include "ccm/wire/status_page.h"

namespace hapair::ccm {
namespace {

struct EndBytes {
  std::array<char, kNameBytes> node;
  std::uint64_t incarnation;
  std::array<std::uint8_t, 16> boot_id;
  Nonce nonce;
};
static_assert(sizeof(EndBytes) == kNameBytes + 8 + 16 + kNonceBytes, "no padding: these bytes go under a MAC");

EndBytes bytes_of(const HandshakeEnd& end) {
  EndBytes out{};
  put_name(out.node, end.node.view());
  out.incarnation = end.incarnation.value();
  out.boot_id = end.boot_id.bytes;
  out.nonce = end.nonce;
  return out;
}

std::array<char, kNameBytes> bytes_of(const PairName& pair) {
  std::array<char, kNameBytes> out{};
  put_name(out, pair.view());
  return out;
}

std::span<const std::byte> view(const EndBytes& end) { return std::as_bytes(std::span(&end, 1)); }

}  // namespace

Mac proof_of(const Key& pair_key, const PairName& pair, const HandshakeEnd& prover, const HandshakeEnd& challenger) {
  static constexpr std::array<char, 8> kPurpose{'p', 'r', 'o', 'o', 'f'};
  const auto pair_bytes = bytes_of(pair);
  const EndBytes from = bytes_of(prover);
  const EndBytes to = bytes_of(challenger);
  return mac_of(pair_key,
                {std::as_bytes(std::span(kPurpose)), std::as_bytes(std::span(pair_bytes)), view(from), view(to)});
}

Key session_key_of(const Key& pair_key, const PairName& pair, const HandshakeEnd& one, const HandshakeEnd& other) {
  const auto pair_bytes = bytes_of(pair);
  const bool in_order = one.node < other.node;
  const EndBytes first = bytes_of(in_order ? one : other);
  const EndBytes second = bytes_of(in_order ? other : one);
  return pair_key.derive("session", {std::as_bytes(std::span(pair_bytes)), view(first), view(second)});
}

}  // namespace hapair::ccm
