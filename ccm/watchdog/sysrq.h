// The kernel's own reset (Documentation/admin-guide/sysrq.rst, "b"): at once, without a sync or an unmount. It is not
// of one container: whoever writes there resets the machine, and so nothing is written outside of the kernel's first
// PID namespace.
#pragma once

#include <string>
#include <utility>

namespace hapair::ccm {

class SysrqTrigger {
 public:
  // `file`: /proc/sysrq-trigger, which ccmd's main() names and nobody else. `pid_namespace`: /proc/self/ns/pid.
  SysrqTrigger(std::string file, std::string pid_namespace)
      : file_(std::move(file)), pid_namespace_(std::move(pid_namespace)) {}

  // Returns an errno where the kernel did not do it; EPERM in a container.
  [[nodiscard]] int reset() const;

 private:
  std::string file_;
  std::string pid_namespace_;
};

}  // namespace hapair::ccm
