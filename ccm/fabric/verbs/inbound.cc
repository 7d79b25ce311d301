#include "ccm/fabric/verbs/inbound.h"

#include <cerrno>
#include <utility>

#include "ccm/base/fd.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm::verbs {

namespace {

constexpr int kEthernetAttributes = 0xe0'0000;  // bits 21 to 23: addresses and VLAN

}  // namespace

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
    // As librdmacm does for queue pairs that it makes: on InfiniBand the kernel also names attributes of Ethernet.
    if (state == IBV_QPS_RTR && device.is_infiniband_link()) mask &= ~kEthernetAttributes;
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
  work.send_flags = IBV_SEND_SIGNALED;
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
  ++to_bind_;
  return key;
}

Inbound::Inbound(std::shared_ptr<Device> device, Handle<rdma_cm_id> id, Instant now) : since_(now) {
  parts_.device = std::move(device);
  parts_.id = std::move(id);
}

std::expected<void, std::string> Inbound::begin() {
  const Device& device = *parts_.device;
  status_key_ = device.status().rkey;
  mailbox_key_ = device.mailbox().rkey;
  if (!device.windows()) {
    ibv_qp_init_attr wanted = device.pair_attributes();
    if (::rdma_create_qp(parts_.id.get(), device.domain(), &wanted) != 0) {
      return std::unexpected(errno_text("rdma_create_qp"));
    }
    return answer_when_bound();
  }
  if (auto ready = make_pair(); !ready) return ready;
  const auto status = bind(parts_.windows[0], device.status(), IBV_ACCESS_REMOTE_READ);
  if (!status) return std::unexpected(status.error());
  const auto mailbox = bind(parts_.windows[1], device.mailbox(), IBV_ACCESS_REMOTE_WRITE);
  if (!mailbox) return std::unexpected(mailbox.error());
  status_key_ = *status;
  mailbox_key_ = *mailbox;
  return {};
}

bool Inbound::take_bound(const ibv_wc& completion) {
  if (!parts_.pair || completion.qp_num != parts_.pair->qp_num) return false;
  if (completion.status == IBV_WC_SUCCESS && to_bind_ > 0) --to_bind_;
  return true;
}

std::expected<void, std::string> Inbound::answer_when_bound() {
  if (answered_ || to_bind_ > 0) return {};
  const Device& device = *parts_.device;
  const ConnectBytes answer =
      encode(ConnectAnswer{ConnectService::early_channel,
                           {{{reinterpret_cast<std::uint64_t>(device.status().addr), kPageBytes, status_key_},
                             {reinterpret_cast<std::uint64_t>(device.mailbox().addr), kPageBytes, mailbox_key_}}}});
  rdma_conn_param parameters{};
  if (parts_.pair) parameters.qp_num = parts_.pair->qp_num;
  parameters.private_data = answer.data();
  parameters.private_data_len = answer.size();
  parameters.responder_resources = parameters.initiator_depth = device.reads();
  parameters.retry_count = parameters.rnr_retry_count = 6;
  if (::rdma_accept(parts_.id.get(), &parameters) != 0) return std::unexpected(errno_text("rdma_accept"));
  answered_ = true;
  return {};
}

}  // namespace hapair::ccm::verbs
