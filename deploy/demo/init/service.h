// One supervised program of a node, run as systemd runs a service of Type=notify with Restart=always: readiness and
// watchdog by datagrams, a restart after any end, only the main process signalled.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"

namespace hapair::demo {

inline constexpr Duration kRestartAfter = std::chrono::milliseconds(100);    // RestartSec
inline constexpr Duration kWatchdogLimit = std::chrono::milliseconds(3000);  // WatchdogSec
// From SIGABRT, which a stopped process does not see, to SIGKILL, which it does.
inline constexpr Duration kAbortPatience = std::chrono::milliseconds(200);

class Service {
 public:
  struct Plan {
    std::string name;
    std::vector<std::string> argv;
    bool notifies = true;   // false: ready as soon as it runs
    bool watchdog = false;  // it is ended when it says nothing for kWatchdogLimit
  };
  explicit Service(Plan plan) : plan_(std::move(plan)) {}

  // Starts it, and keeps it running from now on. False: it could not be started now; `turn` tries again.
  bool start(Instant now);
  // SIGTERM; it is not started again.
  void stop();
  void kill_now();

  // To be called when `pid` ended. True where it was this service's main process.
  bool ended(Instant now, pid_t pid, int wait_status);
  // Reads its notifications and does what is due.
  void turn(Instant now);
  // Time that this process itself did not see (it was stopped) does not count against the service.
  void forgive(Duration missed);

  [[nodiscard]] const std::string& name() const { return plan_.name; }
  [[nodiscard]] bool running() const { return pid_ > 0; }
  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] int notify_fd() const { return notify_.get(); }

 private:
  bool open_notify_socket();
  void read_notifications(Instant now);

  Plan plan_;
  Fd notify_;
  pid_t pid_ = 0;
  bool wanted_ = false;
  bool ready_ = false;
  Instant last_word_;
  std::optional<Instant> start_at_;
  std::optional<Instant> kill_at_;
};

// Starts `argv` with a clean signal state; 0 where that failed. `environment` is added to this process's own.
pid_t spawn(const std::vector<std::string>& argv, const std::vector<std::string>& environment, int stdout_fd);

// One line on the console: seconds since boot, then the text.
void console(const std::string& text);

}  // namespace hapair::demo
