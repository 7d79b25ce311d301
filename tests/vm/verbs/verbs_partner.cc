// The partner of the verbs contract test: runs in the other machine, and does to its own process what it is told.
//
// usage: verbs_partner rxe|siw OWN_ADDRESS PARTNER_ADDRESS CONTROL_ADDRESS
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/fabric/verbs/verbs_fabric.h"
#include "tests/unit/ccm/fabric/page_server.h"
#include "tests/vm/verbs/link.h"
#include "tests/vm/verbs/protocol.h"

namespace hapair::ccm {
namespace {

class PartnerProcess {
 public:
  explicit PartnerProcess(VerbsSettings settings) : settings_(std::move(settings)) {}
  ~PartnerProcess() { kill(); }
  PartnerProcess(const PartnerProcess&) = delete;
  PartnerProcess& operator=(const PartnerProcess&) = delete;

  bool start(std::byte mark) {
    kill();
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return false;
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(ends[0]);
      VerbsFabric fabric(settings_);
      if (!fabric.open() || !fabric.trouble().empty()) ::_exit(1);
      serve_pages(fabric, mark, ends[1]);
      ::_exit(0);
    }
    ::close(ends[1]);
    channel_ = Fd(ends[0]);
    char ready = 0;
    return ::read(channel_.get(), &ready, 1) == 1;
  }
  bool signal(int number) {
    if (::kill(pid_, number) != 0) return false;
    int status = 0;
    return number != SIGSTOP || (::waitpid(pid_, &status, WUNTRACED) == pid_ && WIFSTOPPED(status));
  }
  bool kill() {
    if (pid_ <= 0) return true;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
    return true;
  }
  bool mailbox(std::array<std::byte, kPageBytes>& page) {
    return ::write(channel_.get(), "m", 1) == 1 &&
           ::recv(channel_.get(), page.data(), page.size(), MSG_WAITALL) == static_cast<ssize_t>(page.size());
  }

 private:
  VerbsSettings settings_;
  pid_t pid_ = -1;
  Fd channel_;
};

// False where the answer could not be sent.
bool carry_out(PartnerProcess& process, PartnerCommand command, std::byte argument, const char* fabric, int link) {
  bool done = false;
  switch (command) {
    case PartnerCommand::start:
      done = process.start(argument);
      break;
    case PartnerCommand::stop:
      done = process.signal(SIGSTOP);
      break;
    case PartnerCommand::go_on:
      done = process.signal(SIGCONT);
      break;
    case PartnerCommand::kill:
      done = process.kill();
      break;
    case PartnerCommand::mailbox: {
      std::array<std::byte, kPageBytes> page{};
      return process.mailbox(page) && ::write(link, page.data(), page.size()) == static_cast<ssize_t>(page.size());
    }
    case PartnerCommand::link_down:
      done = set_link(false);
      break;
    case PartnerCommand::link_up:
      done = set_link(true);
      break;
    case PartnerCommand::device_away:
      done = remove_device(fabric);
      break;
    case PartnerCommand::device_back:
      done = add_device(fabric);
      break;
  }
  return ::write(link, done ? "y" : "n", 1) == 1;
}

int run(const char* fabric, const char* own, const char* partner, const char* control) {
  const auto end = Endpoint::make(control, kPartnerProgramPort);
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;
  (void)::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (!end || ::bind(listener.get(), end->address(), end->length()) != 0 || ::listen(listener.get(), 1) != 0) {
    std::perror("verbs_partner");
    return 1;
  }
  std::puts("listening");
  std::fflush(stdout);
  while (true) {
    const Fd link(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    PartnerProcess process(
        {.address = own, .partner_address = partner, .retry_timeout = std::chrono::milliseconds(500)});
    std::array<char, 2> command{};
    while (::recv(link.get(), command.data(), command.size(), MSG_WAITALL) == 2) {
      if (!carry_out(process, static_cast<PartnerCommand>(command[0]), static_cast<std::byte>(command[1]), fabric,
                     link.get())) {
        break;
      }
    }
  }
}

}  // namespace
}  // namespace hapair::ccm

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: verbs_partner rxe|siw OWN_ADDRESS PARTNER_ADDRESS CONTROL_ADDRESS\n", stderr);
    return 2;
  }
  return hapair::ccm::run(argv[1], argv[2], argv[3], argv[4]);
}
