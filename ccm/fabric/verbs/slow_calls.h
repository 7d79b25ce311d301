// The calls of rdma-core that may block, made by a thread of their own, one after the other; it shares nothing else
// with anybody.
//
// To destroy a queue pair or an identifier can take many seconds: a device waits for its firmware, the kernel's
// soft-RoCE for packets that a dead link still holds (50 s were seen). The kernel's soft-iWARP makes its TCP connection
// within rdma_connect(), which takes 67 s where nobody answers.
#pragma once

#include <pthread.h>

#include <array>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "ccm/fabric/verbs/handles.h"
#include "ccm/wire/connect_data.h"

namespace hapair::ccm::verbs {

// Members in the opposite order of their release. The device, or what else it needs, outlives what was made on it; a
// window goes before the queue pair that it is bound to, since soft-RoCE waits 50 s for it otherwise.
struct Remains {
  std::shared_ptr<const void> device{};
  Handle<rdma_cm_id> id{};
  Handle<ibv_qp> pair{};
  std::array<Handle<ibv_mw>, 2> windows{};
  // The device is gone: after this nothing of it is left here, and the connection manager may let it go too. Until then
  // the kernel waits with the removal of a device whose driver cannot be taken from its users.
  bool removed = false;
};

// The connection's queue pair serves nobody from here on.
void disable(ibv_qp& pair);
inline void disable(rdma_cm_id& id) {
  if (id.qp != nullptr) disable(*id.qp);
}

class SlowCalls {
 public:
  SlowCalls();
  // Waits until all is released.
  ~SlowCalls();
  SlowCalls(const SlowCalls&) = delete;
  SlowCalls& operator=(const SlowCalls&) = delete;

  // Disables at once, releases when it can.
  void release(Remains remains);
  // Without a link nothing is released until there is one again: the connection manager's farewell cannot leave the
  // machine then, and where that happens soft-RoCE (6.1) never sends another of its messages, of anybody.
  void hold(bool without_link);
  // Nobody may add to it faster than it works off: who takes requests from the network asks first.
  [[nodiscard]] bool has_room();

  // rdma_connect(). `id` stays valid until it is given to release(), which waits for this call. One at a time.
  void connect(rdma_cm_id* id, const rdma_conn_param& parameters, const ConnectBytes& data);
  [[nodiscard]] bool connecting();
  // The errno of the last one for `id`, once it has failed.
  std::optional<int> take_connect_error(const rdma_cm_id* id);
  // Nobody waits for the one of `id` any more.
  void interrupt_connect(const rdma_cm_id* id);
  // Again, while connecting(): an interrupt comes to nothing where the call is just about to be made.
  void interrupt_abandoned();

 private:
  static constexpr std::size_t kMostWaiting = 64;
  struct Connect {
    rdma_cm_id* id = nullptr;
    rdma_conn_param parameters{};
    ConnectBytes data{};
  };
  static void* run(void* self);
  void work_until_closed();
  void make_connect(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Remains> waiting_;
  std::optional<Connect> connect_;  // to be made, or being made
  bool abandoned_ = false;
  const rdma_cm_id* failed_ = nullptr;  // the one that connect_error_ is of
  std::optional<int> connect_error_;
  bool held_ = false;
  bool closed_ = false;
  pthread_t thread_{};
};

}  // namespace hapair::ccm::verbs
