// The node's durable state on its own disk:
//
//   state_dir/lock         held by the hapaird that runs, with its pid
//   state_dir/state        see state_format.h; always whole, for it is replaced by rename
//   state_dir/state.new    the next one while it is being written
//   state_dir/state.kept-N copies of states that could not be read, for whoever looks into it
//
// A state that cannot be read is never guessed around: every start refuses until the operator has decided and
// reset_state() removes it.
#pragma once

#include <systemd/sd-event.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "agent/core/model.h"
#include "agent/shell/event_source.h"
#include "agent/shell/state_format.h"
#include "ccm/base/fd.h"

namespace hapair::agent {

// Makes `state_dir` where it is missing (mode 0700) and takes its lock for this process's life. The error is a
// sentence.
std::expected<Fd, std::string> lock_state_dir(const std::string& state_dir, const NodeName& node);

struct StateProblem {
  std::string what;     // a sentence: which file and what is wrong with it
  std::string kept_at;  // the copy; empty where not even that could be made
};
// Nothing where there is no state yet.
std::expected<std::optional<DurableState>, StateProblem> load_state(const std::string& state_dir,
                                                                    const StateIdentity& identity);
// Removes the state from its place, durably; what was in it stays beside it as a kept copy. The error is a sentence.
std::expected<void, std::string> reset_state(const std::string& state_dir);

// The seam to the disk: replaces the state as a whole, durably; may take as long as the disk does.
class StateFile {
 public:
  virtual ~StateFile() = default;
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;
  virtual std::expected<void, std::string> replace(std::span<const std::byte> bytes) = 0;

 protected:
  StateFile() = default;
};
std::unique_ptr<StateFile> state_file_in(const std::string& state_dir);

// Writes states by a thread of its own, so that a stalled disk stalls nothing else. Of states that wait, only the
// newest is written: it contains the others.
class StateWriter {
 public:
  // What became of the states up to and including `generation`. Called from the loop, in the order of generations.
  struct Answer {
    std::uint64_t generation = 0;
    std::string error;  // a sentence; empty: they are durable
  };
  using OnAnswer = std::function<void(const Answer&)>;

  StateWriter(sd_event* loop, std::unique_ptr<StateFile> file, StateIdentity identity, OnAnswer on_answer);
  StateWriter(const StateWriter&) = delete;
  StateWriter& operator=(const StateWriter&) = delete;
  // Writes what still waits, and waits for the disk.
  ~StateWriter();

  // Never blocks. Generations rise.
  void write(std::uint64_t generation, const DurableState& state);

 private:
  void work();
  static int on_answers(sd_event_source* source, int fd, std::uint32_t events, void* context);

  std::unique_ptr<StateFile> file_;
  StateIdentity identity_;
  OnAnswer on_answer_;
  Fd answered_;  // eventfd, from the thread to the loop
  EventSource source_;
  std::uint64_t last_generation_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::optional<std::pair<std::uint64_t, std::vector<std::byte>>> waiting_;
  std::deque<Answer> answers_;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace hapair::agent
