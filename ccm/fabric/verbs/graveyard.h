// Where connections that have ended are taken apart. To destroy a queue pair can block for many seconds: a device waits
// for its firmware, the kernel's soft-RoCE for packets that a dead link still holds (50 s were seen). So it happens in
// a thread of its own, which shares nothing else with anybody.
#pragma once

#include <pthread.h>

#include <array>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>

#include "ccm/fabric/verbs/device.h"
#include "ccm/fabric/verbs/handles.h"

namespace hapair::ccm::verbs {

// Members in the opposite order of their release. The device outlives what was made on it.
struct Remains {
  std::shared_ptr<Device> device;
  std::array<Handle<ibv_mw>, 2> windows;
  Handle<rdma_cm_id> id;
  Handle<ibv_qp> pair;
};

// The connection's queue pair serves nobody from here on.
void disable(ibv_qp& pair);
inline void disable(rdma_cm_id& id) {
  if (id.qp != nullptr) disable(*id.qp);
}

class Graveyard {
 public:
  Graveyard();
  // Waits until all is released.
  ~Graveyard();
  Graveyard(const Graveyard&) = delete;
  Graveyard& operator=(const Graveyard&) = delete;

  void bury(Remains remains);

 private:
  static void* dig(void* self);
  void release_until_closed();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Remains> waiting_;
  bool closed_ = false;
  pthread_t thread_{};
};

}  // namespace hapair::ccm::verbs
