#include "ccm/wire/session_block.h"

#include <algorithm>
#include <span>

#include "ccm/wire/observation.h"

namespace hapair::ccm {

std::string_view text_of(SessionState state) {
  switch (state) {
    case SessionState::none:
      return "none";
    case SessionState::established:
      return "established";
    case SessionState::refused:
      return "refused";
  }
  return "unknown";
}

bool session_block_is_sound(const SessionBlockLayout& block) {
  if (block.protocol_min > block.protocol_max || block.port_count > kMaxPorts || block.rails >= 1U << kMaxRails) {
    return false;
  }
  const auto ports = std::span(block.ports).first(block.port_count);
  const bool each = std::ranges::all_of(ports, [](const SessionPortLayout& port) {
    return port.slot < kMaxClients && port.index < kMaxClientPorts && port.rail < kMaxRails &&
           port.rights <= (kPartnerReads | kPartnerWrites) && port.avoids < 1U << kMaxRails;
  });
  // A port is told once.
  const auto twice = [&](const SessionPortLayout& one) {
    return std::ranges::count_if(ports, [&](const SessionPortLayout& other) {
             return other.slot == one.slot && other.index == one.index;
           }) > 1;
  };
  return each && std::ranges::none_of(ports, twice);
}

}  // namespace hapair::ccm
