// The queue pair of a connection that the partner opened, and the windows onto memory that are bound to it.
#pragma once

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include <cstdint>
#include <expected>
#include <string>

#include "ccm/fabric/verbs/handles.h"

namespace hapair::ccm::verbs {

// Work requests that bind windows; no operation has this number.
inline constexpr std::uint64_t kBindWork = ~std::uint64_t{0};

struct PairNeeds {
  ibv_pd* domain = nullptr;
  ibv_qp_init_attr attributes{};
  std::uint8_t reads = 1;  // of the partner's, outstanding
  bool infiniband_link = false;
};

// Ready to send, for the request that `id` is. Where the connection manager makes the queue pair it readies it only
// within rdma_accept(): too late for windows. The errors are sentences.
std::expected<Handle<ibv_qp>, std::string> make_ready_pair(rdma_cm_id& id, const PairNeeds& needs);

// A window of type 2 (IBTA 10.6.7.2) onto all of `region`, which only `pair` can use. Its key; it holds once the work
// request kBindWork has completed.
std::expected<std::uint32_t, std::string> bind_window(ibv_qp& pair, const ibv_mr& region, unsigned int right,
                                                      Handle<ibv_mw>& window);

}  // namespace hapair::ccm::verbs
