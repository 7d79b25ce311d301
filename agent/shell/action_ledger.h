// Which programs this agent waits for, written down for the agent that comes after it.
//
// hapaird may be killed alone: what its resources started must live on. Then a start under way goes on without it, and
// would start a resource that the next agent has stopped and released meanwhile. So each program carries a token in its
// environment, a file of that name is in the folder while the program is waited for, and the next agent ends what it
// finds there before it looks at a resource.
//
//   run_dir/actions/TOKEN    "pool-a/fs start\n", then the program's process group
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ccm/base/time.h"

namespace hapair::agent {

class ActionLedger {
 public:
  // With an empty folder nothing is written down.
  ActionLedger(std::string folder, const Clock& clock);

  // Before a program is started; empty where nothing could be written down.
  std::string begin(const std::string& what);
  // It runs, with a process group of its own.
  void runs(const std::string& token, int group) const;
  // Its whole answer was taken; what it left running on purpose is not this agent's to end.
  void ended(const std::string& token) const;

  // What the program carries in its environment.
  static std::string setting_of(const std::string& token) { return "HAPAIR_ACTION=" + token; }

 private:
  [[nodiscard]] std::string path_of(const std::string& token) const { return folder_ + "/" + token; }

  std::string folder_;
  std::string prefix_;  // drawn from the clock that never goes back: no two agents of one boot share it
  std::uint64_t next_ = 1;
};

// A program of an earlier agent that was still under way.
struct Leftover {
  std::string what;
  int group = 0;
  bool ended = false;  // false: it hangs in the kernel, even at SIGKILL
};
// Ends them all, and waits for that for at most `patience`. Called before this agent starts any program.
std::vector<Leftover> end_leftovers(const std::string& folder, Duration patience);

}  // namespace hapair::agent
