// The sender: it writes each record into the receiver's memory, and counts it as mirrored when the write has completed.
// A record stays in the sender's staging memory until the receiver has taken it out of its own, so that it can be
// written again after a port moved or the receiver was replaced.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "ccm/client/examples/member.h"

namespace hapair::mirror {
namespace {

constexpr std::uint64_t kNoteId = 0;  // records have their own numbers, from 1

// How far the mirror is, in a file that is right whenever this process dies.
class AcknowledgedFile {
 public:
  bool open(const std::string& path, std::uint64_t run) {
    if (path.empty()) return true;
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd.valid() || ::ftruncate(fd.get(), static_cast<off_t>(sizeof(Note))) != 0) return false;
    auto mapping = Mapping::map(fd, sizeof(Note), true);
    if (!mapping) return false;
    mapping_ = std::move(*mapping);
    note().run = run;
    return true;
  }
  void set(std::uint64_t sequence) {
    if (mapping_.valid()) std::atomic_ref(note().acknowledged).store(sequence, std::memory_order_release);
  }

 private:
  [[nodiscard]] Note& note() const { return *reinterpret_cast<Note*>(mapping_.bytes().data()); }
  Mapping mapping_;
};

class Sender final : public ccm::PortHandler {
 public:
  Sender(const Options& options, Member& member) : options_(options), member_(member) {
    (void)!::getrandom(&run_, sizeof run_, 0);
    run_ |= 1;
  }

  int run() {
    if (!file_.open(options_.acknowledged, run_)) {
      std::fprintf(stderr, "mirror: %s cannot be written\n", options_.acknowledged.c_str());
      return 1;
    }
    silent_since_ = member_.now();
    while (!complete()) {
      if (!turn()) break;
    }
    member_.leave();
    report();
    return complete() ? 0 : 1;
  }

  void partner_ready(std::size_t /*port*/) override {
    std::fprintf(stderr, "mirror: the receiver is ready, over rail %u\n", member_.port().partner().rail);
    // Another receiver: it has nothing of what the one before had not taken out of its memory.
    *progress() = {};
    begin_again(consumed_ + 1);
  }
  void port_moved(std::size_t /*port*/) override {
    std::fprintf(stderr, "mirror: the port moved to rail %u\n", member_.port().partner().rail);
    ++moves_;
    begin_again(acknowledged_ + 1);
  }
  void partner_gone(std::size_t /*port*/, bool left) override {
    std::fprintf(stderr, left ? "mirror: the receiver left\n" : "mirror: no rail carries the port; waiting\n");
    silent_since_ = member_.now();
  }
  void completed(std::size_t /*port*/, const ccm::PortDone& done) override {
    if (done.id == kNoteId) {
      note_out_ = false;
      return;
    }
    if (done.result != ccm::PortResult::done) return;  // it is written again when the port is back
    // In order: a record that completes was preceded by all before it, each done or written again since.
    if (done.id == acknowledged_ + 1) {
      acknowledged_ = done.id;
      file_.set(acknowledged_);
    }
  }
  void received(std::size_t /*port*/, std::span<const std::byte> /*message*/) override {}

 private:
  // The receiver writes it there by RDMA.
  [[nodiscard]] Progress* progress() { return reinterpret_cast<Progress*>(member_.port().memory().data()); }
  [[nodiscard]] bool all_posted() const { return options_.records != 0 && next_ > options_.records; }
  [[nodiscard]] bool complete() const { return options_.records != 0 && consumed_ >= options_.records; }

  void begin_again(std::uint64_t from) {
    if (next_ > from) rewritten_ += next_ - from;
    next_ = from;
    acknowledged_ = from - 1;
    note_out_ = false;
    noted_ = 0;
    if (!began_) began_ = member_.now();
  }

  void look_at_progress() {
    Progress seen{};
    std::memcpy(&seen, progress(), sizeof seen);
    if (seen.run == run_ && seen.consumed > consumed_ && seen.consumed <= acknowledged_) consumed_ = seen.consumed;
  }

  // False: nothing more can be posted now.
  bool post_record() {
    if (all_posted() || next_ - consumed_ > member_.layout().slots) return false;
    const Instant now = member_.now();
    if (now < next_at_) return false;
    const std::size_t offset = member_.layout().offset_of(next_);
    const std::span<std::byte> slot = member_.port().staging().subspan(offset, member_.layout().record_bytes);
    if (next_ > made_) make_record(slot, run_, made_ = next_, options_.checksum);
    if (!member_.port().write(next_, slot, offset)) return false;
    ++next_;
    if (options_.pause_ms > 0) next_at_ = now + std::chrono::microseconds(static_cast<int>(options_.pause_ms * 1000));
    return true;
  }

  void post_note() {
    if (note_out_ || noted_ == acknowledged_ || acknowledged_ == 0) return;
    const Note note{run_, acknowledged_};
    note_out_ = member_.port().send(kNoteId, std::as_bytes(std::span(&note, 1))).has_value();
    if (note_out_) noted_ = acknowledged_;
  }

  bool turn() {
    const Duration patience = next_at_ > member_.now() ? next_at_ - member_.now() : Member::kBeatEvery;
    if (!member_.wait(std::min(patience, Member::kBeatEvery))) return false;
    // Progress arrives by RDMA, unannounced; a message of the receiver wakes this process for it.
    while (member_.ports().dispatch(*this) > 0) {
    }
    look_at_progress();
    if (member_.port().partner().ready) {
      while (post_record()) {
      }
      post_note();
      member_.ports().flush();
    } else if (ms_of(member_.now() - silent_since_) > options_.patience_s * 1000) {
      std::fprintf(stderr, "mirror: no receiver for %g s; %llu records are mirrored\n", options_.patience_s,
                   static_cast<unsigned long long>(acknowledged_));
      return false;
    }
    return true;
  }

  void report() {
    const double seconds = began_ ? ms_of(member_.now() - *began_) / 1000 : 0;
    const double bytes = static_cast<double>(acknowledged_) * static_cast<double>(options_.record_bytes);
    const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf(options_.json ? "{\"run\": %llu, \"acknowledged\": %llu, \"taken\": %llu, \"written_again\": %llu, "
                                "\"moves\": %llu, \"seconds\": %.6f, \"bytes_per_s\": %.0f}\n"
                              : "run %llu: %llu records acknowledged, %llu taken by the receiver, %llu written again, "
                                "%llu moves, %.3f s, %.0f bytes/s\n",
                number(run_), number(acknowledged_), number(consumed_), number(rewritten_), number(moves_), seconds,
                seconds > 0 ? bytes / seconds : 0.0);
  }

  const Options& options_;
  Member& member_;
  AcknowledgedFile file_;
  std::uint64_t run_ = 0;
  std::uint64_t next_ = 1;          // to be written
  std::uint64_t made_ = 0;          // the newest whose bytes are in staging memory
  std::uint64_t acknowledged_ = 0;  // all up to this one are in the receiver's memory
  std::uint64_t consumed_ = 0;      // all up to this one are taken out of it
  std::uint64_t noted_ = 0;
  bool note_out_ = false;
  std::uint64_t rewritten_ = 0;
  std::uint64_t moves_ = 0;
  Instant next_at_;
  Instant silent_since_;
  std::optional<Instant> began_;
};

}  // namespace

int run_sender(const Options& options) {
  auto member = Member::join(options);
  if (!member) {
    std::fprintf(stderr, "mirror: %s\n", member.error().c_str());
    return 1;
  }
  return Sender(options, *member).run();
}

}  // namespace hapair::mirror
