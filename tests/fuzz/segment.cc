// One frame's content: DDP and RDMAP headers, read requests, Terminates.
#include <array>

#include "ccm/fabric/iwarp/ddp.h"
#include "tests/fuzz/fuzz.h"

using namespace hapair;
using namespace hapair::ccm::iwarp;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = fuzz::Input(data, size).rest();
  (void)parse_terminate(bytes);
  const auto segment = parse_segment(bytes);
  if (!segment) {
    FUZZ_CHECK(parse_terminate(encode(segment.error())) == segment.error());
    return 0;
  }
  FUZZ_CHECK(segment->payload.size() <= bytes.size());
  FUZZ_CHECK(segment->payload.empty() ||
             segment->payload.data() + segment->payload.size() == bytes.data() + bytes.size());
  // What was understood can be said, and is understood again.
  std::array<std::byte, kUntaggedHeaderBytes> header{};
  const std::size_t length = encode_header(*segment, header);
  FUZZ_CHECK(length + segment->payload.size() == bytes.size());
  const auto again = parse_segment(std::span(header).first(length));
  FUZZ_CHECK(again && again->opcode == segment->opcode && again->last == segment->last &&
             again->tagged == segment->tagged && again->offset == segment->offset && again->queue == segment->queue &&
             again->message == segment->message && again->message_offset == segment->message_offset);
  if (const auto request = parse_read_request(segment->payload)) {
    std::array<std::byte, kReadRequestBytes> words{};
    encode(*request, words);
    FUZZ_CHECK(fuzz::same(words, segment->payload));
  }
  return 0;
}
