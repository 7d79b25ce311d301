#include "ccm/fabric/verbs/device.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "ccm/base/check.h"
#include "ccm/base/fd.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm::verbs {
namespace {

constexpr std::size_t kSlots = OwnConnection::kQueueDepth;
constexpr int kCompletions = 256;              // own operations, and the flushed ones of connections before
constexpr std::uint8_t kReads = 16;            // outstanding, where the device can
constexpr std::uint32_t kPosted = 2 * kSlots;  // a write may take two work requests

bool set_nonblocking(int fd) { return ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) == 0; }

}  // namespace

void Device::FreeBuffers::operator()(std::byte* buffers) const { std::free(buffers); }

std::expected<std::shared_ptr<Device>, std::string> Device::open(Handle<rdma_cm_id> anchor, std::span<std::byte> status,
                                                                 std::span<std::byte> mailbox) {
  std::shared_ptr<Device> device(new Device);
  ibv_context* const context = anchor->verbs;
  device->anchor_ = std::move(anchor);
  ibv_device_attr attributes{};
  if (::ibv_query_device(context, &attributes) != 0) return std::unexpected(errno_text("ibv_query_device"));
  device->reads_ = static_cast<std::uint8_t>(std::clamp<int>(attributes.max_qp_rd_atom, 1, kReads));
  device->windows_ = (attributes.device_cap_flags & IBV_DEVICE_MEM_WINDOW_TYPE_2B) != 0 && attributes.max_mw > 0;
  ibv_port_attr port{};
  if (::ibv_query_port(context, device->anchor_->port_num, &port) != 0) {
    return std::unexpected(errno_text("ibv_query_port"));
  }
  device->infiniband_ = port.link_layer == IBV_LINK_LAYER_INFINIBAND;
  device->domain_.reset(::ibv_alloc_pd(context));
  if (!device->domain_) return std::unexpected(errno_text("ibv_alloc_pd"));
  device->channel_.reset(::ibv_create_comp_channel(context));
  if (!device->channel_) return std::unexpected(errno_text("ibv_create_comp_channel"));
  if (!set_nonblocking(device->channel_->fd) || !set_nonblocking(context->async_fd)) {
    return std::unexpected(errno_text("fcntl"));
  }
  device->completions_.reset(::ibv_create_cq(context, kCompletions, nullptr, device->channel_.get(), 0));
  if (!device->completions_ || ::ibv_req_notify_cq(device->completions_.get(), 0) != 0) {
    return std::unexpected(errno_text("ibv_create_cq"));
  }
  device->status_ = device->expose(status, 0, IBV_ACCESS_REMOTE_READ);
  // A device writes for the partner only where it may write for us.
  device->mailbox_ = device->expose(mailbox, IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_REMOTE_WRITE);
  device->buffers_.reset(static_cast<std::byte*>(std::aligned_alloc(kPageBytes, kSlots * kPageBytes)));
  HAPAIR_CHECK(device->buffers_ != nullptr, "memory for the buffers of operations");
  device->buffers_region_.reset(
      ::ibv_reg_mr(device->domain_.get(), device->buffers_.get(), kSlots * kPageBytes, IBV_ACCESS_LOCAL_WRITE));
  if (!device->status_ || !device->mailbox_ || !device->buffers_region_) {
    return std::unexpected(errno_text("ibv_reg_mr") + " (is the limit of locked memory, ulimit -l, at least 256 KiB?)");
  }
  return device;
}

Handle<ibv_mr> Device::expose(std::span<std::byte> page, unsigned int own_right, unsigned int remote_right) const {
  // With windows the region itself gives the peer nothing.
  const unsigned int rights = own_right | (windows_ ? unsigned{IBV_ACCESS_MW_BIND} : remote_right);
  return Handle<ibv_mr>(::ibv_reg_mr(domain_.get(), page.data(), page.size(), rights));
}

std::span<std::byte> Device::buffer(std::size_t slot) const { return {buffers_.get() + slot * kPageBytes, kPageBytes}; }

ibv_sge Device::piece(std::size_t slot, std::size_t bytes) const {
  return {reinterpret_cast<std::uint64_t>(buffer(slot).data()), static_cast<std::uint32_t>(bytes),
          buffers_region_->lkey};
}

ibv_qp_init_attr Device::pair_attributes() const {
  ibv_qp_init_attr attributes{};
  attributes.send_cq = attributes.recv_cq = completions_.get();
  attributes.qp_type = IBV_QPT_RC;
  attributes.cap = {
      .max_send_wr = kPosted, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1, .max_inline_data = 0};
  return attributes;
}

void Device::rearm() const {
  ibv_cq* queue = nullptr;
  void* context = nullptr;
  unsigned int told = 0;
  while (::ibv_get_cq_event(channel_.get(), &queue, &context) == 0) ++told;
  if (told > 0) ::ibv_ack_cq_events(completions_.get(), told);
  (void)::ibv_req_notify_cq(completions_.get(), 0);
}

std::optional<ibv_wc> Device::next_completion() const {
  ibv_wc completion{};
  if (::ibv_poll_cq(completions_.get(), 1, &completion) != 1) return std::nullopt;
  return completion;
}

bool Device::port_active() const {
  ibv_port_attr attributes{};
  return ::ibv_query_port(context(), anchor_->port_num, &attributes) == 0 && attributes.state == IBV_PORT_ACTIVE;
}

}  // namespace hapair::ccm::verbs
