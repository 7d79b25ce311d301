#include "agent/core/model.h"

namespace hapair::agent {

std::string_view text_of(ResourceAction action) {
  switch (action) {
    case ResourceAction::start:
      return "start";
    case ResourceAction::stop:
      return "stop";
    case ResourceAction::monitor:
      return "monitor";
  }
  return "unknown";
}

std::string_view text_of(ActionOutcome outcome) {
  switch (outcome) {
    case ActionOutcome::succeeded:
      return "succeeded";
    case ActionOutcome::not_running:
      return "not-running";
    case ActionOutcome::failed:
      return "failed";
    case ActionOutcome::timed_out:
      return "timed-out";
  }
  return "unknown";
}

std::string_view text_of(FenceResult result) {
  switch (result) {
    case FenceResult::confirmed:
      return "confirmed";
    case FenceResult::failed:
      return "failed";
    case FenceResult::unknown:
      return "unknown";
  }
  return "unknown";
}

std::string_view text_of(Inhibited what) {
  switch (what) {
    case Inhibited::takeover:
      return "takeover";
    case Inhibited::giveback:
      return "giveback";
    case Inhibited::maintenance:
      return "maintenance";
    case Inhibited::partner_maintenance:
      return "partner-maintenance";
  }
  return "unknown";
}

std::string_view text_of(Severity severity) {
  switch (severity) {
    case Severity::info:
      return "info";
    case Severity::notice:
      return "notice";
    case Severity::warning:
      return "warning";
    case Severity::error:
      return "error";
  }
  return "unknown";
}

}  // namespace hapair::agent
