// The peer of a mirror on one machine: memcpy of records of one size, from one shared memory to another.
// usage: copy RECORD_BYTES SLOTS MEGABYTES; prints bytes per second.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "ccm/base/shared_memory.h"
#include "ccm/base/time.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: copy RECORD_BYTES SLOTS MEGABYTES\n", stderr);
    return 2;
  }
  const auto number = [&](int at) {
    return std::max(std::size_t{std::strtoull(argv[at], nullptr, 10)}, std::size_t{1});
  };
  const std::size_t record = number(1);
  const std::size_t slots = number(2);
  const std::size_t rounds = std::max((number(3) << 20U) / record, std::size_t{1});
  const auto from_fd = hapair::sealed_memory("copy-from", record * slots);
  const auto to_fd = hapair::sealed_memory("copy-to", record * slots);
  if (!from_fd || !to_fd) return 1;
  const auto from = hapair::Mapping::map(*from_fd, record * slots, true);
  const auto to = hapair::Mapping::map(*to_fd, record * slots, true);
  if (!from || !to) return 1;
  const auto copy = [&](std::size_t i) {
    const std::size_t at = i % slots * record;
    std::memcpy(to->bytes().data() + at, from->bytes().data() + at, record);
  };
  for (std::size_t i = 0; i < slots; ++i) copy(i);  // every page of both has been touched
  const hapair::SystemClock clock;
  const hapair::Instant began = clock.now();
  for (std::size_t i = 0; i < rounds; ++i) copy(i);
  const double seconds = hapair::ms_of(clock.now() - began) / 1000;
  std::printf("%.0f\n", static_cast<double>(rounds) * static_cast<double>(record) / seconds);
  return 0;
}
