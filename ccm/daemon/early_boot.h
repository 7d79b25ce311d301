// What a ccmd does apart that starts in an initramfs: it is a daemon of its own making, it tells the kernel's log what
// it has to say, and it follows process 1 when that goes over to the real root.
#pragma once

#include <expected>
#include <functional>
#include <string>

#include "ccm/base/fd.h"

namespace hapair::ccm {

// systemd kills no process at the switch of roots, nor before its last moment, whose first argument begins with '@'
// (systemd.io/ROOT_STORAGE_DAEMONS).
void mark_as_storage_daemon(char** argv);

// In the background, without a terminal, its words going to the kernel's log. Returns in the child alone; the parent
// leaves with the child's status, or when the child says started() and `afterwards` is done.
class EarlyDaemon {
 public:
  static EarlyDaemon become(const std::function<void()>& afterwards);
  void started();

 private:
  Fd to_parent_;
};

// Process 1's root, wherever that is: the initramfs's /proc is out of reach by its name after the switch.
class RealRoot {
 public:
  RealRoot();
  // This process's root becomes process 1's. Errors are sentences.
  [[nodiscard]] std::expected<void, std::string> follow() const;

 private:
  Fd proc_;
};

}  // namespace hapair::ccm
