// Time is CLOCK_BOOTTIME everywhere: CLOCK_MONOTONIC leaves out the time a machine was suspended, and a node that
// slept for a minute must know that its lease is a minute older.
#pragma once

#include <chrono>
#include <cstdint>

namespace hapair {

using Duration = std::chrono::nanoseconds;

// The tag of CLOCK_BOOTTIME. It has no now(): pure code is told the time; the shell around it asks `Clock`.
struct BootTime {
  using rep = Duration::rep;
  using period = Duration::period;
  using duration = Duration;
  using time_point = std::chrono::time_point<BootTime>;
  static constexpr bool is_steady = true;
};
using Instant = BootTime::time_point;

inline Instant instant_of_ns(std::int64_t ns) { return Instant(Duration(ns)); }
inline std::int64_t ns_of(Instant t) { return t.time_since_epoch().count(); }
inline double ms_of(Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

// The seam to time. The real side reads the kernel; the simulator's side is told.
class Clock {
 public:
  [[nodiscard]] virtual Instant now() const = 0;  // CLOCK_BOOTTIME
  // Microseconds since 1970: for what people read, and for what must outlive a boot.
  [[nodiscard]] virtual std::int64_t wall_us() const = 0;

 protected:
  ~Clock() = default;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override;
  [[nodiscard]] std::int64_t wall_us() const override;
};

}  // namespace hapair
