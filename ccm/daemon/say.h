// One line for the journal, from a loop that must not wait for it.
#pragma once

#include <string>

#include "ccm/base/log_line.h"

namespace hapair::ccm {

inline void say(int severity, const std::string& line) { log_line(severity, line); }

// The same for parts that are also run where there is no journal: a simulator has a silent one.
class Journal {
 public:
  virtual void say(int severity, const std::string& line) = 0;

 protected:
  ~Journal() = default;
};
// The daemon's.
class DaemonJournal final : public Journal {
 public:
  void say(int severity, const std::string& line) override { ccm::say(severity, line); }
};
inline Journal& daemon_journal() {
  static DaemonJournal journal;
  return journal;
}

}  // namespace hapair::ccm
