#include "ccm/wire/poison.h"

namespace hapair::ccm {

std::string_view text_of(PoisonState state) {
  switch (state) {
    case PoisonState::none:
      return "none";
    case PoisonState::accepted:
      return "accepted";
    case PoisonState::stopped:
      return "stopped";
    case PoisonState::resetting:
      return "resetting";
    case PoisonState::cannot:
      return "cannot";
  }
  return "unknown";
}

std::string_view text_of(PoisonReason reason) {
  switch (reason) {
    case PoisonReason::none:
      return "nothing is wrong";
    case PoisonReason::no_reset:
      return "its ccm.poison.reset is \"none\"";
    case PoisonReason::no_watchdog:
      return "its ccmd holds no watchdog";
    case PoisonReason::watchdog_failed:
      return "its watchdog was not fed any more and did not reset it";
    case PoisonReason::sysrq_failed:
      return "its kernel did not take the reset by sysrq";
  }
  return "for a reason that this version does not know";
}

bool is_final(PoisonProgress progress) {
  switch (progress) {
    case PoisonProgress::none:
    case PoisonProgress::written:
    case PoisonProgress::accepted:
    case PoisonProgress::resetting:
      return false;
    case PoisonProgress::stopped:
    case PoisonProgress::cannot:
    case PoisonProgress::no_rail:
    case PoisonProgress::not_known:
    case PoisonProgress::lost:
    case PoisonProgress::restarted:
    case PoisonProgress::rebooted:
      return true;
  }
  return false;
}

}  // namespace hapair::ccm
