#include "ccm/container/node_init.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "ccm/base/log_line.h"

namespace hapair::ccm {
namespace {

constexpr ino_t kInitialPidNamespace = 0xEFFFFFFC;  // PROC_PID_INIT_INO: the machine's own
constexpr int kPriority = 11;                       // above ccmd's: who keeps the time of it must not wait for it
constexpr int kCannotStart = 127;
constexpr int kSignalsATurn = 64;
constexpr int kReapedATurn = 64;
// Of reading what the holder sent: more than its socket holds, so a feed that lay there in time is not overlooked.
constexpr int kRounds = 64;

// What is handed on to the command; a container's manager asks for its end by one of these.
std::vector<int> handed_on() {
  std::vector<int> all{SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPWR, SIGWINCH};
  for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) all.push_back(number);
  return all;
}

Fd open_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  for (const int number : handed_on()) ::sigaddset(&set, number);
  ::sigprocmask(SIG_SETMASK, &set, nullptr);
  return Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

// Children begin as any process does.
void become_punctual() {
  if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
    log_line(5, errno_text("hapair-node-init: its memory is not locked, so its watchdog may be late"));
  }
  sched_param priority{};
  priority.sched_priority = kPriority;
  if (::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority) != 0) {
    log_line(5, errno_text("hapair-node-init: no real-time priority (CAP_SYS_NICE), so its watchdog may be late"));
  }
}

[[noreturn]] void become(const std::vector<std::string>& command) {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setsid();
  std::vector<char*> words;
  words.reserve(command.size() + 1);
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  ::execvp(words[0], words.data());
  log_line(2, errno_text("hapair-node-init: cannot run " + command[0]));
  ::_exit(kCannotStart);
}

}  // namespace

std::optional<std::string> why_no_container() {
  if (::getpid() != 1) {
    return "it is not process 1 of a PID namespace, and its end would end nothing else: make it a container's first "
           "process, as in unshare --pid --mount --fork --kill-child hapair-node-init COMMAND";
  }
  struct stat st{};
  if (::stat("/proc/self/ns/pid", &st) != 0) return errno_text("/proc/self/ns/pid");
  if (st.st_ino == kInitialPidNamespace) return "it is process 1 of a machine, which has other watchdogs";
  return std::nullopt;
}

// Replaced as a whole: nobody reads half of one.
std::expected<void, std::string> draw_boot_id(const std::string& file) {
  const auto drawn = read_file("/proc/sys/kernel/random/uuid", 64);
  if (!drawn) return std::unexpected(drawn.error());
  const std::string temporary = file + ".new";
  const Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd.valid() || ::write(fd.get(), drawn->data(), drawn->size()) != static_cast<ssize_t>(drawn->size()) ||
      ::rename(temporary.c_str(), file.c_str()) != 0) {
    return std::unexpected(errno_text(file));
  }
  return {};
}

NodeInit::NodeInit(WatchdogService service)
    : service_(std::move(service)),
      voice_(Voice::of(STDERR_FILENO)),
      signals_(open_signals()),
      timer_(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)) {}

bool NodeInit::start(const std::vector<std::string>& command) {
  command_ = ::fork();
  if (command_ == 0) become(command);
  return command_ > 0;
}

int NodeInit::run(const std::vector<std::string>& command) {
  if (!signals_.valid() || !timer_.valid() || !start(command)) {
    log_line(2, errno_text("hapair-node-init: cannot begin"));
    return kCannotStart;
  }
  become_punctual();
  while (!status_) {
    wait();
    more_ = true;
    for (int round = 0; more_ && round < kRounds; ++round) more_ = !service_.turn();
    if (service_.over()) end_container();
    take_signals();
    if (!reap()) more_ = true;
  }
  return *status_;
}

// Until something comes, or the time is over.
void NodeInit::wait() {
  itimerspec until{};
  if (const auto end = service_.ends_at()) {
    until.it_value.tv_sec = ns_of(*end) / 1'000'000'000;
    until.it_value.tv_nsec = ns_of(*end) % 1'000'000'000;
  }
  (void)::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &until, nullptr);
  const auto [listener, holder] = service_.fds();
  std::array<pollfd, 4> fds{
      {{signals_.get(), POLLIN, 0}, {timer_.get(), POLLIN, 0}, {listener, POLLIN, 0}, {holder, POLLIN, 0}}};
  (void)::poll(fds.data(), fds.size(), more_ ? 0 : -1);
}

void NodeInit::take_signals() {
  signalfd_siginfo info{};
  for (int i = 0; i < kSignalsATurn; ++i) {
    if (::read(signals_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return;
    if (info.ssi_signo != SIGCHLD) (void)::kill(command_, static_cast<int>(info.ssi_signo));
  }
}

bool NodeInit::reap() {
  int status = 0;
  for (int i = 0; i < kReapedATurn; ++i) {
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return true;
    if (pid == command_) status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return false;
}

// Nothing in here waits; where the line finds no room, the exit status says it.
void NodeInit::end_container() const {
  (void)::kill(-1, SIGKILL);
  voice_.say(2, "hapair-node-init: the watchdog was not fed in time: this container ends");
  ::_exit(kEndedByWatchdog);
}

}  // namespace hapair::ccm
