// Keeps the node's records: in memory for status and `hapair why`, in the journal (or on standard error where there is
// none), and in two bounded files that a restarted agent reads back:
//
//   state_dir/records.jsonl    one record a line
//   state_dir/records.jsonl.1  the ones before
//
// The files survive a crash of the agent. They are not synced: a record is worth less than the disk's time during a
// takeover, and the journal has it too.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/core/model.h"
#include "agent/shell/record_text.h"
#include "ccm/base/fd.h"
#include "ccm/base/time.h"

namespace hapair::agent {

inline constexpr std::size_t kRecordsInMemory = 4096;
// Of these at most so many are what Pacemaker's alerts told (kinds "pacemaker-..."): however many come, what this node
// did and saw itself stays.
inline constexpr std::size_t kAlertsInMemory = 512;

// The seam to what is outside: the real side is the journal or standard error.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  RecordSink(const RecordSink&) = delete;
  RecordSink& operator=(const RecordSink&) = delete;
  virtual void write(const LoggedRecord& record) = 0;

 protected:
  RecordSink() = default;
};
std::unique_ptr<RecordSink> journal_or_stderr(const NodeName& node);

class RecordLog {
 public:
  // Reads what the files hold; a last line that a crash tore is dropped. The error is a sentence. `clock` outlives
  // this.
  static std::expected<std::unique_ptr<RecordLog>, std::string> open(const std::string& state_dir,
                                                                     std::uint64_t file_bytes, const Clock& clock,
                                                                     std::unique_ptr<RecordSink> sink);
  RecordLog(const RecordLog&) = delete;
  RecordLog& operator=(const RecordLog&) = delete;
  // Writes what still waits.
  ~RecordLog();

  // Never blocks: a thread writes. Returns the record as it is kept, valid until the next append.
  const LoggedRecord& append(Record record);

  // The last kRecordsInMemory, of Pacemaker's alerts the last kAlertsInMemory, oldest first.
  [[nodiscard]] const std::deque<LoggedRecord>& records() const { return memory_; }
  // The highest number of a decision in them, so that the next life of the agent goes on above it.
  [[nodiscard]] std::uint64_t last_decision() const { return last_decision_; }
  // Lines of the files that were no records.
  [[nodiscard]] std::uint64_t unreadable_lines() const { return unreadable_lines_; }

 private:
  RecordLog(std::string state_dir, std::uint64_t file_bytes, const Clock& clock, std::unique_ptr<RecordSink> sink);
  std::expected<void, std::string> load();
  void remember(LoggedRecord record);
  void work();
  void write_to_file(const std::string& line);
  void tell_once(const std::string& what);

  std::string path_;
  std::uint64_t file_bytes_;
  const Clock* clock_;
  std::deque<LoggedRecord> memory_;
  std::size_t alerts_ = 0;  // in memory_
  std::uint64_t last_decision_ = 0;
  std::uint64_t unreadable_lines_ = 0;

  // The thread's own, after open().
  std::unique_ptr<RecordSink> sink_;
  Fd file_;
  std::uint64_t file_used_ = 0;
  std::string told_;  // the trouble with the file that was told last

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<LoggedRecord> waiting_;
  std::uint64_t dropped_ = 0;  // of `waiting_`, because the disk or the journal stalled
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace hapair::agent
