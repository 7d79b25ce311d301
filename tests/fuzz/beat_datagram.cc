// A datagram on the port of a network's beats, which anybody can send: the parser, and an exchange that has met its
// partner.
//   byte 0: bit 0 the datagram is given the pair's own names, key and the life that it answers; the rest is the
//   datagram
#include <array>
#include <chrono>
#include <cstring>

#include "ccm/network/beat_exchange.h"
#include "tests/fuzz/fuzz.h"

using namespace hapair;
using namespace hapair::ccm;

namespace {

const Key& pair_key() {
  static const Key key = Key::from_secret(std::as_bytes(std::span("a secret of at least thirty-two bytes")));
  return key;
}

BeatIdentity identity(const char* node, const char* partner, std::uint64_t incarnation) {
  return {.pair = *PairName::parse("pair"),
          .node = *NodeName::parse(node),
          .partner = *NodeName::parse(partner),
          .incarnation = Incarnation(incarnation),
          .boot_id = {}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const bool sealed = input.byte() % 2 == 1;
  const auto rest = input.rest();
  Instant now(std::chrono::seconds(100));
  BeatExchange alpha(identity("alpha", "beta", 11), pair_key());
  BeatExchange beta(identity("beta", "alpha", 22), pair_key());
  for (int i = 0; i < 3; ++i) {
    (void)beta.take(now, alpha.make(now, {}));
    (void)alpha.take(now, beta.make(now, {}));
  }
  const std::uint64_t heard = alpha.counters().heard;
  const auto parsed = parse_beat(rest);
  std::array<std::byte, kBeatBytes> own{};
  std::span<const std::byte> datagram = rest;
  if (sealed && parsed) {
    BeatView view = *parsed;
    view.pair = identity("beta", "alpha", 22).pair;
    view.sender = *NodeName::parse("beta");
    view.network = 0;
    view.heard_incarnation = Incarnation(11);
    own = encode_beat(view, beat_key(pair_key()));
    datagram = own;
    FUZZ_CHECK(parse_beat(own).has_value() && parse_beat(own)->sequence == view.sequence);
  }
  const bool counts = alpha.take(now, datagram).has_value();
  FUZZ_CHECK(!counts || sealed);  // without the key nothing does
  FUZZ_CHECK(alpha.counters().heard == heard + (counts ? 1 : 0));
  // What came does not keep the partner out, but where it took its place with its own key.
  now += std::chrono::milliseconds(10);
  (void)beta.take(now, alpha.make(now, {}));
  const bool after = alpha.take(now, beta.make(now, {})).has_value();
  FUZZ_CHECK(after || counts);
  return 0;
}
