#include "ccm/base/time.h"

#include <ctime>

#include "ccm/base/check.h"

namespace hapair {
namespace {

std::int64_t read_ns(clockid_t id) {
  timespec ts{};
  HAPAIR_CHECK(::clock_gettime(id, &ts) == 0, "this kernel has no such clock");
  return std::int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

}  // namespace

Instant SystemClock::now() const { return instant_of_ns(read_ns(CLOCK_BOOTTIME)); }
std::int64_t SystemClock::wall_us() const { return read_ns(CLOCK_REALTIME) / 1000; }

}  // namespace hapair
