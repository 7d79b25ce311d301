// hapair-demo-init SPEC: one node of the demonstration, from power-on to power-off.
//
// The process that is started stays outside: it is the node's power supply. Its child is PID 1 of the node. When the
// standard input of the power supply closes (whoever owns the demonstration is gone, however it went), or when the
// power supply itself is killed, PID 1 is killed, and the kernel ends everything in its PID namespace.
// Where the node has a watchdog, hapair-node-init becomes its PID 1 and this program, called once more inside, its
// command. Prints "PID N" (as seen from outside) once. Exit status: that of the node's PID 1 (0 powered off in order, 3
// wants to be powered on again), 128 + the signal that ended it, 1 where it could not be powered on.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "ccm/base/fd.h"
#include "deploy/demo/init/machine.h"
#include "deploy/demo/init/root.h"
#include "deploy/demo/init/service.h"
#include "deploy/demo/init/spec.h"

namespace {

using hapair::Fd;

constexpr const char* kServices = "--services";
constexpr const char* kPrograms = "/usr/local/sbin/";

// In the node, whose file system has neither of the two files: both stay open under these numbers.
int become_node_init(const hapair::demo::NodeSpec& spec, const Fd& spec_file, const Fd& status) {
  const std::string init = std::string(kPrograms) + "hapair-node-init";
  const std::string own = std::string(kPrograms) + "hapair-demo-init";
  for (const Fd* fd : {&spec_file, &status}) ::fcntl(fd->get(), F_SETFD, 0);
  ::execl(init.c_str(), init.c_str(), "--watchdog", spec.watchdog.c_str(), "--", own.c_str(), kServices,
          std::to_string(spec_file.get()).c_str(), std::to_string(status.get()).c_str(), nullptr);
  hapair::demo::console(hapair::errno_text(init));
  return 1;
}

int run_services(int spec_file, int status) {
  for (const int fd : {spec_file, status}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  const auto spec = hapair::demo::load_spec("/proc/self/fd/" + std::to_string(spec_file));
  ::close(spec_file);
  if (!spec) {
    hapair::demo::console(spec.error());
    return 1;
  }
  return hapair::demo::Machine(*spec, Fd(status)).run();
}

int live(const hapair::demo::NodeSpec& spec, const char* spec_path) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setsid();
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (null.valid()) ::dup2(null.get(), STDIN_FILENO);  // the life line belongs to the power supply alone
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  Fd status(::open(spec.status.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  const Fd spec_file(::open(spec_path, O_RDONLY | O_CLOEXEC));
  if (const auto entered = hapair::demo::enter_machine(spec); !entered) {
    hapair::demo::console("node " + spec.node + " cannot be powered on: " + entered.error());
    return 1;
  }
  ::clearenv();
  for (const char* variable : {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
                               "LANG=C.UTF-8", "TERM=dumb"}) {
    ::putenv(const_cast<char*>(variable));
  }
  if (!spec.watchdog.empty()) return become_node_init(spec, spec_file, status);
  return hapair::demo::Machine(spec, std::move(status)).run();
}

// Holds the node's power until it ends by itself or the life line breaks.
int supply(pid_t node) {
  const Fd life(static_cast<int>(::syscall(SYS_pidfd_open, node, 0)));
  std::array<pollfd, 2> fds{{{life.get(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
  while (true) {
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;
    if (fds[0].revents != 0) break;
    std::array<char, 16> word{};
    if (fds[1].revents != 0 && ::read(STDIN_FILENO, word.data(), word.size()) <= 0) {
      ::kill(node, SIGKILL);
      break;
    }
  }
  int status = 0;
  if (::waitpid(node, &status, 0) != node) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == kServices) {
    return run_services(std::atoi(argv[2]), std::atoi(argv[3]));
  }
  if (argc != 2) {
    std::fputs("usage: hapair-demo-init SPEC\nIt is run by deploy/demo/run, once for each time a node is powered on.\n",
               stderr);
    return 2;
  }
  const auto spec = hapair::demo::load_spec(argv[1]);
  if (!spec) {
    std::fprintf(stderr, "hapair-demo-init: %s\n", spec.error().c_str());
    return 1;
  }
  if (::unshare(CLONE_NEWPID) != 0) {
    std::fprintf(stderr, "hapair-demo-init: %s\n",
                 hapair::errno_text("making a PID namespace (root is needed)").c_str());
    return 1;
  }
  const pid_t node = ::fork();
  if (node < 0) {
    std::fprintf(stderr, "hapair-demo-init: %s\n", hapair::errno_text("fork").c_str());
    return 1;
  }
  if (node == 0) return live(*spec, argv[1]);
  std::printf("PID %d\n", static_cast<int>(node));
  std::fflush(stdout);
  ::close(STDOUT_FILENO);
  return supply(node);
}
