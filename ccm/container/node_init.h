// Process 1 of a node that is a container, and its watchdog. It starts the container's own program, reaps what nobody
// waits for, hands signals on, and ends when that program ends. Where its watchdog is held and then not fed in time it
// ends at once: with the process 1 of a PID namespace the kernel kills every process in it (pid_namespaces(7)).
//
// What that covers: whatever the processes of the container do or cannot do any more, ccmd and hapaird stopped
// (SIGSTOP), hung, starved or killed included. When process 1 is gone for whoever waits for it, no process of the
// container runs.
//
// What it does not cover, against a device that resets a machine (the same list as `hapair check`,
// agent/cli/watchdog_text.cc, and README.md):
//   - A container that is frozen as a whole, process 1 with it: by the cgroup freezer (`podman pause`), by SIGSTOP from
//     outside, by a paused virtual machine. Awake again it ends as soon as process 1 runs, and others may have run a
//     little before.
//   - Services of the host's kernel that resources set up: LIO targets, nfsd, DRBD, md, LVM and device mapper, loop
//     devices. They stay until whoever made them takes them away.
//   - A process that waits for a disk that hangs lives until that call returns, and the kernel waits for it; so does
//     process 1.
//   - Mounts go with the last process of their mount namespace. The kernel then still writes what a file system had not
//     written, which takes as long as the disk takes.
//   - Mounts that others have too: shared with the host (:rshared), or a process outside in the mount namespace
//   (nsenter
//     without --pid).
//   - Addresses in a network namespace that somebody outside holds (`ip netns add`, --net=host).
//   - The host itself: then nothing of it is kept, and the other node is to be on another host.
// So leases rest on it only where ccm.watchdog.container_covers_pools promises that no pool needs more.
#pragma once

#include <sys/types.h>

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "ccm/base/fd.h"
#include "ccm/container/watchdog_service.h"

namespace hapair::ccm {

inline constexpr int kEndedByWatchdog = 90;  // exit status of process 1

// Why this process cannot be the process 1 of a container, as a sentence; nothing where it is.
std::optional<std::string> why_no_container();

// The number of this life of the container, for boot_id_file. The error is a sentence.
std::expected<void, std::string> draw_boot_id(const std::string& file);

class NodeInit {
 public:
  explicit NodeInit(WatchdogService service);

  // The exit status of process 1: that of the command, 128 + the signal that ended it, or kEndedByWatchdog.
  int run(const std::vector<std::string>& command);

 private:
  bool start(const std::vector<std::string>& command);
  void wait();
  void take_signals();
  // False: there may be more to reap.
  bool reap();
  // Never returns.
  [[noreturn]] void end_container() const;

  WatchdogService service_;
  Voice voice_;
  Fd signals_;
  Fd timer_;
  bool more_ = false;  // to do than a turn took
  pid_t command_ = 0;
  std::optional<int> status_;
};

}  // namespace hapair::ccm
