// The node's watchdog in a line, for `hapair status` and `hapair rails`. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "agent/cli/text.h"

namespace hapair::cli {

// As the agent's reply and the CCM's own page have it.
struct WatchdogWords {
  std::string device;
  std::string state;  // absent, armed, unfit; none or empty: none is configured
  std::string problem;
  std::uint64_t timeout_ms = 0;
  std::int64_t fed_until_ns = 0;  // 0: no client has a time
  std::string fed_for;
};

std::string watchdog_text(const WatchdogWords& watchdog, std::int64_t now_ns, const Style& style);

}  // namespace hapair::cli
