// What an operator has forbidden for a while. On disk, so that neither a restarted agent nor a reboot forgets it; each
// ends when the operator says so, or at the end that was given with it.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "ccm/base/time.h"

namespace hapair::agent {

// Milliseconds since 1970 by the wall clock: what is to outlive a boot cannot be told by CLOCK_BOOTTIME. Within a boot
// it counts for nothing.
using WallTime = std::chrono::duration<std::int64_t, std::milli>;

inline constexpr Duration kMinute = std::chrono::minutes(1);

// The wire and the disk know them by their numbers.
enum class Inhibited : std::uint8_t {
  takeover = 0,  // this node takes nothing over by itself
  giveback = 1,  // and gives nothing back by itself
  maintenance =
      2,  // neither, and its resources are left alone: not watched, not restarted, not started, not handed over
  // The partner is in maintenance, as far as it was seen: its pools are left alone here too, though it goes dark.
  partner_maintenance = 3,
};
inline constexpr std::size_t kInhibited = 4;
std::string_view text_of(Inhibited what);

// What fits on disk.
inline constexpr std::size_t kReasonBytes = 120;
inline constexpr std::size_t kByBytes = 48;

struct Inhibition {
  bool on = false;
  WallTime since{};
  WallTime length{};  // 0: until somebody ends it
  WallTime until{};   // of one with an end, as what follows; in another boot than the record's
  Instant ends;       // in the boot of the record
  std::string by;
  std::string reason;
  bool operator==(const Inhibition&) const = default;
};
using Inhibitions = std::array<Inhibition, kInhibited>;

// When this node began to fence its partner by itself.
struct FenceStamp {
  WallTime wall{};  // counts in another boot than the record's
  Instant when;     // and in that one
  bool operator==(const FenceStamp&) const = default;
};

}  // namespace hapair::agent
