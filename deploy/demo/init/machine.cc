#include "deploy/demo/init/machine.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace hapair::demo {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Only a bound for the loop: everything urgent has a descriptor that wakes it.
constexpr int kTurnMs = 20;
// A loop that was away longer than this was stopped itself.
constexpr Duration kOwnAbsence = milliseconds(500);
constexpr Duration kStartPatience = seconds(15);
constexpr Duration kCommandPatience = seconds(5);
// hapaird stops its pools in this time; their own time-outs are shorter.
constexpr Duration kStopPatience = seconds(90);
constexpr Duration kServicePatience = seconds(3);

Fd open_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&set, number);
  ::sigprocmask(SIG_SETMASK, &set, nullptr);
  return Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

}  // namespace

Machine::Machine(NodeSpec spec, Fd status)
    : spec_(std::move(spec)),
      status_(std::move(status)),
      signals_(open_signals()),
      last_turn_(clock_.now()),
      ccmd_({.name = "ccmd", .argv = {"ccmd", "--phase", "early"}, .notifies = true, .watchdog = true}),
      tgtd_({.name = "tgtd", .argv = {"tgtd", "-f"}, .notifies = true, .watchdog = false}),
      hapaird_({.name = "hapaird", .argv = {"hapaird"}, .notifies = true, .watchdog = true}) {}

void Machine::reached(const std::string& word) {
  console("reached: " + word);
  const std::string line = std::to_string(ns_of(clock_.now())) + " " + word + "\n";
  if (::write(status_.get(), line.data(), line.size()) < 0) console(errno_text(spec_.status));
}

void Machine::take_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    if (info.ssi_signo == SIGCHLD || stop_asked_) continue;
    stop_asked_ = true;
    wish_ = info.ssi_signo == SIGINT ? kReboot : kPowerOff;
    console(wish_ == kReboot ? "asked to reboot (SIGINT)" : "asked to power off (SIGTERM)");
  }
}

void Machine::reap() {
  int status = 0;
  while (true) {
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    const Instant now = clock_.now();
    if (pid == command_) {
      command_ = 0;
      command_status_ = status;
    } else if (pid == port_) {
      port_ = 0;
    } else if (!ccmd_.ended(now, pid, status) && !tgtd_.ended(now, pid, status)) {
      hapaird_.ended(now, pid, status);
    }
  }
}

void Machine::turn() {
  std::array<pollfd, 4> fds{{{signals_.get(), POLLIN, 0},
                             {ccmd_.notify_fd(), POLLIN, 0},
                             {tgtd_.notify_fd(), POLLIN, 0},
                             {hapaird_.notify_fd(), POLLIN, 0}}};
  ::poll(fds.data(), fds.size(), kTurnMs);
  const Instant now = clock_.now();
  const Duration away = now - last_turn_;
  last_turn_ = now;
  take_signals();
  reap();
  for (Service* service : {&ccmd_, &tgtd_, &hapaird_}) {
    if (away > kOwnAbsence) service->forgive(away);
    service->turn(now);
  }
}

bool Machine::turn_until(const std::function<bool()>& done, Duration patience, bool stop_ends_it) {
  const Instant until = clock_.now() + patience;
  while (!done()) {
    if (clock_.now() >= until || (stop_ends_it && stop_asked_)) return false;
    turn();
  }
  return true;
}

bool Machine::run_command(const std::vector<std::string>& argv, Duration patience) {
  command_ = spawn(argv, {}, -1);
  if (command_ == 0) return false;
  if (!turn_until([&] { return command_ == 0; }, patience, false)) {
    console(argv[0] + " did not end in time; it is ended");
    ::kill(command_, SIGKILL);
    turn_until([&] { return command_ == 0; }, kServicePatience, false);
    return false;
  }
  return WIFEXITED(command_status_) && WEXITSTATUS(command_status_) == 0;
}

bool Machine::plug_port_in() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
  const Fd reading(ends[0]);
  Fd writing(ends[1]);
  port_ = spawn({"hapair-shm-port", "hold", "/dev/shm/hapair/" + spec_.node + ".port"}, {}, writing.get());
  writing.reset();
  if (port_ == 0) return false;
  // It prints "held" once the lock is taken, and goes on holding it.
  std::array<char, 64> word{};
  return ::read(reading.get(), word.data(), word.size()) > 0;
}

void Machine::bring_up() {
  reached("kernel");
  if (spec_.cluster) {
    if (!plug_port_in()) console("the port of the interconnect could not be held: see the line above");
    ccmd_.start(clock_.now());
    if (!turn_until([&] { return ccmd_.ready(); }, kStartPatience, true)) {
      console("ccmd is not ready yet; the start goes on without it");
    } else {
      reached("ccm");
    }
    const auto tell_phase = [&] { return run_command({"hapair", "phase", "root"}, kCommandPatience); };
    while (!stop_asked_ && !tell_phase()) turn_until([] { return false; }, milliseconds(100), true);
    reached("root");
  }
  tgtd_.start(clock_.now());
  turn_until([&] { return tgtd_.ready(); }, kStartPatience, true);
  reached("services");
  if (spec_.cluster && !stop_asked_) {
    hapaird_.start(clock_.now());
    turn_until([&] { return hapaird_.ready(); }, kStartPatience, true);
  }
  if (!stop_asked_) reached("up");
}

void Machine::take_down() {
  reached("stopping");
  const auto end = [&](Service& service, Duration patience) {
    service.stop();
    if (turn_until([&] { return !service.running(); }, patience, false)) return;
    console(service.name() + " did not stop in time; it is ended");
    service.kill_now();
    turn_until([&] { return !service.running(); }, kServicePatience, false);
  };
  if (spec_.cluster) {
    if (!run_command({"hapair", "phase", "shutting-down"}, kCommandPatience)) {
      console("the phase shutting-down could not be published");
    }
    end(hapaird_, kStopPatience);
  }
  end(tgtd_, kServicePatience);
  if (spec_.cluster) end(ccmd_, kServicePatience);
  reached("down");
}

int Machine::run() {
  bring_up();
  turn_until([&] { return stop_asked_; }, Duration::max() / 2, true);
  take_down();
  return wish_;
}

}  // namespace hapair::demo
