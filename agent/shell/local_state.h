// What the kernel says of this machine's own state: pressure (Documentation/accounting/psi.rst), stolen time and
// suspension. A few reads of /proc that no disk can delay.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "ccm/base/time.h"
#include "heartbeat/local_health.h"

namespace hapair::agent {

// The total of the line "full" of a file of /proc/pressure; nothing where there is no such line.
std::optional<Duration> parse_full_pressure(std::string_view text);

struct ProcessorTicks {
  std::uint64_t stolen = 0;
  std::uint64_t all = 0;
};
// Of the first line of /proc/stat (proc(5)); nothing where it is not of that form.
std::optional<ProcessorTicks> parse_processor_ticks(std::string_view text);

// As it is now; `latest` is the caller's to fill in.
heartbeat::LocalSample sample_local_state(Instant now);

}  // namespace hapair::agent
