// How an iWARP connection begins: MPA's request and reply, with hapair's own data in them.
//   byte 0: bit 0 a reply is due; the rest is the TCP stream
#include <array>

#include "ccm/fabric/iwarp/mpa.h"
#include "ccm/wire/connect_data.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace hapair;
using namespace hapair::ccm::iwarp;

bool same_frame(const MpaFrame& one, const MpaFrame& other) {
  return one.reply == other.reply && one.markers == other.markers && one.crc == other.crc &&
         one.rejected == other.rejected && one.revision == other.revision && one.enhanced == other.enhanced &&
         one.ird == other.ird && one.ord == other.ord && one.peer_to_peer == other.peer_to_peer &&
         one.rtr_write == other.rtr_write && one.rtr_read == other.rtr_read &&
         fuzz::same(one.private_data, other.private_data);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const bool reply = input.byte() % 2 == 1;
  const auto bytes = input.rest();
  const auto parsed = parse_mpa(bytes, reply);
  // What is wrong early stays wrong, and what is whole stays as it is, whatever comes behind it.
  for (std::size_t part = 0; part < std::min(bytes.size(), kMaxMpaBytes); ++part) {
    const auto early = parse_mpa(bytes.first(part), reply);
    if (!early) {
      FUZZ_CHECK(!parsed);
    } else if (early->has_value()) {
      FUZZ_CHECK(parsed && parsed->has_value() && (*parsed)->bytes == (*early)->bytes && (*early)->bytes <= part);
    }
  }
  if (!parsed || !*parsed) return 0;
  const ParsedMpa& frame = **parsed;
  FUZZ_CHECK(frame.bytes <= bytes.size() && frame.bytes <= kMaxMpaBytes && frame.frame.reply == reply);
  std::array<std::byte, kMaxMpaBytes> again{};
  const std::size_t length = encode(frame.frame, again);
  FUZZ_CHECK(length <= again.size());
  const auto second = parse_mpa(std::span(again).first(length), reply);
  FUZZ_CHECK(second && *second && (*second)->bytes == length && same_frame((*second)->frame, frame.frame));
  (void)ccm::parse_connect_request(frame.frame.private_data);
  (void)ccm::parse_connect_answer(frame.frame.private_data);
  return 0;
}
