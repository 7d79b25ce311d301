// Owners of what rdma-core gives. They are released in the order in which a device wants it where they are members in
// the opposite order: windows before queue pairs, these before regions, regions before the protection domain.
#pragma once

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include <memory>

namespace hapair::ccm::verbs {

struct Release {
  void operator()(rdma_event_channel* channel) const { ::rdma_destroy_event_channel(channel); }
  void operator()(rdma_cm_id* id) const {
    if (id->qp != nullptr) ::rdma_destroy_qp(id);
    (void)::rdma_destroy_id(id);
  }
  void operator()(ibv_pd* domain) const { (void)::ibv_dealloc_pd(domain); }
  void operator()(ibv_mr* region) const { (void)::ibv_dereg_mr(region); }
  void operator()(ibv_mw* window) const { (void)::ibv_dealloc_mw(window); }
  void operator()(ibv_qp* pair) const { (void)::ibv_destroy_qp(pair); }
  void operator()(ibv_cq* queue) const { (void)::ibv_destroy_cq(queue); }
  void operator()(ibv_comp_channel* channel) const { (void)::ibv_destroy_comp_channel(channel); }
};

template <class T>
using Handle = std::unique_ptr<T, Release>;

}  // namespace hapair::ccm::verbs
