#include "ccm/fabric/verbs/slow_calls.h"

#include <cerrno>
#include <csignal>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::ccm::verbs {
namespace {

constexpr std::size_t kStackBytes = std::size_t{256} * 1024;  // ccmd locks its memory, and a default stack is 8 MiB
constexpr int kInterrupt = SIGUSR2;

// A call that waits in the kernel returns when its thread gets a signal that has a handler.
void catch_interrupts() {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  (void)::sigaction(kInterrupt, &action, nullptr);
}

// The connection manager compares its devices with the machine's only when it is asked for them.
void let_go_of_removed_devices() {
  if (ibv_context** const devices = ::rdma_get_devices(nullptr); devices != nullptr) ::rdma_free_devices(devices);
}

}  // namespace

void disable(ibv_qp& pair) {
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_ERR;
  (void)::ibv_modify_qp(&pair, &attributes, IBV_QP_STATE);
}

SlowCalls::SlowCalls() {
  pthread_attr_t attributes;
  HAPAIR_CHECK(::pthread_attr_init(&attributes) == 0, "attributes of a thread");
  (void)::pthread_attr_setstacksize(&attributes, kStackBytes);
  catch_interrupts();
  // All other signals are for the loop's thread.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::sigdelset(&all, kInterrupt);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = ::pthread_create(&thread_, &attributes, &SlowCalls::run, this);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&attributes);
  HAPAIR_CHECK(error == 0, "a thread for calls that may block");
}

SlowCalls::~SlowCalls() {
  while (connecting()) {
    interrupt_abandoned();
    const timespec moment{0, 1'000'000};
    (void)::nanosleep(&moment, nullptr);
  }
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
  }
  changed_.notify_one();
  ::pthread_join(thread_, nullptr);
}

void SlowCalls::release(Remains remains) {
  if (remains.pair) disable(*remains.pair);
  if (remains.id) disable(*remains.id);
  {
    const std::scoped_lock lock(mutex_);
    waiting_.push_back(std::move(remains));
  }
  changed_.notify_one();
}

void SlowCalls::hold(bool without_link) {
  {
    const std::scoped_lock lock(mutex_);
    held_ = without_link;
  }
  changed_.notify_one();
}

bool SlowCalls::has_room() {
  const std::scoped_lock lock(mutex_);
  return waiting_.size() < kMostWaiting;
}

void SlowCalls::connect(rdma_cm_id* id, const rdma_conn_param& parameters, const ConnectBytes& data) {
  {
    const std::scoped_lock lock(mutex_);
    HAPAIR_CHECK(!connect_, "one connection is made at a time");
    connect_ = Connect{id, parameters, data};
    abandoned_ = false;
    connect_error_.reset();
  }
  changed_.notify_one();
}

bool SlowCalls::connecting() {
  const std::scoped_lock lock(mutex_);
  return connect_.has_value();
}

std::optional<int> SlowCalls::take_connect_error(const rdma_cm_id* id) {
  const std::scoped_lock lock(mutex_);
  if (id != failed_) return std::nullopt;
  return std::exchange(connect_error_, std::nullopt);
}

void SlowCalls::interrupt_connect(const rdma_cm_id* id) {
  const std::scoped_lock lock(mutex_);
  if (id == failed_) connect_error_.reset();
  if (!connect_ || connect_->id != id) return;
  abandoned_ = true;
  (void)::pthread_kill(thread_, kInterrupt);
}

void SlowCalls::interrupt_abandoned() {
  const std::scoped_lock lock(mutex_);
  if (connect_ && abandoned_) (void)::pthread_kill(thread_, kInterrupt);
}

void SlowCalls::make_connect(std::unique_lock<std::mutex>& lock) {
  int error = ECANCELED;
  if (!abandoned_) {
    Connect& one = *connect_;
    one.parameters.private_data = one.data.data();
    one.parameters.private_data_len = static_cast<std::uint8_t>(one.data.size());
    lock.unlock();
    error = ::rdma_connect(one.id, &one.parameters) == 0 ? 0 : errno;
    lock.lock();
  }
  if (error != 0 && !abandoned_) {
    failed_ = connect_->id;
    connect_error_ = error;
  }
  connect_.reset();
}

void* SlowCalls::run(void* self) {
  static_cast<SlowCalls*>(self)->work_until_closed();
  return nullptr;
}

void SlowCalls::work_until_closed() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closed_ || connect_ || (!waiting_.empty() && !held_); });
    // Before what waits to be released: its own identifier may be there already.
    if (connect_) {
      make_connect(lock);
      continue;
    }
    if (waiting_.empty()) return;
    bool removed = false;
    {
      // Its destructor releases in the right order; an assignment would not.
      const Remains next = std::move(waiting_.front());
      waiting_.pop_front();
      removed = next.removed;
      lock.unlock();
    }
    if (removed) let_go_of_removed_devices();
    lock.lock();
  }
}

}  // namespace hapair::ccm::verbs
