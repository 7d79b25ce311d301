// One line for the journal, with the severity prefix that systemd reads (sd-daemon(3)).
#pragma once

#include <cstdio>
#include <string>

namespace hapair::ccm {

inline void say(int severity, const std::string& line) { std::fprintf(stderr, "<%d>%s\n", severity, line.c_str()); }

}  // namespace hapair::ccm
