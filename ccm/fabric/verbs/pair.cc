#include "ccm/fabric/verbs/pair.h"

#include <cerrno>

#include "ccm/base/fd.h"

namespace hapair::ccm::verbs {
namespace {

constexpr int kEthernetAttributes = 0xe0'0000;  // bits 21 to 23: addresses and VLAN

}  // namespace

std::expected<Handle<ibv_qp>, std::string> make_ready_pair(rdma_cm_id& id, const PairNeeds& needs) {
  ibv_qp_init_attr wanted = needs.attributes;
  Handle<ibv_qp> pair(::ibv_create_qp(needs.domain, &wanted));
  if (!pair) return std::unexpected(errno_text("ibv_create_qp"));
  for (const ibv_qp_state state : {IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS}) {
    ibv_qp_attr attributes{};
    attributes.qp_state = state;
    int mask = 0;
    if (::rdma_init_qp_attr(&id, &attributes, &mask) != 0) return std::unexpected(errno_text("rdma_init_qp_attr"));
    if (state == IBV_QPS_RTR) attributes.max_dest_rd_atomic = needs.reads;
    // As librdmacm does for queue pairs that it makes: on InfiniBand the kernel also names attributes of Ethernet.
    if (state == IBV_QPS_RTR && needs.infiniband_link) mask &= ~kEthernetAttributes;
    if (const int error = ::ibv_modify_qp(pair.get(), &attributes, mask); error != 0) {
      errno = error;
      return std::unexpected(errno_text("ibv_modify_qp"));
    }
  }
  return pair;
}

std::expected<std::uint32_t, std::string> bind_window(ibv_qp& pair, const ibv_mr& region, unsigned int right,
                                                      Handle<ibv_mw>& window) {
  window.reset(::ibv_alloc_mw(region.pd, IBV_MW_TYPE_2));
  if (!window) return std::unexpected(errno_text("ibv_alloc_mw"));
  const std::uint32_t key = ::ibv_inc_rkey(window->rkey);
  ibv_send_wr work{};
  work.wr_id = kBindWork;
  work.opcode = IBV_WR_BIND_MW;
  work.send_flags = IBV_SEND_SIGNALED;
  work.bind_mw.mw = window.get();
  work.bind_mw.rkey = key;
  work.bind_mw.bind_info.mr = const_cast<ibv_mr*>(&region);
  work.bind_mw.bind_info.addr = reinterpret_cast<std::uint64_t>(region.addr);
  work.bind_mw.bind_info.length = region.length;
  work.bind_mw.bind_info.mw_access_flags = right;
  ibv_send_wr* refused = nullptr;
  if (const int error = ::ibv_post_send(&pair, &work, &refused); error != 0) {
    errno = error;
    return std::unexpected(errno_text("ibv_post_send of a window"));
  }
  return key;
}

}  // namespace hapair::ccm::verbs
