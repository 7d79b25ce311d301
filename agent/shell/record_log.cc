#include "agent/shell/record_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string_view>

#include "agent/shell/worker_thread.h"

namespace hapair::agent {
namespace {

constexpr const char* kJournalSocket = "/run/systemd/journal/socket";
constexpr std::size_t kMaxWaiting = 8192;
// Enough of a file for all that is kept in memory; the rest of a large file is not read at the start.
constexpr std::uint64_t kMaxReadBytes = 8U << 20;

class JournalSink final : public RecordSink {
 public:
  explicit JournalSink(const NodeName& node) : node_(node) {}

  void write(const LoggedRecord& record) override {
    // Looked at each time: the journal may start after the agent does.
    if (::access(kJournalSocket, W_OK) != 0) {
      const std::string line = std::string(text_of(record.record.severity)) + ": " + record.record.text + "\n";
      std::fwrite(line.data(), 1, line.size(), stderr);
      return;
    }
    std::vector<std::string> fields = journal_fields(record, node_);
    std::vector<iovec> parts;
    parts.reserve(fields.size());
    for (std::string& field : fields) parts.push_back({field.data(), field.size()});
    sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
  }

 private:
  NodeName node_;
};

// The last `kMaxReadBytes` of the file, from the beginning of a line; empty where there is no file.
std::expected<std::string, std::string> end_of_file(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT) return "";
  struct stat st{};
  if (!fd.valid() || ::fstat(fd.get(), &st) != 0) return std::unexpected(errno_text(path + " cannot be read"));
  const auto size = static_cast<std::uint64_t>(st.st_size);
  std::uint64_t at = size > kMaxReadBytes ? size - kMaxReadBytes : 0;
  const bool cut = at > 0;
  std::string content(static_cast<std::size_t>(size - at), '\0');
  std::size_t filled = 0;
  while (filled < content.size()) {
    const ssize_t n = ::pread(fd.get(), content.data() + filled, content.size() - filled, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::unexpected(errno_text(path + " cannot be read"));
    if (n == 0) break;
    filled += static_cast<std::size_t>(n);
    at += static_cast<std::uint64_t>(n);
  }
  content.resize(filled);
  if (cut) content.erase(0, content.find('\n') + 1);
  return content;
}

bool tells_an_alert(const LoggedRecord& logged) { return logged.record.kind.starts_with("pacemaker-"); }

}  // namespace

std::unique_ptr<RecordSink> journal_or_stderr(const NodeName& node) { return std::make_unique<JournalSink>(node); }

RecordLog::RecordLog(std::string state_dir, std::uint64_t file_bytes, const Clock& clock,
                     std::unique_ptr<RecordSink> sink)
    : path_(std::move(state_dir) + "/records.jsonl"), file_bytes_(file_bytes), clock_(&clock), sink_(std::move(sink)) {}

std::expected<std::unique_ptr<RecordLog>, std::string> RecordLog::open(const std::string& state_dir,
                                                                       std::uint64_t file_bytes, const Clock& clock,
                                                                       std::unique_ptr<RecordSink> sink) {
  std::unique_ptr<RecordLog> log(new RecordLog(state_dir, file_bytes, clock, std::move(sink)));
  if (auto loaded = log->load(); !loaded) return std::unexpected(loaded.error());
  log->thread_ = start_worker([raw = log.get()] { raw->work(); });
  return log;
}

std::expected<void, std::string> RecordLog::load() {
  for (const std::string& path : {path_ + ".1", path_}) {
    const auto content = end_of_file(path);
    if (!content) return std::unexpected(content.error());
    std::string_view rest = *content;
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      auto record = LoggedRecord::from_json_line(rest.substr(0, end));
      // Without its line end a line is torn, even where it reads as whole.
      if (record && end != std::string_view::npos) {
        remember(std::move(*record));
      } else {
        ++unreadable_lines_;
      }
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
  }
  file_ = Fd(::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  struct stat st{};
  if (!file_.valid() || ::fstat(file_.get(), &st) != 0) return std::unexpected(errno_text(path_ + " cannot be opened"));
  file_used_ = static_cast<std::uint64_t>(st.st_size);
  // The next record begins on a line of its own, whatever a crash left.
  char last = '\n';
  if (st.st_size > 0 && ::pread(file_.get(), &last, 1, st.st_size - 1) == 1 && last != '\n') {
    if (::write(file_.get(), "\n", 1) == 1) ++file_used_;
  }
  return {};
}

RecordLog::~RecordLog() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void RecordLog::remember(LoggedRecord record) {
  last_decision_ = std::max(last_decision_, record.record.decision);
  const bool alert = tells_an_alert(record);
  memory_.push_back(std::move(record));
  if (alert && ++alerts_ > kAlertsInMemory) {
    memory_.erase(std::ranges::find_if(memory_, tells_an_alert));
    --alerts_;
  }
  if (memory_.size() <= kRecordsInMemory) return;
  if (tells_an_alert(memory_.front())) --alerts_;
  memory_.pop_front();
}

const LoggedRecord& RecordLog::append(Record record) {
  remember({std::move(record), clock_->wall_us()});
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(memory_.back());
    if (waiting_.size() > kMaxWaiting) {
      waiting_.pop_front();
      ++dropped_;
    }
  }
  changed_.notify_one();
  return memory_.back();
}

void RecordLog::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    std::deque<LoggedRecord> batch;
    batch.swap(waiting_);
    const std::uint64_t dropped = std::exchange(dropped_, 0);
    lock.unlock();
    if (dropped > 0) {
      LoggedRecord gap = batch.front();
      gap.record = {gap.record.when,
                    Severity::warning,
                    "records-dropped",
                    PoolName{},
                    0,
                    std::to_string(dropped) + " records before this one were not written, because the disk of " +
                        path_ + " or the journal stalled; look at that disk",
                    {}};
      batch.push_front(std::move(gap));
    }
    for (const LoggedRecord& record : batch) {
      sink_->write(record);
      write_to_file(record.json_line() + "\n");
    }
    lock.lock();
  }
}

void RecordLog::write_to_file(const std::string& line) {
  if (file_used_ > 0 && file_used_ + line.size() > file_bytes_) {
    Fd next;
    if (::rename(path_.c_str(), (path_ + ".1").c_str()) == 0) {
      next = Fd(::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    }
    if (!next.valid()) {
      tell_once(errno_text(path_ + " cannot be rotated"));
      return;
    }
    file_ = std::move(next);
    file_used_ = 0;
  }
  const ssize_t n = ::write(file_.get(), line.data(), line.size());
  if (n == static_cast<ssize_t>(line.size())) {
    file_used_ += line.size();
    told_.clear();
    return;
  }
  tell_once(n < 0 ? errno_text(path_ + " cannot be written") : path_ + " cannot be written: the disk is full");
  // What was written of the line is ended, so that the next one is whole.
  if (n > 0 && ::write(file_.get(), "\n", 1) == 1) ++file_used_;
  if (n > 0) file_used_ += static_cast<std::uint64_t>(n);
}

// The same trouble is told once, not with every record.
void RecordLog::tell_once(const std::string& what) {
  if (what == told_) return;
  told_ = what;
  LoggedRecord trouble;
  trouble.record = {clock_->now(),
                    Severity::warning,
                    "records-not-written",
                    PoolName{},
                    0,
                    what + "; records stay in memory and in the journal, and `hapair why` forgets them at a restart",
                    {}};
  trouble.wall_us = clock_->wall_us();
  sink_->write(trouble);
}

}  // namespace hapair::agent
