// Words of other programs, made fit for one line of ours.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace hapair::agent {

// Valid UTF-8 on one line: control characters become spaces, bytes that are no UTF-8 become '?', white space at the
// ends goes, and what is longer than `max_bytes` is cut with "...".
std::string printable_line(std::string_view text, std::size_t max_bytes = 400);

// "SIGSEGV"; of one without a name "signal 34".
std::string signal_name(int signal);

// The last line that is not blank.
std::string_view last_line(std::string_view text);

}  // namespace hapair::agent
