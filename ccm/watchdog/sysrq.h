// The kernel's own reset (Documentation/admin-guide/sysrq.rst, "b"): at once, without a sync or an unmount. It is not
// of one container: whoever writes there resets the machine.
#pragma once

#include <string>
#include <utility>

namespace hapair::ccm {

class SysrqTrigger {
 public:
  // `file`: /proc/sysrq-trigger, which ccmd's main() names and nobody else.
  explicit SysrqTrigger(std::string file) : file_(std::move(file)) {}

  // Returns an errno where the kernel did not do it.
  [[nodiscard]] int reset() const;

 private:
  std::string file_;
};

}  // namespace hapair::ccm
