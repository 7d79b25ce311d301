// What process 1 has to say, said only where that cannot wait: to a pipe, a socket or a terminal, and only what these
// take at once. To a file, whose disk may hang, it says nothing: a process that waits for a disk ends no container.
#pragma once

#include <string_view>

#include "ccm/base/fd.h"

namespace hapair::ccm {

class Voice {
 public:
  // Of `fd`, which stays open: what it is is looked at now.
  static Voice of(int fd);
  void say(int severity, std::string_view text) const;

 private:
  Fd own_;           // a description of its own, which does not wait, of a pipe or terminal
  int socket_ = -1;  // sent to without waiting
};

}  // namespace hapair::ccm
