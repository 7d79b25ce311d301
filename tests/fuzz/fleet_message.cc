// What anybody in a Corosync process group can send.
//   byte 0: bit 0 the sender knows how to make the checksum; the rest is the message
#include "agent/corosync/fleet_message.h"

#include <cstring>
#include <vector>

#include "ccm/base/crc32c.h"
#include "tests/fuzz/fuzz.h"

using namespace hapair;
using namespace hapair::agent;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const bool sealed = input.byte() % 2 == 1;
  const auto rest = input.rest();
  std::vector<std::byte> bytes(rest.begin(), rest.end());
  if (sealed && bytes.size() >= kFleetHeaderBytes) {
    constexpr std::size_t kAt = offsetof(FleetHeaderLayout, crc);
    std::memset(bytes.data() + kAt, 0, sizeof(std::uint32_t));
    const std::uint32_t crc = crc32c(bytes);
    std::memcpy(bytes.data() + kAt, &crc, sizeof crc);
  }
  const auto news = decode_fleet_message(bytes);
  if (!news) return 0;
  // What is taken is something that this node could have sent.
  const auto again = decode_fleet_message(encode_fleet_message(*news));
  FUZZ_CHECK(again && again->report == news->report && again->age == news->age);
  return 0;
}
