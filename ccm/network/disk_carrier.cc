#include "ccm/network/disk_carrier.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "ccm/base/direct_io.h"
#include "ccm/base/fd.h"

namespace hapair::ccm {
namespace {

static_assert(kDiskBlockBytes == kDirectBlockBytes);
constexpr int kOpenAgainMs = 1000;
constexpr unsigned kFirstFd = 3;  // after the standard ones
#if defined(__has_feature)
constexpr bool kThreadSanitizer = __has_feature(thread_sanitizer);
#else
constexpr bool kThreadSanitizer = false;
#endif
constexpr std::size_t kStackBytes = std::size_t{128} * 1024;  // locked in memory with the rest of ccmd

}  // namespace

// What the loop and the thread hand each other: one block each way. Whoever sees a flag owns the bytes beside it until
// it turns the flag over; neither ever waits for the other.
struct DiskCarrier::Shared {
  std::string device;
  DiskPair of;
  Fd wake;  // eventfd: a beat is to go out, or the end

  std::atomic<bool> out_full{false};
  DiskBlock out{};
  std::atomic<bool> in_full{false};
  DiskBlock in{};
  Instant in_at;
  std::atomic<int> error{ENODEV};
  std::atomic<int> refused{kNotRefused};  // or a DiskError
  std::atomic<bool> end{false};

  static constexpr int kNotRefused = -1;

  static void* run_of(void* shared);
  void run();
  void let_go_of_others() const;
  void wait() const;
  Fd open(DirectBlock& block);
  int check_header(const Fd& disk, DirectBlock& block);
  int write(const Fd& disk, DirectBlock& block);
  int beat(const Fd& disk, DirectBlock& own, DirectBlock& partners);
};

void* DiskCarrier::Shared::run_of(void* shared) {
  const std::unique_ptr<std::shared_ptr<Shared>> own(static_cast<std::shared_ptr<Shared>*>(shared));
  (*own)->run();
  return nullptr;
}

// Looked at before anything is opened for writing: closing that would have udev probe the disk anew.
Fd DiskCarrier::Shared::open(DirectBlock& block) {
  Fd disk(::open(device.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  int failed = disk.valid() ? check_header(disk, block) : errno;
  if (failed == 0) {
    disk = Fd(::open(device.c_str(), O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC));
    failed = disk.valid() ? 0 : errno;
  }
  if (failed == 0) return disk;
  error = failed;
  return {};
}

// 0, or errno: ENOTUNIQ where the disk is not this pair's.
int DiskCarrier::Shared::check_header(const Fd& disk, DirectBlock& block) {
  if (const int failed = read_block(disk, 0, block); failed != 0) return failed;
  const auto checked = check_disk_header(block.bytes(), of);
  refused = checked ? kNotRefused : static_cast<int>(checked.error());
  return checked ? 0 : ENOTUNIQ;
}

// 0, or errno. Whoever made something else of the disk meanwhile is not written over.
int DiskCarrier::Shared::write(const Fd& disk, DirectBlock& block) {
  if (const int failed = check_header(disk, block); failed != 0) return failed;
  std::memcpy(block.bytes().data(), out.data(), out.size());
  return write_block(disk, beat_block(of.node, of.partner), block);
}

// 0, or errno.
int DiskCarrier::Shared::beat(const Fd& disk, DirectBlock& own, DirectBlock& partners) {
  if (out_full.load(std::memory_order_acquire)) {
    const int failed = write(disk, own);
    out_full.store(false, std::memory_order_release);
    error = failed;
    if (failed != 0) return failed;
  }
  std::array<std::byte, kBeatBytes> before{};
  std::memcpy(before.data(), partners.bytes().data(), before.size());
  if (const int failed = read_block(disk, beat_block(of.partner, of.node), partners); failed != 0) return failed;
  // What the loop has not taken yet is read again after the next beat. What stands beside a beat is of the same write,
  // so where only that is another, half a write was read, and the next beat brings the whole.
  if (std::ranges::equal(partners.bytes().first(kBeatBytes), before)) return 0;
  if (in_full.load(std::memory_order_acquire)) {
    std::memcpy(partners.bytes().data(), before.data(), before.size());
    return 0;
  }
  std::memcpy(in.data(), partners.bytes().data(), in.size());
  in_at = SystemClock().now();
  in_full.store(true, std::memory_order_release);
  return 0;
}

void DiskCarrier::Shared::wait() const {
  pollfd waiting{wake.get(), POLLIN, 0};
  (void)::poll(&waiting, 1, kOpenAgainMs);
  std::uint64_t count = 0;
  (void)!::read(wake.get(), &count, sizeof count);
}

// A disk that never answers keeps this thread in the kernel, also when the process is killed. Its lock and its sockets
// must not stay with it: the next ccmd needs them.
void DiskCarrier::Shared::let_go_of_others() const {
  // ThreadSanitizer knows one table of descriptors a process, and would call each number that is in both a race.
  if (kThreadSanitizer) return;
  if (::unshare(CLONE_FILES) != 0) return;
  const auto own = static_cast<unsigned>(wake.get());
  if (own > kFirstFd) (void)::close_range(kFirstFd, own - 1, 0);
  (void)::close_range(own + 1, ~0U, 0);
}

void DiskCarrier::Shared::run() {
  let_go_of_others();
  DirectBlock own;
  DirectBlock partners;
  Fd disk;
  const SystemClock clock;
  Instant next_open = clock.now();
  while (!end) {
    if (!disk.valid() && clock.now() >= next_open) {
      next_open = clock.now() + std::chrono::milliseconds(kOpenAgainMs);
      disk = open(own);
    }
    if (disk.valid()) {
      if (const int failed = beat(disk, own, partners); failed != 0) {
        error = failed;
        disk.reset();
      }
    } else {
      out_full = false;  // what cannot be written is not kept
    }
    wait();
  }
}

std::expected<std::unique_ptr<DiskCarrier>, std::string> DiskCarrier::open(const std::string& device,
                                                                           const DiskPair& of) {
  auto shared = std::make_shared<Shared>();
  shared->device = device;
  shared->of = of;
  shared->wake = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!shared->wake.valid()) return std::unexpected(errno_text("eventfd"));
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  (void)::pthread_attr_setstacksize(&attributes, kStackBytes);
  ::pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // Whoever waits for a disk has no real-time priority, and all signals are for the loop's thread.
  ::pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
  ::pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
  const sched_param lowest{};
  ::pthread_attr_setschedparam(&attributes, &lowest);
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread{};
  auto held = std::make_unique<std::shared_ptr<Shared>>(shared);
  const int failed = ::pthread_create(&thread, &attributes, &Shared::run_of, held.get());
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&attributes);
  if (failed != 0) {
    errno = failed;
    return std::unexpected(errno_text("a thread for the disk"));
  }
  (void)held.release();
  return std::unique_ptr<DiskCarrier>(new DiskCarrier(std::move(shared)));
}

DiskCarrier::~DiskCarrier() {
  constexpr std::uint64_t kOne = 1;
  shared_->end = true;
  (void)!::write(shared_->wake.get(), &kOne, sizeof kOne);
}

bool DiskCarrier::send(std::span<const std::byte> datagram) {
  constexpr std::uint64_t kOne = 1;
  if (shared_->out_full.load(std::memory_order_acquire)) {
    ++unwritten_;
    return false;
  }
  unwritten_ = 0;
  const std::size_t size = std::min(datagram.size(), shared_->out.size());
  std::memcpy(shared_->out.data(), datagram.data(), size);
  std::ranges::fill(std::span(shared_->out).subspan(size), std::byte{});
  shared_->out_full.store(true, std::memory_order_release);
  (void)!::write(shared_->wake.get(), &kOne, sizeof kOne);
  return error() == 0;
}

std::span<const Datagram> DiskCarrier::receive() {
  if (!shared_->in_full.load(std::memory_order_acquire)) return {};
  std::memcpy(came_.data(), shared_->in.data(), came_.size());
  datagram_ = {came_, SystemClock().now() - shared_->in_at};
  shared_->in_full.store(false, std::memory_order_release);
  return {&datagram_, 1};
}

int DiskCarrier::error() const {
  constexpr int kPatience = 3;  // beats
  return unwritten_ >= kPatience ? ETIMEDOUT : shared_->error.load(std::memory_order_relaxed);
}

std::optional<DiskError> DiskCarrier::refused() const {
  const int refused = shared_->refused.load(std::memory_order_relaxed);
  if (refused == Shared::kNotRefused) return std::nullopt;
  return static_cast<DiskError>(refused);
}

}  // namespace hapair::ccm
