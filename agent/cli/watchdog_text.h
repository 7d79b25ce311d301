// The node's watchdog in a line, for `hapair status` and `hapair rails`, and what it does not cover, for `hapair
// check`. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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
  bool container = false;  // it ends the container that is the node; false: it resets the machine
};

std::string watchdog_text(const WatchdogWords& watchdog, std::int64_t now_ns, const Style& style);

// Of a container's watchdog (ccm/container/node_init.h), against one that resets a machine.
std::vector<std::string_view> container_watchdog_limits();
// `promised_in`: the file that promises that the pools end with the container (ccm/config); empty: none does.
std::string container_watchdog_text(const std::string& socket, const std::string& promised_in, const Style& style);

}  // namespace hapair::cli
