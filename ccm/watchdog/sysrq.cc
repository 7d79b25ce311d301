#include "ccm/watchdog/sysrq.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "ccm/base/fd.h"

namespace hapair::ccm {

int SysrqTrigger::reset() const {
  const Fd file(::open(file_.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return errno;
  const char reboot = 'b';
  if (::write(file.get(), &reboot, 1) != 1) return errno;
  return ENOTSUP;  // this runs on
}

}  // namespace hapair::ccm
