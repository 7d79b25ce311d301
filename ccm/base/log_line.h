// Lines on standard error for those who must not wait.
#pragma once

#include <string_view>

namespace hapair {

// One line, behind the severity (0 to 7) that sd-daemon(3) reads. Never waits: where whoever reads standard error takes
// nothing at the moment, as a journal whose disk hangs, the line is left out, and the next one that is taken tells how
// many are. From any thread.
void log_line(int severity, std::string_view text);

}  // namespace hapair
