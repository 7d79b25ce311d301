#include "ccm/base/log_line.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <string>

namespace hapair {
namespace {

// What can be written counts as room for this much: a page of a pipe.
constexpr std::size_t kLongest = 4000;

std::atomic<std::uint64_t> left_out{0};

// Only what has a reader at its other end can make a writer wait; the kernel's log never says that it can be written
// to.
bool takes_a_line() {
  struct stat st{};
  const bool has_reader = ::fstat(STDERR_FILENO, &st) == 0 &&
                          (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || ::isatty(STDERR_FILENO) != 0);
  if (!has_reader) return true;
  pollfd end{STDERR_FILENO, POLLOUT, 0};
  return ::poll(&end, 1, 0) != 0;
}

bool write_line(int severity, std::string_view text) {
  if (!takes_a_line()) return false;
  std::string line = "<" + std::to_string(severity) + ">";
  line += text.substr(0, kLongest);
  line += '\n';
  return ::write(STDERR_FILENO, line.data(), line.size()) == static_cast<ssize_t>(line.size());
}

}  // namespace

void log_line(int severity, std::string_view text) {
  if (const std::uint64_t missing = left_out.exchange(0); missing > 0) {
    const std::string what = std::to_string(missing) +
                             " lines before this one are missing: the log did not take them; look at what reads it";
    if (!write_line(4, what)) {
      left_out += missing + 1;
      return;
    }
  }
  if (!write_line(severity, text)) ++left_out;
}

}  // namespace hapair
