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
  const std::string resets = fmt::format("{} {} {} after its last feed; ", watchdog.device,
                                         watchdog.container ? "ends this container" : "resets this node",
                                         duration_text(static_cast<std::int64_t>(watchdog.timeout_ms) * kNsPerMs)) +
                             feeding(watchdog, now_ns, style);
  return watchdog.problem.empty() ? resets : problem + "; " + resets;
}

std::vector<std::string_view> container_watchdog_limits() {
  constexpr std::string_view kFrozen =
      "a container that is frozen as a whole, process 1 with it (the cgroup freezer, podman pause, SIGSTOP from "
      "outside, "
      "a paused virtual machine): awake again, others may run a little before it ends";
  constexpr std::string_view kServices =
      "services of the host's kernel that resources set up: LIO targets, nfsd, DRBD, md, LVM and device mapper, loop "
      "devices";
  return {kFrozen,
          kServices,
          "a process that waits for a disk that hangs: it lives until the disk answers",
          "file systems whose last data the kernel has still to write when it unmounts them",
          "mounts that others have too: shared with the host (:rshared), or a process outside in the mount namespace",
          "addresses in a network namespace that is held from outside (ip netns add, the host's own)",
          "the host itself: the other node is to be on another one"};
}

std::string container_watchdog_text(const std::string& socket, const std::string& promised_in, const Style& style) {
  constexpr std::size_t kIndent = 4;
  std::string out = wrapped("watchdog " + socket +
                                ": process 1 of this container (hapair-node-init) ends it, all its processes at once, "
                                "where it is not fed. Not covered; reserved disks (scsi:reservation) are against it:",
                            2, style.width) +
                    "\n";
  for (const std::string_view limit : container_watchdog_limits()) {
    out += "  - " + wrapped(std::string(limit), kIndent, style.width) + "\n";
  }
  const std::string ground =
      promised_in.empty()
          ? "no lease rests on this watchdog, so none of its pools is taken because a lease is over: where every "
            "resource of every pool ends with this container's processes, promise it "
            "(ccm.watchdog.container_covers_pools)"
          : "leases rest on this watchdog, because " + promised_in +
                " promises (ccm.watchdog.container_covers_pools) that every resource of every pool ends with this "
                "container's processes; nothing checks that, and where it is not so two nodes may write to one disk";
  return out + "  " + wrapped(ground, 2, style.width) + "\n";
}

}  // namespace hapair::cli
