// Runs the programs of others: resource agents, fence agents, systemctl. They may hang, flood, fork and lie; the loop
// goes on.
//
//  - A child runs in a session and process group of its own, with only the three standard descriptors, default signals
//    and ordinary scheduling. Its standard input is a file of the given bytes.
//  - At its timeout the group gets SIGTERM, and SIGKILL `kKillAfter` later, or when its leader ends. The result comes
//    when the whole group is gone: a mount that was ended may still succeed before its process is. Where even SIGKILL
//    does not end it (it hangs in the kernel, on a disk that does not answer), the result comes after `kGiveUpAfter`
//    and says that the group was left behind.
//  - A child that ends by itself may leave processes behind: agents start daemons. They are left alone; what the child
//    itself wrote is in the result, and nobody waits for those who hold its pipes.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/shell/action_ledger.h"
#include "agent/shell/event_source.h"
#include "ccm/base/fd.h"
#include "ccm/base/time.h"

namespace hapair::agent {

// Of each of stdout and stderr: the first half and the last.
inline constexpr std::size_t kCaptureBytes = std::size_t{64} * 1024;
inline constexpr Duration kKillAfter = std::chrono::seconds(2);
inline constexpr Duration kGiveUpAfter = std::chrono::seconds(2);

struct ProcessSpec {
  std::vector<std::string> argv;         // argv[0] is the program's absolute path
  std::vector<std::string> environment;  // "NAME=value"; nothing is inherited
  std::string input;                     // what it reads from its standard input
  Duration timeout{};
  std::string what{};  // "pool-a/fs start", for whoever finds it still running
};

struct ProcessResult {
  enum class End : std::uint8_t {
    exited,           // `code` is the exit code
    signalled,        // `code` is the signal
    timed_out,        // it was ended at its timeout, however it ended then
    could_not_start,  // `code` is the errno; nothing ran
  };
  End end = End::could_not_start;
  int code = 0;
  std::string reason;   // of timed_out and could_not_start: a sentence
  int left_behind = 0;  // of timed_out: the process group of which something did not end even at SIGKILL; 0: none
  std::string out;
  std::string err;
  Instant started_at;
  Duration took{};
};

// Why it did not do what it was asked for: the last words of it, or how it ended. `program`: what it is called there.
std::string objection_of(const ProcessResult& result, std::string_view program);

// One that runs. Destroying it abandons it: its group is killed at once and its result is not reported.
class RunningProcess {
 public:
  virtual ~RunningProcess() = default;
  RunningProcess(const RunningProcess&) = delete;
  RunningProcess& operator=(const RunningProcess&) = delete;

 protected:
  RunningProcess() = default;
};

// The seam: the real side spawns; the simulator's side answers from a script.
class ProcessRunner {
 public:
  using Done = std::function<void(ProcessResult)>;
  // `done` is called once, from the loop, never from inside run(). It may destroy the RunningProcess. How many run at a
  // time is the caller's to bound.
  virtual std::unique_ptr<RunningProcess> run(ProcessSpec spec, Done done) = 0;

 protected:
  ~ProcessRunner() = default;
};

class SystemProcessRunner final : public ProcessRunner {
 public:
  // `loop` and `clock` outlive this; this outlives every RunningProcess. What runs is written down in `ledger_folder`.
  SystemProcessRunner(sd_event* loop, const Clock& clock, std::string ledger_folder = "");
  SystemProcessRunner(const SystemProcessRunner&) = delete;
  SystemProcessRunner& operator=(const SystemProcessRunner&) = delete;
  ~SystemProcessRunner();
  std::unique_ptr<RunningProcess> run(ProcessSpec spec, Done done) override;

  // Killed children that have not ended yet.
  [[nodiscard]] std::size_t lingering() const { return lingering_.size(); }

 private:
  friend class SystemProcess;
  struct Lingering {
    Fd pidfd;
    EventSource source;
  };
  // Takes over the reaping of a child that was killed.
  void linger(int pid, Fd pidfd);
  static int on_lingering_ended(sd_event_source* source, int fd, std::uint32_t events, void* context);

  sd_event* loop_;
  const Clock* clock_;
  ActionLedger ledger_;
  std::map<int, Lingering> lingering_;  // by pidfd
};

}  // namespace hapair::agent
