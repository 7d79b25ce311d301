#include "deploy/demo/init/service.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace hapair::demo {
namespace {

std::string how_it_ended(int wait_status) {
  if (WIFEXITED(wait_status)) return "exited with status " + std::to_string(WEXITSTATUS(wait_status));
  if (WIFSIGNALED(wait_status)) return "was ended by signal " + std::to_string(WTERMSIG(wait_status));
  return "ended";
}

}  // namespace

void console(const std::string& text) {
  std::array<char, 64> stamp{};
  const double seconds = ms_of(SystemClock().now().time_since_epoch()) / 1000;
  std::snprintf(stamp.data(), stamp.size(), "[%12.6f] init: ", seconds);
  const std::string line = stamp.data() + text + "\n";
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;  // a console that is gone has no reader either
}

pid_t spawn(const std::vector<std::string>& argv, const std::vector<std::string>& environment, int stdout_fd) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid < 0 ? 0 : pid;
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::setsid();
  if (stdout_fd >= 0) ::dup2(stdout_fd, STDOUT_FILENO);
  std::vector<char*> args;
  args.reserve(argv.size() + 1);
  for (const std::string& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
  args.push_back(nullptr);
  for (const std::string& variable : environment) ::putenv(const_cast<char*>(variable.c_str()));
  ::execvp(args[0], args.data());
  console(errno_text("cannot run " + argv[0]));
  ::_exit(127);
}

bool Service::open_notify_socket() {
  const std::string path = "/run/init/" + plan_.name + ".notify";
  ::unlink(path.c_str());
  notify_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (!notify_.valid() || ::bind(notify_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    console(errno_text("the notification socket of " + plan_.name));
    return false;
  }
  return true;
}

bool Service::start(Instant now) {
  wanted_ = true;
  start_at_.reset();
  kill_at_.reset();
  ready_ = false;
  std::vector<std::string> environment;
  if (plan_.notifies) {
    if (!notify_.valid() && !open_notify_socket()) return false;
    environment.push_back("NOTIFY_SOCKET=/run/init/" + plan_.name + ".notify");
  }
  if (plan_.watchdog) environment.push_back("WATCHDOG_USEC=" + std::to_string(kWatchdogLimit.count() / 1000));
  pid_ = spawn(plan_.argv, environment, -1);
  if (pid_ == 0) {
    console(errno_text("cannot start " + plan_.name));
    start_at_ = now + kRestartAfter;
    return false;
  }
  last_word_ = now;
  ready_ = !plan_.notifies;
  console("started " + plan_.name);
  return true;
}

void Service::stop() {
  wanted_ = false;
  start_at_.reset();
  if (pid_ > 0) ::kill(pid_, SIGTERM);
}

void Service::kill_now() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

bool Service::ended(Instant now, pid_t pid, int wait_status) {
  if (pid != pid_ || pid_ == 0) return false;
  pid_ = 0;
  ready_ = false;
  kill_at_.reset();
  console(plan_.name + " " + how_it_ended(wait_status) + (wanted_ ? "; it is started again" : ""));
  if (wanted_) start_at_ = now + kRestartAfter;
  return true;
}

void Service::read_notifications(Instant now) {
  std::array<char, 2048> message{};
  while (notify_.valid()) {
    const ssize_t n = ::recv(notify_.get(), message.data(), message.size() - 1, 0);
    if (n <= 0) return;
    const std::string_view text(message.data(), static_cast<std::size_t>(n));
    if (pid_ == 0) continue;  // a last word of the one that ended
    if (text.find("READY=1") != std::string_view::npos) {
      if (!ready_) console(plan_.name + " is ready");
      ready_ = true;
      last_word_ = now;
    }
    if (text.find("WATCHDOG=1") != std::string_view::npos) last_word_ = now;
  }
}

void Service::turn(Instant now) {
  read_notifications(now);
  if (start_at_ && now >= *start_at_) start(now);
  if (kill_at_ && now >= *kill_at_) {
    kill_at_.reset();
    kill_now();
  }
  if (plan_.watchdog && pid_ > 0 && ready_ && wanted_ && !kill_at_ && now - last_word_ > kWatchdogLimit) {
    console(plan_.name + " has not answered its watchdog for " +
            std::to_string(static_cast<int>(ms_of(now - last_word_))) + " ms; it is ended");
    ::kill(pid_, SIGABRT);
    kill_at_ = now + kAbortPatience;
  }
}

void Service::forgive(Duration missed) { last_word_ += missed; }

}  // namespace hapair::demo
