#include "agent/shell/state_store.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "agent/shell/worker_thread.h"
#include "ccm/base/check.h"

namespace hapair::agent {
namespace {

constexpr std::size_t kMaxKeptBytes = 1U << 20;  // a damaged file may be of any size
constexpr int kMaxKeptCopies = 1000;

std::string state_path(const std::string& state_dir) { return state_dir + "/state"; }

std::expected<void, std::string> make_folders(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    ::mkdir(path.substr(0, slash).c_str(), 0755);
  }
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return std::unexpected(errno_text("state_dir " + path + " cannot be made"));
  }
  return {};
}

std::expected<void, std::string> write_all(const Fd& fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::unexpected(errno_text(path + " cannot be written"));
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

// Makes names in the folder durable: a file that was renamed or removed stays so after a power failure.
std::expected<void, std::string> sync_folder(const std::string& folder) {
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || ::fsync(fd.get()) != 0) return std::unexpected(errno_text(folder + " cannot be synced"));
  return {};
}

class DiskStateFile final : public StateFile {
 public:
  explicit DiskStateFile(std::string state_dir) : dir_(std::move(state_dir)) {}

  std::expected<void, std::string> replace(std::span<const std::byte> bytes) override {
    const std::string next = state_path(dir_) + ".new";
    const Fd fd(::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd.valid()) return std::unexpected(errno_text(next + " cannot be opened"));
    if (auto written = write_all(fd, bytes, next); !written) return written;
    if (::fsync(fd.get()) != 0) return std::unexpected(errno_text(next + " cannot be synced"));
    if (::rename(next.c_str(), state_path(dir_).c_str()) != 0) {
      return std::unexpected(errno_text(next + " cannot be renamed to " + state_path(dir_)));
    }
    return sync_folder(dir_);
  }

 private:
  std::string dir_;
};

// A copy of the file beside it. The same bytes are kept once, however often the node starts with them.
std::string keep_aside(const std::string& state_dir, const std::string& content) {
  for (int n = 1; n <= kMaxKeptCopies; ++n) {
    std::string kept = state_path(state_dir) + ".kept-" + std::to_string(n);
    const Fd fd(::open(kept.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd.valid()) {
      if (errno != EEXIST) return "";
      const auto there = read_file(kept, kMaxKeptBytes);
      if (there && *there == content) return kept;
      continue;
    }
    const bool good = write_all(fd, std::as_bytes(std::span(content)), kept) && ::fsync(fd.get()) == 0;
    if (good) return kept;
    ::unlink(kept.c_str());
    return "";
  }
  return "";
}

std::expected<void, std::string> move_aside(const std::string& state_dir) {
  const std::string path = state_path(state_dir);
  int error = EEXIST;
  for (int n = 1; n <= kMaxKeptCopies && error == EEXIST; ++n) {
    const std::string kept = path + ".kept-" + std::to_string(n);
    if (::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, kept.c_str(), RENAME_NOREPLACE) == 0) return {};
    error = errno;
  }
  errno = error;
  return std::unexpected(errno_text(path + " cannot be moved aside"));
}

}  // namespace

std::expected<Fd, std::string> lock_state_dir(const std::string& state_dir, const NodeName& node) {
  if (auto made = make_folders(state_dir); !made) return std::unexpected(made.error());
  const std::string path = state_dir + "/lock";
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return std::unexpected(errno_text(path + " cannot be opened"));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return std::unexpected(errno_text(path + " cannot be locked"));
    std::string pid = read_file(path, 64).value_or("");
    pid = pid.substr(0, pid.find_first_not_of("0123456789"));
    return std::unexpected("hapaird of node " + node.text() + " already runs" + (pid.empty() ? "" : " as pid " + pid) +
                           ": it holds " + path + "; the first is untouched");
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(fd.get(), 0) != 0) return std::unexpected(errno_text(path + " cannot be written"));
  if (auto written = write_all(fd, std::as_bytes(std::span(pid)), path); !written) {
    return std::unexpected(written.error());
  }
  return fd;
}

std::expected<std::optional<DurableState>, StateProblem> load_state(const std::string& state_dir,
                                                                    const StateIdentity& identity) {
  const std::string path = state_path(state_dir);
  // Not what it points to: a link into a disk that is not mounted is no first start.
  struct stat st{};
  if (::lstat(path.c_str(), &st) != 0 && errno == ENOENT) return std::nullopt;
  const auto content = read_file(path, kMaxKeptBytes);
  if (!content) return std::unexpected(StateProblem{"the state cannot be read (" + content.error() + ")", ""});
  auto state = decode_state(identity, std::as_bytes(std::span(*content)));
  if (state) return std::move(*state);
  return std::unexpected(StateProblem{path + " cannot be used: " + state.error(), keep_aside(state_dir, *content)});
}

std::expected<void, std::string> reset_state(const std::string& state_dir) {
  const std::string path = state_path(state_dir);
  struct stat st{};
  const bool there = ::lstat(path.c_str(), &st) == 0;
  const auto content = read_file(path, kMaxKeptBytes);
  if (there && (!content || keep_aside(state_dir, *content).empty())) {
    // A folder, a link to nowhere, a file too large to copy: it goes aside as it is.
    if (auto moved = move_aside(state_dir); !moved) return moved;
    return sync_folder(state_dir);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return std::unexpected(errno_text(path + " cannot be removed"));
  return sync_folder(state_dir);
}

std::unique_ptr<StateFile> state_file_in(const std::string& state_dir) {
  return std::make_unique<DiskStateFile>(state_dir);
}

StateWriter::StateWriter(sd_event* loop, std::unique_ptr<StateFile> file, StateIdentity identity, OnAnswer on_answer)
    : file_(std::move(file)),
      identity_(identity),
      on_answer_(std::move(on_answer)),
      answered_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  HAPAIR_CHECK(answered_.valid(), "an eventfd at the start of the agent");
  source_ = watch_fd(loop, answered_.get(), EPOLLIN, on_answers, this);
  thread_ = start_worker([this] { work(); });
}

StateWriter::~StateWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void StateWriter::write(std::uint64_t generation, const DurableState& state) {
  HAPAIR_CHECK(generation > last_generation_, "generations rise");
  last_generation_ = generation;
  auto bytes = encode_state(identity_, state);
  {
    const std::lock_guard lock(mutex_);
    waiting_.emplace(generation, std::move(bytes));
  }
  changed_.notify_one();
}

void StateWriter::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || waiting_; });
    if (!waiting_) return;
    const auto [generation, bytes] = *std::exchange(waiting_, std::nullopt);
    lock.unlock();
    const auto written = file_->replace(bytes);
    lock.lock();
    answers_.push_back({generation, written ? "" : written.error()});
    const std::uint64_t one = 1;
    // Only a counter at its end could refuse, and then the loop has been told already.
    [[maybe_unused]] const ssize_t n = ::write(answered_.get(), &one, sizeof one);
  }
}

int StateWriter::on_answers(sd_event_source*, int fd, std::uint32_t, void* context) {
  auto* self = static_cast<StateWriter*>(context);
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(fd, &count, sizeof count);
  std::deque<Answer> answers;
  {
    const std::lock_guard lock(self->mutex_);
    answers.swap(self->answers_);
  }
  for (const Answer& answer : answers) self->on_answer_(answer);
  return 0;
}

}  // namespace hapair::agent
