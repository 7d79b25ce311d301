#include "agent/shell/process.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <expected>
#include <optional>
#include <utility>

#include "agent/shell/capture.h"
#include "agent/shell/printable.h"
#include "agent/shell/process_table.h"
#include "ccm/base/check.h"

namespace hapair::agent {
namespace {

struct Pipe {
  Fd read_end;
  Fd write_end;
};

std::expected<Pipe, int> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::unexpected(errno);
  Pipe pipe{Fd(ends[0]), Fd(ends[1])};
  // Only our end: the child's programs expect ordinary blocking descriptors.
  if (::fcntl(pipe.read_end.get(), F_SETFL, O_NONBLOCK) != 0) return std::unexpected(errno);
  return pipe;
}

// A file in memory, so that nobody has to feed a child that does not read.
std::expected<Fd, int> file_of(const std::string& bytes) {
  Fd fd(::memfd_create("hapair-child-input", MFD_CLOEXEC));
  if (!fd.valid()) return std::unexpected(errno);
  std::size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t n = ::write(fd.get(), bytes.data() + at, bytes.size() - at);
    if (n < 0) return std::unexpected(errno);
    at += static_cast<std::size_t>(n);
  }
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return std::unexpected(errno);
  return fd;
}

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

class SpawnActions {
 public:
  SpawnActions(int in, int out, int err) {
    posix_spawn_file_actions_init(&files_);
    posix_spawn_file_actions_adddup2(&files_, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files_, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files_, err, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files_, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes_, &none);
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    // Whatever priority the agent runs at is not for the programs it starts.
    const sched_param ordinary{};
    posix_spawnattr_setschedpolicy(&attributes_, SCHED_OTHER);
    posix_spawnattr_setschedparam(&attributes_, &ordinary);
    posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSCHEDULER);
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  ~SpawnActions() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  [[nodiscard]] const posix_spawn_file_actions_t* files() const { return &files_; }
  [[nodiscard]] const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t files_{};
  posix_spawnattr_t attributes_{};
};

struct Spawned {
  int pid = 0;
  Fd pidfd;
  Fd out;
  Fd err;
};

std::expected<Spawned, int> spawn(const ProcessSpec& spec) {
  auto input = file_of(spec.input);
  if (!input) return std::unexpected(input.error());
  auto out = make_pipe();
  if (!out) return std::unexpected(out.error());
  auto err = make_pipe();
  if (!err) return std::unexpected(err.error());
  const auto argv = pointers_to(spec.argv);
  const auto environment = pointers_to(spec.environment);
  const SpawnActions actions(input->get(), out->write_end.get(), err->write_end.get());
  Spawned spawned;
  // glibc's posix_spawn is vfork-like: it returns when the child's exec has worked or failed, and says which.
  const int error =
      ::posix_spawn(&spawned.pid, argv[0], actions.files(), actions.attributes(), argv.data(), environment.data());
  if (error != 0) return std::unexpected(error);
  spawned.pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, spawned.pid, 0)));
  if (!spawned.pidfd.valid()) {
    const int pidfd_error = errno;
    ::kill(-spawned.pid, SIGKILL);
    ::waitpid(spawned.pid, nullptr, 0);
    return std::unexpected(pidfd_error);
  }
  spawned.out = std::move(out->read_end);
  spawned.err = std::move(err->read_end);
  return spawned;
}

// The group of a child that was not reaped yet: its number cannot have gone to another.
void signal_group(int pid, int signal) { ::kill(-pid, signal); }

// Between two looks whether a group that was killed is gone: there is no descriptor for a group.
constexpr Duration kLookAgain = std::chrono::milliseconds(5);

}  // namespace

std::string objection_of(const ProcessResult& result, std::string_view program) {
  std::string words = printable_line(last_line(result.err));
  if (words.empty()) words = printable_line(last_line(result.out));
  switch (result.end) {
    case ProcessResult::End::exited:
      if (words.empty()) words = std::string(program) + " answered exit code " + std::to_string(result.code);
      return words;
    case ProcessResult::End::signalled:
      return std::string(program) + " was ended by " + signal_name(result.code);
    case ProcessResult::End::timed_out:
    case ProcessResult::End::could_not_start:
      return result.reason;
  }
  return words;
}

class SystemProcess final : public RunningProcess {
 public:
  SystemProcess(SystemProcessRunner& runner, ProcessSpec spec, ProcessRunner::Done done)
      : runner_(&runner), spec_(std::move(spec)), done_(std::move(done)) {
    result_.started_at = runner.clock_->now();
    token_ = runner.ledger_.begin(spec_.what);
    if (!token_.empty()) spec_.environment.push_back(ActionLedger::setting_of(token_));
    auto spawned = spawn(spec_);
    if (!spawned) {
      result_.end = ProcessResult::End::could_not_start;
      result_.code = spawned.error();
      result_.reason = spec_.argv[0] + " could not be started: " + std::strerror(spawned.error());
      timer_ = call_soon(runner.loop_, on_not_started, this);
      return;
    }
    pid_ = spawned->pid;
    runner.ledger_.runs(token_, pid_);
    pidfd_ = std::move(spawned->pidfd);
    out_.fd = std::move(spawned->out);
    err_.fd = std::move(spawned->err);
    for (Stream* stream : {&out_, &err_}) {
      stream->source = watch_fd(runner.loop_, stream->fd.get(), EPOLLIN, on_readable, stream);
    }
    ended_ = watch_fd(runner.loop_, pidfd_.get(), EPOLLIN, on_ended, this);
    timer_ = call_at(runner.loop_, result_.started_at + spec_.timeout, on_timer, this);
  }

  ~SystemProcess() override {
    if (pid_ == 0) return;
    signal_group(pid_, SIGKILL);
    ended_.reset();
    runner_->linger(pid_, std::move(pidfd_));
  }

 private:
  enum class Stage : std::uint8_t { running, terminated, killed, leaderless };

  struct Stream {
    Fd fd;
    EventSource source;
    Capture capture{kCaptureBytes};
  };

  // True while there may be more to read at once.
  static bool read_some(Stream& stream) {
    std::array<char, 65536> bytes;
    const ssize_t n = ::read(stream.fd.get(), bytes.data(), bytes.size());
    if (n > 0) {
      stream.capture.add({bytes.data(), static_cast<std::size_t>(n)});
      return true;
    }
    if (n < 0 && errno == EINTR) return true;
    if (n < 0 && errno == EAGAIN) return false;
    stream.source.reset();  // the end: every writer has closed it
    return false;
  }

  static int on_readable(sd_event_source*, int, std::uint32_t, void* context) {
    read_some(*static_cast<Stream*>(context));
    return 0;
  }

  // A pipe holds at most 1 MiB here; the bound ends a flood that a process left behind keeps up.
  static void read_rest(Stream& stream) {
    for (int i = 0; i < 32 && stream.source != nullptr && read_some(stream); ++i) continue;
  }

  static int on_ended(sd_event_source*, int, std::uint32_t, void* context) {
    auto* self = static_cast<SystemProcess*>(context);
    // While the child is not reaped, its group's number is still its own.
    if (self->stage_ != Stage::running) signal_group(self->pid_, SIGKILL);
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(self->pidfd_.get()), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) {
      return 0;
    }
    const int group = std::exchange(self->pid_, 0);
    self->ended_.reset();
    if (self->stage_ == Stage::running) {
      self->result_.end = info.si_code == CLD_EXITED ? ProcessResult::End::exited : ProcessResult::End::signalled;
      self->result_.code = info.si_status;
      self->finish();
      return 0;
    }
    self->stage_ = Stage::leaderless;
    self->group_ = group;
    self->give_up_at_ = self->runner_->clock_->now() + kGiveUpAfter;
    self->wait_for_group();
    return 0;
  }

  // Its members were killed, but one that is inside a system call ends only after that.
  void wait_for_group() {
    const Instant now = runner_->clock_->now();
    if (!group_lives(group_)) {
      finish();
    } else if (now < give_up_at_) {
      timer_ = call_at(runner_->loop_, now + kLookAgain, on_timer, this);
    } else {
      leave_behind(group_);
    }
  }

  void leave_behind(int group) {
    result_.left_behind = group;
    result_.reason += "; a process of its group " + std::to_string(group) +
                      " did not end even at SIGKILL: it hangs in the kernel, most often on a disk that does not answer";
    finish();
  }

  static int on_not_started(sd_event_source*, void* context) {
    static_cast<SystemProcess*>(context)->finish();
    return 0;
  }

  static int on_timer(sd_event_source*, std::uint64_t, void* context) {
    auto* self = static_cast<SystemProcess*>(context);
    const Instant now = self->runner_->clock_->now();
    const std::string ran = self->spec_.argv[0] + " still ran after " +
                            std::to_string(self->spec_.timeout / std::chrono::milliseconds(1)) + " ms";
    switch (self->stage_) {
      case Stage::running:
        self->stage_ = Stage::terminated;
        self->result_.end = ProcessResult::End::timed_out;
        self->result_.reason = ran + " and was ended with SIGTERM";
        signal_group(self->pid_, SIGTERM);
        self->timer_ = call_at(self->runner_->loop_, now + kKillAfter, on_timer, self);
        return 0;
      case Stage::terminated:
        self->stage_ = Stage::killed;
        self->result_.reason = ran + ", did not end at SIGTERM and was ended with SIGKILL";
        signal_group(self->pid_, SIGKILL);
        self->timer_ = call_at(self->runner_->loop_, now + kGiveUpAfter, on_timer, self);
        return 0;
      case Stage::killed:
        self->result_.reason = ran;
        self->ended_.reset();
        self->group_ = std::exchange(self->pid_, 0);
        self->runner_->linger(self->group_, std::move(self->pidfd_));
        self->leave_behind(self->group_);
        return 0;
      case Stage::leaderless:
        self->wait_for_group();
        return 0;
    }
    return 0;
  }

  // The last thing this object does: `done_` may destroy it.
  void finish() {
    timer_.reset();
    for (Stream* stream : {&out_, &err_}) {
      read_rest(*stream);
      stream->source.reset();
    }
    result_.out = out_.capture.text();
    result_.err = err_.capture.text();
    result_.took = runner_->clock_->now() - result_.started_at;
    if (result_.left_behind == 0) runner_->ledger_.ended(token_);
    const auto done = std::move(done_);
    done(std::move(result_));
  }

  SystemProcessRunner* runner_;
  ProcessSpec spec_;
  ProcessRunner::Done done_;
  ProcessResult result_;
  std::string token_;  // in the ledger; an abandoned one stays there, for nobody saw its end
  Stage stage_ = Stage::running;
  int pid_ = 0;    // 0: none, or reaped
  int group_ = 0;  // of a leader that was reaped, while the rest of its group is waited for
  Instant give_up_at_;
  Fd pidfd_;
  Stream out_;
  Stream err_;
  EventSource ended_;
  EventSource timer_;
};

SystemProcessRunner::SystemProcessRunner(sd_event* loop, const Clock& clock, std::string ledger_folder)
    : loop_(loop), clock_(&clock), ledger_(std::move(ledger_folder), clock) {}

SystemProcessRunner::~SystemProcessRunner() = default;

std::unique_ptr<RunningProcess> SystemProcessRunner::run(ProcessSpec spec, Done done) {
  HAPAIR_CHECK(!spec.argv.empty() && spec.timeout > Duration::zero(), "a program and a timeout");
  return std::make_unique<SystemProcess>(*this, std::move(spec), std::move(done));
}

void SystemProcessRunner::linger(int pid, Fd pidfd) {
  const int key = pidfd.get();
  HAPAIR_CHECK(pid > 0 && key >= 0, "a child that was not reaped yet");
  EventSource source = watch_fd(loop_, key, EPOLLIN, on_lingering_ended, this);
  lingering_.emplace(key, Lingering{std::move(pidfd), std::move(source)});
}

int SystemProcessRunner::on_lingering_ended(sd_event_source*, int fd, std::uint32_t, void* context) {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(fd), &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0) return 0;
  static_cast<SystemProcessRunner*>(context)->lingering_.erase(fd);
  return 0;
}

}  // namespace hapair::agent
