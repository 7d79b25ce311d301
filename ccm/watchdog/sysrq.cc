#include "ccm/watchdog/sysrq.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "ccm/base/fd.h"

namespace hapair::ccm {
namespace {

constexpr std::string_view kFirstPidNamespace = "pid:[4026531836]";  // PROC_PID_INIT_INO (include/linux/proc_ns.h)

}  // namespace

int SysrqTrigger::reset() const {
  std::array<char, 64> name{};
  const ssize_t length = ::readlink(pid_namespace_.c_str(), name.data(), name.size());
  if (length < 0) return errno;
  if (std::string_view(name.data(), static_cast<std::size_t>(length)) != kFirstPidNamespace) return EPERM;
  const Fd file(::open(file_.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return errno;
  const char reboot = 'b';
  if (::write(file.get(), &reboot, 1) != 1) return errno;
  return ENOTSUP;  // this runs on
}

}  // namespace hapair::ccm
