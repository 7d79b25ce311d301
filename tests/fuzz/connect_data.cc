// The private data of a connection: request and answer.
//   byte 0: bit 0 the checksum is put right; the rest is the data
#include <vector>

#include "ccm/base/crc32c.h"
#include "ccm/wire/connect_data.h"
#include "tests/fuzz/fuzz.h"

using namespace hapair;
using namespace hapair::ccm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const bool right = input.byte() % 2 == 1;
  const auto rest = input.rest();
  std::vector<std::byte> bytes(rest.begin(), rest.end());
  constexpr std::size_t kCrcAt = kConnectDataBytes - 4;
  if (right && bytes.size() >= kConnectDataBytes) {
    const std::uint32_t crc = crc32c(std::span(bytes).first(kCrcAt));
    std::memcpy(bytes.data() + kCrcAt, &crc, sizeof crc);
  }
  const auto request = parse_connect_request(bytes);
  const auto answer = parse_connect_answer(bytes);
  FUZZ_CHECK(!(request && answer));
  // What was understood can be said, and is understood again.
  if (request) {
    const auto again = parse_connect_request(encode(*request));
    FUZZ_CHECK(again && again->service == request->service && again->token == request->token);
  }
  if (answer) {
    const auto again = parse_connect_answer(encode(*answer));
    FUZZ_CHECK(again && again->service == answer->service && again->regions == answer->regions);
  }
  return 0;
}
