// The service manager's notification protocol (sd_notify(3)): one datagram to $NOTIFY_SOCKET. Written out here because
// ccmd is locked in memory and lives in an initramfs: libsystemd would more than double its size.
#pragma once

#include <optional>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"

namespace hapair::ccm {

class ServiceNotifier {
 public:
  // From $NOTIFY_SOCKET and $WATCHDOG_USEC; silent where there is none.
  static ServiceNotifier from_environment();
  // As the environment would say it: `socket` may be empty, `watchdog_us` zero.
  static ServiceNotifier at(const std::string& socket, long long watchdog_us);

  void ready(const std::string& status) const { send("READY=1\nSTATUS=" + status); }
  // Another process is the service's main one from now on.
  void adopted(int pid) const {
    send("MAINPID=" + std::to_string(pid) + "\nREADY=1\nSTATUS=adopted from the initramfs");
  }
  void watchdog() const { send("WATCHDOG=1"); }
  void stopping() const { send("STOPPING=1"); }
  // How often watchdog() is expected at the latest, halved for safety; nothing where no watchdog runs.
  [[nodiscard]] std::optional<Duration> watchdog_interval() const { return watchdog_interval_; }

 private:
  void send(const std::string& state) const;

  Fd socket_;
  std::string path_;
  std::optional<Duration> watchdog_interval_;
};

}  // namespace hapair::ccm
