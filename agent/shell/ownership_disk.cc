#include "agent/shell/ownership_disk.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <utility>

#include "agent/shell/worker_thread.h"
#include "ccm/base/check.h"
#include "ccm/base/direct_io.h"

namespace hapair::agent {
namespace {

static_assert(ccm::kDiskBlockBytes == kDirectBlockBytes);
constexpr Duration kOpenAgain = std::chrono::seconds(1);

SlotSight sight_of(const std::expected<ccm::OwnershipSlot, ccm::SlotError>& slot) {
  if (slot) return {SlotSight::State::written, *slot};
  return {slot.error() == ccm::SlotError::blank ? SlotSight::State::blank : SlotSight::State::unreadable, {}};
}

}  // namespace

// What the loop and the thread hand each other, and what only the thread uses.
struct OwnershipDisk::Shared {
  struct Done {
    DiskAnswer answer;
    std::optional<ccm::DiskError> refused;
    std::optional<ccm::DiskAreaId> area;
    bool without_disk = false;  // the disk is silent: the loop's answer
  };

  OwnershipDiskSettings settings;
  ccm::PairSide own = ccm::PairSide::none;
  Fd answered;  // eventfd, from the thread to the loop

  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  std::deque<DiskJob> waiting;
  std::deque<Done> done;
  bool working = false;  // on one job, which is in neither list
  bool end = false;

  // The thread's own.
  Fd disk;
  Instant next_open;
  int open_error = 0;
  std::optional<ccm::DiskError> refused;
  std::optional<ccm::DiskAreaId> area;
  DirectBlock block;

  void work();
  void tell(const Done& one);
  void tell_silent(const DiskJob& job);
  Done carry_out(const DiskJob& job);
  int open();
  int check_header(const Fd& on);
  int write(const DiskJob& job);
  int read(const DiskJob& job, DiskSight& into);
  int read_slot(const DiskJob& job, ccm::PairSide of, SlotSight& into);
  [[nodiscard]] ccm::SlotPlace place_of(const DiskJob& job, ccm::PairSide of) const;
};

ccm::SlotPlace OwnershipDisk::Shared::place_of(const DiskJob& job, ccm::PairSide of) const {
  return {.of = settings.of,
          .writer = of,
          .pool = settings.pools.at(job.pool),
          .pool_place = static_cast<std::uint8_t>(job.pool),
          .disk = settings.place,
          .disks = settings.disks};
}

// 0, or errno. Looked at before anything is opened for writing: closing that would have udev probe the disk anew.
int OwnershipDisk::Shared::open() {
  const Instant now = SystemClock().now();
  if (now < next_open) return open_error;
  next_open = now + kOpenAgain;
  const Fd looked(::open(settings.device.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC | O_NONBLOCK));
  open_error = looked.valid() ? check_header(looked) : errno;
  if (!looked.valid()) refused.reset();
  if (open_error != 0) return open_error;
  disk = Fd(::open(settings.device.c_str(), O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC));
  open_error = disk.valid() ? 0 : errno;
  return open_error;
}

// 0, or errno: ENOTUNIQ where the disk is not this pair's.
int OwnershipDisk::Shared::check_header(const Fd& on) {
  refused.reset();
  if (const int failed = read_block(on, 0, block); failed != 0) return failed;
  const auto checked = ccm::check_disk_header(block.bytes(), settings.of);
  refused = checked ? std::nullopt : std::optional(checked.error());
  area = checked ? std::optional(*checked) : std::nullopt;
  return checked ? 0 : ENOTUNIQ;
}

// 0, or errno. Whoever made something else of the disk meanwhile is not written over.
int OwnershipDisk::Shared::write(const DiskJob& job) {
  if (const int failed = check_header(disk); failed != 0) return failed;
  const ccm::SlotPlace place = place_of(job, own);
  const auto bytes = ccm::encode_slot(job.slot, place, settings.key);
  std::ranges::fill(block.bytes(), std::byte{});
  std::memcpy(block.bytes().data(), bytes.data(), bytes.size());
  return write_block(disk, place.block(), block);
}

// 0, or errno. What a slot says is authentic whatever else the disk holds; that it is blank says nothing on a disk that
// is no longer this pair's.
int OwnershipDisk::Shared::read(const DiskJob& job, DiskSight& into) {
  if (const int failed = read_slot(job, own, into.own); failed != 0) return failed;
  if (const int failed = read_slot(job, ccm::other(own), into.partner); failed != 0) return failed;
  const bool blank = into.own.state == SlotSight::State::blank || into.partner.state == SlotSight::State::blank;
  return blank ? check_header(disk) : 0;
}

int OwnershipDisk::Shared::read_slot(const DiskJob& job, ccm::PairSide of, SlotSight& into) {
  const ccm::SlotPlace place = place_of(job, of);
  if (const int failed = read_block(disk, place.block(), block); failed != 0) return failed;
  into = sight_of(ccm::decode_slot(block.bytes(), place, settings.key));
  return 0;
}

OwnershipDisk::Shared::Done OwnershipDisk::Shared::carry_out(const DiskJob& job) {
  DiskAnswer answer{.job = job, .error = 0, .began = SystemClock().now(), .sight = {}};
  if (!disk.valid()) answer.error = open();
  if (answer.error == 0) {
    answer.error = job.kind == DiskJob::Kind::write ? write(job) : read(job, answer.sight);
    if (answer.error != 0) {
      disk.reset();
      open_error = answer.error;
      next_open = SystemClock().now() + kOpenAgain;
    }
  }
  return {answer, refused, area, false};
}

// With the mutex held.
void OwnershipDisk::Shared::tell(const Done& one) {
  done.push_back(one);
  const std::uint64_t count = 1;
  // Only a counter at its end could refuse, and then the loop has been told already.
  [[maybe_unused]] const ssize_t n = ::write(answered.get(), &count, sizeof count);
}

// Likewise.
void OwnershipDisk::Shared::tell_silent(const DiskJob& job) {
  tell({{.job = job, .error = ETIMEDOUT, .began = {}, .sight = {}}, std::nullopt, std::nullopt, true});
}

void OwnershipDisk::Shared::work() {
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [this] { return end || !waiting.empty(); });
    if (end) return;
    const DiskJob job = waiting.front();
    waiting.pop_front();
    working = true;
    lock.unlock();
    const Done one = carry_out(job);
    lock.lock();
    working = false;
    tell(one);
  }
}

OwnershipDisk::OwnershipDisk(sd_event* loop, const OwnershipDiskSettings& settings, OnAnswer on_answer)
    : device_(settings.device),
      deadline_(settings.deadline),
      on_answer_(std::move(on_answer)),
      shared_(std::make_shared<Shared>()) {
  shared_->settings = settings;
  shared_->own = ccm::side_of(settings.of.node, settings.of.partner);
  shared_->answered = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  HAPAIR_CHECK(shared_->answered.valid(), "an eventfd at the start of the agent");
  answers_ = watch_fd(loop, shared_->answered.get(), EPOLLIN, on_answers, this);
  timer_ = call_at(loop, Instant::max(), on_deadline, this);
  start_worker([shared = shared_] { shared->work(); }).detach();
}

OwnershipDisk::~OwnershipDisk() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->end = true;
    shared_->waiting.clear();
  }
  shared_->changed.notify_one();
}

void OwnershipDisk::ask(const DiskJob& job) {
  out_.push_back(job);
  {
    const std::lock_guard lock(shared_->mutex);
    if (silent_) {
      shared_->tell_silent(job);
      return;
    }
    shared_->waiting.push_back(job);
  }
  shared_->changed.notify_one();
  if (out_.size() == 1) watch_deadline();
}

void OwnershipDisk::watch_deadline() {
  call_again_at(timer_, out_.empty() || silent_ ? Instant::max() : SystemClock().now() + deadline_);
}

int OwnershipDisk::on_answers(sd_event_source*, int fd, std::uint32_t, void* context) {
  auto* self = static_cast<OwnershipDisk*>(context);
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(fd, &count, sizeof count);
  std::deque<Shared::Done> done;
  {
    const std::lock_guard lock(self->shared_->mutex);
    done.swap(self->shared_->done);
  }
  for (const Shared::Done& one : done) {
    if (!one.without_disk) {
      self->error_ = one.answer.error;
      self->refused_ = one.refused;
      if (one.area) self->area_ = one.area;
    }
    self->take(one.answer, one.without_disk);
  }
  return 0;
}

void OwnershipDisk::take(const DiskAnswer& answer, bool without_disk) {
  if (silent_ && !without_disk) {
    // It has come back. What it did is of a job that has been answered.
    silent_ = false;
    watch_deadline();
    return;
  }
  out_.pop_front();
  watch_deadline();
  on_answer_(answer);
}

int OwnershipDisk::on_deadline(sd_event_source*, std::uint64_t, void* context) {
  auto* self = static_cast<OwnershipDisk*>(context);
  if (self->out_.empty() || self->silent_) return 0;
  {
    const std::lock_guard lock(self->shared_->mutex);
    if (!self->shared_->working) {
      // It has just answered, or it is the thread that has not come to run.
      self->watch_deadline();
      return 0;
    }
    if (!self->shared_->done.empty()) return 0;  // likewise; taking that sets the next deadline
    self->shared_->waiting.clear();
    for (const DiskJob& job : self->out_) self->shared_->tell_silent(job);
  }
  self->silent_ = true;
  return 0;
}

std::string OwnershipDisk::trouble() const {
  if (refused_) {
    return device_ + ": " + std::string(text_of(*refused_)) +
           "; nothing is written there. Where it is to be this pair's: hapair mailbox init " + device_ +
           std::string(init_option(*refused_));
  }
  if (silent_) return device_ + ": does not answer; look at the disk and its path";
  if (error_ == 0) return {};
  return device_ + ": " + std::strerror(error_) + "; look at the disk and its path";
}

}  // namespace hapair::agent
