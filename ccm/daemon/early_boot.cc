#include "ccm/daemon/early_boot.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace hapair::ccm {
namespace {

// What a process that is another's background can have no use for.
void let_go_of_terminal() {
  ::setsid();
  (void)!::chdir("/");
  const Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const Fd log(::open("/dev/kmsg", O_WRONLY | O_CLOEXEC));
  if (nothing.valid()) {
    ::dup2(nothing.get(), STDIN_FILENO);
    ::dup2(nothing.get(), STDOUT_FILENO);
  }
  if (log.valid()) ::dup2(log.get(), STDERR_FILENO);
  if (const Fd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)); score.valid()) {
    (void)!::write(score.get(), "-1000", 5);
  }
}

}  // namespace

void mark_as_storage_daemon(char** argv) { argv[0][0] = '@'; }

EarlyDaemon EarlyDaemon::become(const std::function<void()>& afterwards) {
  std::array<int, 2> ends{-1, -1};
  EarlyDaemon daemon;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return daemon;
  Fd from_child(ends[0]);
  daemon.to_parent_ = Fd(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return daemon;  // in the foreground, then
  if (child == 0) {
    let_go_of_terminal();
    return daemon;
  }
  daemon.to_parent_.reset();
  char word = 0;
  if (::read(from_child.get(), &word, 1) == 1) {
    afterwards();
    std::_Exit(0);
  }
  int status = 0;
  const bool ended = ::waitpid(child, &status, 0) == child && WIFEXITED(status);
  std::_Exit(ended ? WEXITSTATUS(status) : 1);
}

void EarlyDaemon::started() {
  (void)!::write(to_parent_.get(), "s", 1);
  to_parent_.reset();
}

RealRoot::RealRoot() : proc_(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

std::expected<void, std::string> RealRoot::follow() const {
  const Fd root(::openat(proc_.get(), "1/root", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return std::unexpected(errno_text("the root of process 1"));
  if (::fchdir(root.get()) != 0 || ::chroot(".") != 0) return std::unexpected(errno_text("chroot to process 1's root"));
  return {};
}

}  // namespace hapair::ccm
