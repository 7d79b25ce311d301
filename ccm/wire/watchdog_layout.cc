#include "ccm/wire/watchdog_layout.h"

#include <cerrno>
#include <cstring>

#include "ccm/wire/status_page.h"

namespace hapair::ccm {
namespace {

std::string seconds_text(std::uint32_t ms) { return std::to_string(ms / 1000) + " s"; }

std::string what_to_do_where_it_cannot_be_opened(int error) {
  switch (error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
      return "; its driver is not loaded, or the machine has none (softdog is one in software, and no guard against "
             "the kernel's own death); in a container hapair-node-init makes it, as process 1";
    case ETIMEDOUT:
      return "; process 1 of this container (hapair-node-init) does not answer";
    case EBUSY:
      return "; another program holds it: systemd where RuntimeWatchdogSec is set, or the watchdog daemon; one holder "
             "is possible";
    case EACCES:
    case EPERM:
      return "; ccmd must run as root";
    default:
      return "";
  }
}

}  // namespace

std::string_view text_of(WatchdogState state) {
  switch (state) {
    case WatchdogState::none:
      return "none";
    case WatchdogState::absent:
      return "absent";
    case WatchdogState::armed:
      return "armed";
    case WatchdogState::unfit:
      return "unfit";
  }
  return "unknown";
}

std::string_view end_by(WatchdogKind kind) {
  switch (kind) {
    case WatchdogKind::machine:
      return "resets this node";
    case WatchdogKind::container:
      return "ends this container";
  }
  return "ends this node";
}

std::string problem_of(const WatchdogSelfLayout& watchdog) {
  const std::string device(name_in(watchdog.device));
  const std::string error = std::strerror(watchdog.error);
  switch (static_cast<WatchdogProblem>(watchdog.problem)) {
    case WatchdogProblem::none:
      return "";
    case WatchdogProblem::cannot_open:
      return device + " cannot be opened: " + error + what_to_do_where_it_cannot_be_opened(watchdog.error);
    case WatchdogProblem::no_watchdog:
      return device +
             " is no watchdog; correct ccm.watchdog.device (ls /dev/watchdog*, or the socket of hapair-node-init)";
    case WatchdogProblem::other_timeout:
      return device + " runs with a time-out of " + seconds_text(watchdog.timeout_ms) + ", not the " +
             seconds_text(watchdog.wanted_ms) +
             " of the configuration; give ccm.watchdog.timeout_ms a value that it takes";
    case WatchdogProblem::alarm_only:
      return device + " only gives an alarm, and resets nothing; use another device";
    case WatchdogProblem::ends_with_ccm:
      return device + " would be stopped by its driver if ccmd died; load the driver with nowayout=1";
    case WatchdogProblem::software:
      return device +
             " is one in software (softdog), which dies with the kernel: use the machine's own (ls -l "
             "/dev/watchdog*; the order changes with the order in which drivers are loaded)";
    case WatchdogProblem::processes_only:
      return device +
             " ends this container's processes, and what its pools have in the host's kernel may stay (LIO targets, "
             "nfsd, DRBD, md, device mapper, a slow unmount), so no lease rests on it; where every resource of every "
             "pool ends with the processes, say so: ccm.watchdog.container_covers_pools";
    case WatchdogProblem::hosts_boot_id:
      return device +
             " is a container's, and boot_id_file holds the kernel's boot id, which is the host's: the partner could "
             "not tell that this container was started anew, so no lease rests on it; give boot_id_file what "
             "hapair-node-init draws at each start (/run/hapair-boot-id)";
    case WatchdogProblem::unanswered:
      return device +
             ": process 1 of this container (hapair-node-init) does not answer its feeds, so it may stand still and "
             "end "
             "nothing: no lease rests on it until it answers";
    case WatchdogProblem::feed_refused:
      return device + " is not fed: " + error + "; this node will be reset if that lasts";
    case WatchdogProblem::not_kept:
      return "what clients want of " + device +
             " cannot be kept in run_dir for a ccmd that restarts (see its log), so it is not "
             "taken up: a time that has passed could be forgotten";
    case WatchdogProblem::time_has_passed:
      if (name_in(watchdog.fed_for) == kStarvedFor) {
        return device +
               " is not fed any more, because the partner poisoned this node and its pools did not stop: it "
               "resets this node";
      }
      return device + " is not taken up, because the time of client " + std::string(name_in(watchdog.fed_for)) +
             " has passed; it is, once that client is back";
  }
  return device + " has a problem of which this version does not know";
}

bool overdue(const WatchdogSelfLayout& watchdog, Instant now) {
  return watchdog.fed_until_ns != kSaysNothing && ns_of(now) >= watchdog.fed_until_ns;
}

}  // namespace hapair::ccm
