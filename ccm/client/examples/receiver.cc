// The receiver: records appear in its port memory. It checks each, appends it to its log, and tells the sender, by
// writing into the sender's memory, which slots are free again. When the sender is gone it takes what had arrived and
// had not been announced.
#include <fcntl.h>

#include <cstdio>
#include <cstring>

#include "ccm/client/examples/member.h"

namespace hapair::mirror {
namespace {

class Receiver final : public ccm::PortHandler {
 public:
  Receiver(const Options& options, Member& member) : options_(options), member_(member) {}

  int run() {
    if (!options_.log.empty()) {
      log_ = Fd(::open(options_.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
      if (!log_.valid()) {
        std::fprintf(stderr, "mirror: %s\n", errno_text(options_.log).c_str());
        return 1;
      }
    }
    while (!failed_ && member_.wait(Member::kBeatEvery)) {
      while (member_.ports().dispatch(*this) > 0) {
      }
      show_progress();
      member_.ports().flush();
    }
    take_what_is_there();
    member_.leave();
    report();
    return failed_ ? 1 : 0;
  }

  void partner_ready(std::size_t /*port*/) override {
    std::fprintf(stderr, "mirror: the sender is ready, over rail %u\n", member_.port().partner().rail);
    if (run_ != 0) last_run_ = run_;
    begin(0);  // another sender, so another run
    shown_ = 0;
    progress_out_ = wake_out_ = false;
  }
  void port_moved(std::size_t /*port*/) override {
    std::fprintf(stderr, "mirror: the port moved to rail %u\n", member_.port().partner().rail);
    shown_ = 0;
    progress_out_ = wake_out_ = false;
  }
  void partner_gone(std::size_t /*port*/, bool left) override {
    if (!left) return;
    take_what_is_there();
    std::fprintf(stderr, "mirror: the sender is gone; %llu records of run %llu are here\n",
                 static_cast<unsigned long long>(taken_), static_cast<unsigned long long>(run_));
  }
  void completed(std::size_t /*port*/, const ccm::PortDone& done) override {
    (done.id == kProgress ? progress_out_ : wake_out_) = false;
    if (done.result != ccm::PortResult::done) shown_ = 0;  // told again
  }
  void received(std::size_t /*port*/, std::span<const std::byte> message) override {
    Note note{};
    if (message.size() != sizeof note) return;
    std::memcpy(&note, message.data(), sizeof note);
    if (note.run != run_) begin(note.run);
    take_up_to(note.acknowledged);
  }

 private:
  static constexpr std::uint64_t kProgress = 1;
  static constexpr std::uint64_t kWake = 2;

  void begin(std::uint64_t run) {
    run_ = run;
    taken_ = 0;
    shown_ = 0;
  }

  [[nodiscard]] std::span<const std::byte> slot_of(std::uint64_t sequence) {
    return member_.port().memory().subspan(member_.layout().offset_of(sequence), member_.layout().record_bytes);
  }

  [[nodiscard]] bool is_there(std::uint64_t sequence) {
    const auto header = read_record(slot_of(sequence));
    return header && header->run == run_ && header->sequence == sequence;
  }

  void take_up_to(std::uint64_t acknowledged) {
    while (taken_ < acknowledged && !failed_) {
      // A receiver that was replaced begins where the sender does: with the oldest that nobody took.
      if (taken_ == 0 && !is_there(1)) taken_ = first_there(acknowledged) - 1;
      if (!is_there(taken_ + 1)) return fail(taken_ + 1);
      append(taken_ + 1);
    }
  }

  [[nodiscard]] std::uint64_t first_there(std::uint64_t last) {
    std::uint64_t first = last > member_.layout().slots ? last - member_.layout().slots + 1 : 1;
    while (first < last && !is_there(first)) ++first;
    return first;
  }

  void append(std::uint64_t sequence) {
    const std::span<const std::byte> slot = slot_of(sequence);
    tell_progress(1);
    if (log_.valid() && ::write(log_.get(), slot.data(), slot.size()) != static_cast<ssize_t>(slot.size())) {
      std::fprintf(stderr, "mirror: %s\n", errno_text(options_.log).c_str());
      failed_ = true;
      return;
    }
    taken_ = sequence;
    ++records_;
    tell_progress(0);
  }

  // What this node's storage is asked for: the log. A write that does not come back says so by itself.
  void tell_progress(std::uint32_t outstanding) {
    member_.progress({.completed = records_,
                      .outstanding = outstanding,
                      .stall_limit = std::chrono::milliseconds(static_cast<int>(options_.stall_limit_s * 1000))});
  }

  void fail(std::uint64_t sequence) {
    std::fprintf(stderr, "mirror: record %llu was acknowledged to the sender and is not here\n",
                 static_cast<unsigned long long>(sequence));
    failed_ = true;
  }

  // Also where the sender ended before it had announced any.
  void take_what_is_there() {
    if (run_ == 0) {
      const auto first = read_record(slot_of(1));
      if (first && first->sequence == 1 && first->run != last_run_) begin(first->run);
    }
    while (run_ != 0 && !failed_ && is_there(taken_ + 1)) append(taken_ + 1);
  }

  void show_progress() {
    if (!member_.port().partner().ready || progress_out_ || wake_out_ || shown_ == taken_) return;
    const Progress progress{run_, taken_};
    const std::span<std::byte> local = member_.port().staging().first(sizeof progress);
    std::memcpy(local.data(), &progress, sizeof progress);
    progress_out_ = member_.port().write(kProgress, local, 0).has_value();
    wake_out_ = progress_out_ && member_.port().send(kWake, {}).has_value();
    if (progress_out_) shown_ = taken_;
  }

  void report() const {
    std::printf(options_.json ? "{\"run\": %llu, \"records\": %llu, \"last\": %llu}\n"
                              : "run %llu: %llu records taken, the last is %llu\n",
                static_cast<unsigned long long>(run_), static_cast<unsigned long long>(records_),
                static_cast<unsigned long long>(taken_));
  }

  const Options& options_;
  Member& member_;
  Fd log_;
  std::uint64_t run_ = 0;
  std::uint64_t last_run_ = 0;
  std::uint64_t taken_ = 0;
  std::uint64_t shown_ = 0;
  std::uint64_t records_ = 0;
  bool progress_out_ = false;
  bool wake_out_ = false;
  bool failed_ = false;
};

}  // namespace

int run_receiver(const Options& options) {
  auto member = Member::join(options);
  if (!member) {
    std::fprintf(stderr, "mirror: %s\n", member.error().c_str());
    return 1;
  }
  return Receiver(options, *member).run();
}

}  // namespace hapair::mirror
