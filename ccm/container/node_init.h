// Process 1 of a node that is a container, and its watchdog. It starts the container's own program, reaps what nobody
// waits for, hands signals on, and ends when that program ends. Where its watchdog is held and then not fed in time it
// ends at once: with the process 1 of a PID namespace the kernel kills every process in it (pid_namespaces(7)).
//
// What that covers: whatever the processes of the container do or cannot do any more, ccmd and hapaird stopped
// (SIGSTOP), hung, starved or killed included. When process 1 is gone for whoever waits for it, no process of the
// container runs.
//
// What it does not cover, against a device that resets a machine:
//   - Process 1 is frozen with the rest: by the cgroup freezer (`podman pause`), by SIGSTOP from outside, by a paused
//     virtual machine. Awake again it ends the container as soon as it runs, and others may have run a little before.
//   - A process in an uninterruptible sleep, on a disk that hangs, lives until that call returns, and the kernel waits
//     for it; so does process 1.
//   - Mounts go with the last process of their mount namespace. The kernel then still writes what a file system had not
//     written, which takes as long as the disk takes. A process outside that is in the mount namespace (nsenter without
//     --pid), or a mount that came from outside and stays there, keeps it mounted.
//   - What no process of the container is: services of the kernel (LIO targets, nfsd, DRBD, md, device mapper, loop
//     devices), and addresses in a network namespace that somebody outside holds (`ip netns add`, --net=host): these
//     stay until whoever made them takes them away.
//   - The host's kernel hangs or crashes: then nothing of it is kept, and the other node is to be on another host.
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
  NodeInit(WatchdogService service, const Clock& clock);

  // The exit status of process 1: that of the command, 128 + the signal that ended it, or kEndedByWatchdog.
  int run(const std::vector<std::string>& command);

 private:
  bool start(const std::vector<std::string>& command);
  void wait();
  void take_signals();
  void reap();
  // Never returns.
  [[noreturn]] void end_container() const;

  WatchdogService service_;
  const Clock* clock_;
  Fd signals_;
  Fd timer_;
  pid_t command_ = 0;
  std::optional<int> status_;
};

}  // namespace hapair::ccm
