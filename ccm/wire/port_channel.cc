#include "ccm/wire/port_channel.h"

namespace hapair::ccm {

std::string_view text_of(PortResult result) {
  switch (result) {
    case PortResult::done:
      return "done";
    case PortResult::failed:
      return "failed";
    case PortResult::not_ready:
      return "not-ready";
    case PortResult::outside:
      return "outside";
    case PortResult::no_right:
      return "no-right";
  }
  return "unknown";
}

std::string_view text_of(PortStandingState state) {
  switch (state) {
    case PortStandingState::waiting:
      return "waiting";
    case PortStandingState::connecting:
      return "connecting";
    case PortStandingState::ready:
      return "ready";
  }
  return "unknown";
}

}  // namespace hapair::ccm
