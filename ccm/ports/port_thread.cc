#include "ccm/ports/port_thread.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <utility>

namespace hapair::ccm {
namespace {

constexpr std::size_t kStackBytes = std::size_t{256} * 1024;  // ccmd locks its memory, and a default stack is 8 MiB
// The fabrics look at their limits when they are polled.
constexpr int kLookEveryMs = 10;
constexpr int kIdleLookEveryMs = 1000;
constexpr Duration kTrafficEvery = std::chrono::milliseconds(100);

void raise(const Fd& event) {
  constexpr std::uint64_t kOne = 1;
  (void)!::write(event.get(), &kOne, sizeof kOne);
}

void consume(int event) {
  std::uint64_t count = 0;
  (void)!::read(event, &count, sizeof count);
}

}  // namespace

PortThread::PortThread(std::vector<std::unique_ptr<PortFabric>> fabrics, const Clock& clock)
    : fabrics_(std::move(fabrics)), clock_(&clock) {}

PortThread::~PortThread() {
  if (!running_) return;
  ended_ = true;
  raise(command_event_);
  ::pthread_join(thread_, nullptr);
}

std::expected<void, std::string> PortThread::start() {
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  command_event_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  news_event_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_.valid() || !command_event_.valid() || !news_event_.valid()) {
    return std::unexpected(errno_text("epoll or eventfd"));
  }
  const auto watch = [this](int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    return fd < 0 || ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  };
  std::vector<PortFabric*> fabrics;
  for (const auto& fabric : fabrics_) {
    fabrics.push_back(fabric.get());
    if (!watch(fabric->poll_fd())) return std::unexpected(errno_text("epoll_ctl"));
  }
  if (!watch(command_event_.get())) return std::unexpected(errno_text("epoll_ctl"));
  host_.emplace(fabrics, random_, epoll_.get());
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  (void)::pthread_attr_setstacksize(&attributes, kStackBytes);
  const int error = ::pthread_create(&thread_, &attributes, &PortThread::run, this);
  ::pthread_attr_destroy(&attributes);
  if (error != 0) {
    errno = error;
    return std::unexpected(errno_text("a thread for the ports"));
  }
  running_ = true;
  return {};
}

// ---- the CCM's side ----------------------------------------------------------------------------------------------

bool PortThread::give(const PortCommand& command) {
  const bool given = commands_.push(command);
  raise(command_event_);
  return given;
}

bool PortThread::take(PortNews& into) { return news_.pop(into); }

void PortThread::acknowledge_news() const { consume(news_event_.get()); }

PortTraffic PortThread::traffic(PortRef port) const {
  const SharedTraffic& shared = traffic_.at(port.slot).at(port.index);
  return {shared.operations, shared.failed, shared.refused, shared.bytes, shared.messages};
}

// ---- the thread --------------------------------------------------------------------------------------------------

void* PortThread::run(void* self) {
  static_cast<PortThread*>(self)->run_until_ended();
  return nullptr;
}

void PortThread::run_until_ended() {
  while (!ended_) {
    const Instant now = clock_->now();
    take_commands(now);
    host_->turn(now);
    give_news();
    show_traffic(now);
    wait();
  }
  host_->close_all(clock_->now());  // before the host's memory goes, and after it the fabrics
}

void PortThread::take_commands(Instant now) {
  PortCommand command;
  while (commands_.pop(command)) host_->carry_out(now, command);
}

void PortThread::give_news() {
  bool any = false;
  while (true) {
    if (!unsent_) unsent_ = host_->next_news();
    if (!unsent_ || !news_.push(*unsent_)) break;
    unsent_.reset();
    any = true;
  }
  if (any) raise(news_event_);
}

void PortThread::show_traffic(Instant now) {
  if (now < next_traffic_) return;
  next_traffic_ = now + kTrafficEvery;
  for (std::size_t i = 0; i < fabrics_.size(); ++i) {
    turned_away_.at(i).store(fabrics_[i]->counters().total(), std::memory_order_relaxed);
  }
  for (std::uint8_t slot = 0; slot < kMaxClients; ++slot) {
    for (std::uint8_t index = 0; index < kMaxClientPorts; ++index) {
      const PortTraffic now_at = host_->traffic({slot, index});
      SharedTraffic& shared = traffic_.at(slot).at(index);
      shared.operations.store(now_at.operations, std::memory_order_relaxed);
      shared.failed.store(now_at.failed, std::memory_order_relaxed);
      shared.refused.store(now_at.refused, std::memory_order_relaxed);
      shared.bytes.store(now_at.bytes, std::memory_order_relaxed);
      shared.messages.store(now_at.messages, std::memory_order_relaxed);
    }
  }
}

void PortThread::wait() {
  std::array<epoll_event, 16> events{};
  const int patience_ms = host_->idle() && !unsent_ ? kIdleLookEveryMs : kLookEveryMs;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), patience_ms);
  for (int i = 0; i < count; ++i) {
    const int fd = events.at(static_cast<std::size_t>(i)).data.fd;
    if (fd == command_event_.get()) {
      consume(fd);
    } else {
      host_->kicked(fd);
    }
  }
}

}  // namespace hapair::ccm
