#include "ccm/watchdog/linux_watchdog.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

namespace hapair::ccm {
namespace {

constexpr unsigned kMiscMajor = 10;  // /dev/watchdog: the first device under its old name
constexpr std::string_view kSoftdog = "Software Watchdog";
constexpr std::string_view kStopWord = "V";  // the magic close of the API

int whole_seconds(Duration time) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

// What the device runs with, whether or not it took `wanted`.
Duration set_timeout(int fd, std::uint32_t options, Duration wanted) {
  int seconds = whole_seconds(wanted);
  if ((options & WDIOF_SETTIMEOUT) != 0) (void)::ioctl(fd, WDIOC_SETTIMEOUT, &seconds);
  int got = 0;
  if (::ioctl(fd, WDIOC_GETTIMEOUT, &got) != 0) got = seconds;  // as SETTIMEOUT left it, which tells what it took
  return std::chrono::seconds(got);
}

// A device that had one from an earlier holder loses it where none is wanted.
Duration set_pretimeout(int fd, std::uint32_t options, Duration wanted) {
  int seconds = whole_seconds(wanted);
  if ((options & WDIOF_PRETIMEOUT) == 0 || ::ioctl(fd, WDIOC_SETPRETIMEOUT, &seconds) != 0) return {};
  return std::chrono::seconds(seconds);
}

}  // namespace

LinuxWatchdog::LinuxWatchdog(std::string device) : device_(std::move(device)) {}

Watchdog::Answer LinuxWatchdog::hold(Duration timeout, Duration pretimeout, Instant /*decided*/) {
  struct stat st{};
  if (::stat(device_.c_str(), &st) != 0) return std::unexpected(WatchdogFault{WatchdogProblem::cannot_open, errno});
  // Opening starts a watchdog, and may block or do what not on something else.
  if (!S_ISCHR(st.st_mode)) return std::unexpected(WatchdogFault{WatchdogProblem::no_watchdog, 0});
  Fd fd(::open(device_.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd.valid()) return std::unexpected(WatchdogFault{WatchdogProblem::cannot_open, errno});
  watchdog_info info{};
  if (::ioctl(fd.get(), WDIOC_GETSUPPORT, &info) != 0) {
    return std::unexpected(WatchdogFault{WatchdogProblem::no_watchdog, 0});
  }
  fd_ = std::move(fd);
  const bool can_stop = !nowayout();
  Held held;
  held.timeout = set_timeout(fd_.get(), info.options, timeout);
  held.pretimeout = set_pretimeout(fd_.get(), info.options, pretimeout);
  held.can_stop = can_stop;
  held.outlives_holder = !can_stop || (info.options & WDIOF_MAGICCLOSE) != 0;
  held.hardware = std::string_view(reinterpret_cast<const char*>(info.identity)) != kSoftdog;
  held.resets = (info.options & WDIOF_ALARMONLY) == 0;
  return held;
}

int LinuxWatchdog::feed(Instant /*decided*/) { return ::ioctl(fd_.get(), WDIOC_KEEPALIVE, nullptr) == 0 ? 0 : errno; }

void LinuxWatchdog::stop() {
  // A driver without the magic close takes the word for one more feed, and stops when the descriptor is closed.
  (void)!::write(fd_.get(), kStopWord.data(), kStopWord.size());
  fd_.reset();
}

void LinuxWatchdog::leave_running() { fd_.reset(); }

bool LinuxWatchdog::nowayout() const {
  struct stat st{};
  if (::fstat(fd_.get(), &st) != 0) return false;
  const std::string folder = major(st.st_rdev) == kMiscMajor ? "/sys/class/watchdog/watchdog0"
                                                             : "/sys/dev/char/" + std::to_string(major(st.st_rdev)) +
                                                                   ":" + std::to_string(minor(st.st_rdev));
  const auto text = read_file(folder + "/nowayout", 16);
  return text && text->starts_with('1');
}

}  // namespace hapair::ccm
