#include "agent/cli/watchdog_text.h"

#include <fmt/core.h>

namespace hapair::cli {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

// Until when it is fed, and what then.
std::string feeding(const WatchdogWords& watchdog, std::int64_t now_ns, const Style& style) {
  if (watchdog.fed_until_ns == 0) return "fed as long as ccmd runs";
  if (watchdog.fed_until_ns > now_ns) {
    return fmt::format("fed for {} more, unless {} says otherwise", duration_text(watchdog.fed_until_ns - now_ns),
                       watchdog.fed_for);
  }
  return toned(fmt::format("not fed any more: the time of {} passed {} ago", watchdog.fed_for,
                           duration_text(now_ns - watchdog.fed_until_ns)),
               Tone::bad, style);
}

}  // namespace

std::string watchdog_text(const WatchdogWords& watchdog, std::int64_t now_ns, const Style& style) {
  if (watchdog.state.empty() || watchdog.state == "none") return "none: nothing resets this node (ccm.watchdog)";
  std::string problem = toned(watchdog.problem, Tone::bad, style);
  if (watchdog.timeout_ms == 0) return problem;
  const std::string resets = fmt::format("{} resets this node {} after its last feed; ", watchdog.device,
                                         duration_text(static_cast<std::int64_t>(watchdog.timeout_ms) * kNsPerMs)) +
                             feeding(watchdog, now_ns, style);
  return watchdog.problem.empty() ? resets : problem + "; " + resets;
}

}  // namespace hapair::cli
