#include "ccm/fabric/verbs/inbound.h"

#include <cerrno>
#include <utility>

#include "ccm/base/fd.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm::verbs {

// Where the connection manager makes the queue pair it also readies it, within rdma_accept(): too late for windows.
std::expected<void, std::string> Inbound::make_pair() {
  const Device& device = *parts_.device;
  Handle<ibv_qp>& pair = parts_.pair;
  ibv_qp_init_attr wanted = device.pair_attributes();
  pair.reset(::ibv_create_qp(device.domain(), &wanted));
  if (!pair) return std::unexpected(errno_text("ibv_create_qp"));
  for (const ibv_qp_state state : {IBV_QPS_INIT, IBV_QPS_RTR, IBV_QPS_RTS}) {
    ibv_qp_attr attributes{};
    attributes.qp_state = state;
    int mask = 0;
    if (::rdma_init_qp_attr(parts_.id.get(), &attributes, &mask) != 0)
      return std::unexpected(errno_text("rdma_init_qp_attr"));
    if (state == IBV_QPS_RTR) attributes.max_dest_rd_atomic = device.reads();
    if (const int error = ::ibv_modify_qp(pair.get(), &attributes, mask); error != 0) {
      errno = error;
      return std::unexpected(errno_text("ibv_modify_qp"));
    }
  }
  return {};
}

std::expected<std::uint32_t, std::string> Inbound::bind(Handle<ibv_mw>& window, const ibv_mr& region,
                                                        unsigned int right) {
  window.reset(::ibv_alloc_mw(parts_.device->domain(), IBV_MW_TYPE_2));
  if (!window) return std::unexpected(errno_text("ibv_alloc_mw"));
  const std::uint32_t key = ::ibv_inc_rkey(window->rkey);
  ibv_send_wr work{};
  work.wr_id = kBindWork;
  work.opcode = IBV_WR_BIND_MW;
  work.bind_mw.mw = window.get();
  work.bind_mw.rkey = key;
  work.bind_mw.bind_info.mr = const_cast<ibv_mr*>(&region);
  work.bind_mw.bind_info.addr = reinterpret_cast<std::uint64_t>(region.addr);
  work.bind_mw.bind_info.length = region.length;
  work.bind_mw.bind_info.mw_access_flags = right;
  ibv_send_wr* refused = nullptr;
  if (const int error = ::ibv_post_send(parts_.pair.get(), &work, &refused); error != 0) {
    errno = error;
    return std::unexpected(errno_text("ibv_post_send of a window"));
  }
  return key;
}

std::expected<Inbound, std::string> Inbound::accept(std::shared_ptr<Device> shared, Handle<rdma_cm_id> id,
                                                    Instant now) {
  const Device& device = *shared;
  Inbound made;
  made.parts_.device = std::move(shared);
  made.parts_.id = std::move(id);
  made.since_ = now;
  std::uint32_t status_key = device.status().rkey;
  std::uint32_t mailbox_key = device.mailbox().rkey;
  rdma_conn_param parameters{};
  if (device.windows()) {
    if (auto ready = made.make_pair(); !ready) return std::unexpected(ready.error());
    const auto status = made.bind(made.parts_.windows[0], device.status(), IBV_ACCESS_REMOTE_READ);
    if (!status) return std::unexpected(status.error());
    const auto mailbox = made.bind(made.parts_.windows[1], device.mailbox(), IBV_ACCESS_REMOTE_WRITE);
    if (!mailbox) return std::unexpected(mailbox.error());
    status_key = *status;
    mailbox_key = *mailbox;
    parameters.qp_num = made.parts_.pair->qp_num;
  } else {
    ibv_qp_init_attr wanted = device.pair_attributes();
    if (::rdma_create_qp(made.parts_.id.get(), device.domain(), &wanted) != 0) {
      return std::unexpected(errno_text("rdma_create_qp"));
    }
  }
  const ConnectBytes answer =
      encode(ConnectAnswer{ConnectService::early_channel,
                           {{{reinterpret_cast<std::uint64_t>(device.status().addr), kPageBytes, status_key},
                             {reinterpret_cast<std::uint64_t>(device.mailbox().addr), kPageBytes, mailbox_key}}}});
  parameters.private_data = answer.data();
  parameters.private_data_len = answer.size();
  parameters.responder_resources = parameters.initiator_depth = device.reads();
  parameters.retry_count = parameters.rnr_retry_count = 6;
  if (::rdma_accept(made.parts_.id.get(), &parameters) != 0) return std::unexpected(errno_text("rdma_accept"));
  return made;
}

}  // namespace hapair::ccm::verbs
