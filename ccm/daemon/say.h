// One line for the journal, from a loop that must not wait for it.
#pragma once

#include <string>

#include "ccm/base/log_line.h"

namespace hapair::ccm {

inline void say(int severity, const std::string& line) { log_line(severity, line); }

}  // namespace hapair::ccm
