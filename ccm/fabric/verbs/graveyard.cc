#include "ccm/fabric/verbs/graveyard.h"

#include <csignal>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::ccm::verbs {
namespace {

constexpr std::size_t kStackBytes = std::size_t{256} * 1024;  // ccmd locks its memory, and a default stack is 8 MiB

}  // namespace

void disable(ibv_qp& pair) {
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_ERR;
  (void)::ibv_modify_qp(&pair, &attributes, IBV_QP_STATE);
}

Graveyard::Graveyard() {
  pthread_attr_t attributes;
  HAPAIR_CHECK(::pthread_attr_init(&attributes) == 0, "attributes of a thread");
  (void)::pthread_attr_setstacksize(&attributes, kStackBytes);
  // Signals are for the loop's thread.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = ::pthread_create(&thread_, &attributes, &Graveyard::dig, this);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::pthread_attr_destroy(&attributes);
  HAPAIR_CHECK(error == 0, "a thread that releases connections");
}

Graveyard::~Graveyard() {
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
  }
  changed_.notify_one();
  ::pthread_join(thread_, nullptr);
}

void Graveyard::bury(Remains remains) {
  if (remains.pair) disable(*remains.pair);
  if (remains.id) disable(*remains.id);
  {
    const std::scoped_lock lock(mutex_);
    waiting_.push_back(std::move(remains));
  }
  changed_.notify_one();
}

void* Graveyard::dig(void* self) {
  static_cast<Graveyard*>(self)->release_until_closed();
  return nullptr;
}

void Graveyard::release_until_closed() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closed_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    Remains next = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    next = {};
    lock.lock();
  }
}

}  // namespace hapair::ccm::verbs
