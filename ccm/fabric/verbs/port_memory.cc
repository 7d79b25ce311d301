#include "ccm/fabric/verbs/port_memory.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "ccm/base/check.h"
#include "ccm/base/fd.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm::verbs {
namespace {

constexpr int kReads = 16;
constexpr std::size_t kPiecesBytes = PortMemory::kPieces * PortMemory::kPieceBytes;
constexpr std::size_t kReceivesBytes = PortMemory::kReceives * PortFabric::kMaxMessage;
constexpr std::size_t kControlBytes = kPageBytes;  // zeros, which a partner may always read: a page of their own
constexpr std::size_t kBuffersBytes = kPiecesBytes + kReceivesBytes + kControlBytes;
// Own pieces (on iWARP with a probe each), received messages, and the flushed ones of the connections before.
constexpr int kCompletions = 2 * (2 * PortMemory::kPieces + PortMemory::kReceives) + 64;

bool lies_within(std::span<const std::byte> bytes, const ibv_mr& region) {
  const auto* const first = static_cast<const std::byte*>(region.addr);
  return bytes.data() >= first && bytes.size() <= region.length &&
         static_cast<std::size_t>(bytes.data() - first) <= region.length - bytes.size();
}

}  // namespace

std::expected<std::shared_ptr<PortDevice>, std::string> PortDevice::open(Handle<rdma_cm_id> anchor) {
  auto device = std::make_shared<PortDevice>();
  ibv_context* const context = anchor->verbs;
  device->anchor = std::move(anchor);
  ibv_device_attr attributes{};
  ibv_port_attr port{};
  if (::ibv_query_device(context, &attributes) != 0 ||
      ::ibv_query_port(context, device->anchor->port_num, &port) != 0) {
    return std::unexpected(errno_text("ibv_query_device or ibv_query_port"));
  }
  device->reads = static_cast<std::uint8_t>(std::clamp(attributes.max_qp_rd_atom, 1, kReads));
  device->windows = (attributes.device_cap_flags & IBV_DEVICE_MEM_WINDOW_TYPE_2B) != 0 && attributes.max_mw > 0;
  device->iwarp = context->device->transport_type == IBV_TRANSPORT_IWARP;
  device->infiniband_link = port.link_layer == IBV_LINK_LAYER_INFINIBAND;
  device->channel.reset(::ibv_create_comp_channel(context));
  if (!device->channel) return std::unexpected(errno_text("ibv_create_comp_channel"));
  (void)::fcntl(device->channel->fd, F_SETFL, ::fcntl(device->channel->fd, F_GETFL) | O_NONBLOCK);
  return device;
}

void PortMemory::FreeBuffers::operator()(std::byte* buffers) const { std::free(buffers); }

std::expected<std::shared_ptr<PortMemory>, std::string> PortMemory::make(std::shared_ptr<PortDevice> device,
                                                                         const PortExposure& exposure) {
  std::shared_ptr<PortMemory> made(new PortMemory);
  made->device_ = std::move(device);
  const PortDevice& of = *made->device_;
  made->domain_.reset(::ibv_alloc_pd(of.context()));
  if (!made->domain_) return std::unexpected(errno_text("ibv_alloc_pd"));
  made->completions_.reset(::ibv_create_cq(of.context(), kCompletions, nullptr, of.channel.get(), 0));
  if (!made->completions_ || ::ibv_req_notify_cq(made->completions_.get(), 0) != 0) {
    return std::unexpected(errno_text("ibv_create_cq"));
  }
  made->buffers_.reset(static_cast<std::byte*>(std::aligned_alloc(kPageBytes, kBuffersBytes)));
  HAPAIR_CHECK(made->buffers_ != nullptr, "memory for the buffers of a port");
  std::byte* const control = made->buffers_.get() + kPiecesBytes + kReceivesBytes;
  std::fill_n(control, kControlBytes, std::byte{0});
  // On iWARP what a read brings is a write of the partner's, so the device wants that right.
  const unsigned int target = IBV_ACCESS_LOCAL_WRITE | (of.iwarp ? unsigned{IBV_ACCESS_REMOTE_WRITE} : 0U);
  made->buffers_region_.reset(
      ::ibv_reg_mr(made->domain_.get(), made->buffers_.get(), kPiecesBytes + kReceivesBytes, target));
  made->control_region_.reset(::ibv_reg_mr(made->domain_.get(), control, kControlBytes, IBV_ACCESS_REMOTE_READ));
  made->partners_rights_ = (exposure.partner_reads ? unsigned{IBV_ACCESS_REMOTE_READ} : 0U) |
                           (exposure.partner_writes ? unsigned{IBV_ACCESS_REMOTE_WRITE} : 0U);
  if (!exposure.memory.empty()) {
    const unsigned int remote = of.windows ? unsigned{IBV_ACCESS_MW_BIND} : made->partners_rights_;
    made->exposed_.reset(::ibv_reg_mr(made->domain_.get(), exposure.memory.data(), exposure.memory.size(),
                                      IBV_ACCESS_LOCAL_WRITE | remote));
  }
  bool local = true;
  for (std::size_t i = 0; i < exposure.local.size(); ++i) {
    const std::span<std::byte> bytes = exposure.local.at(i);
    if (bytes.empty()) continue;
    made->local_.at(i).reset(::ibv_reg_mr(made->domain_.get(), bytes.data(), bytes.size(), IBV_ACCESS_LOCAL_WRITE));
    local = local && made->local_.at(i);
  }
  if (!made->buffers_region_ || !made->control_region_ || (!exposure.memory.empty() && !made->exposed_) || !local) {
    return std::unexpected(errno_text("ibv_reg_mr") + " (is the limit of locked memory, ulimit -l, high enough?)");
  }
  return made;
}

std::span<std::byte> PortMemory::piece(std::size_t slot) const {
  return {buffers_.get() + slot * kPieceBytes, kPieceBytes};
}

std::span<std::byte> PortMemory::receive(std::size_t slot) const {
  return {buffers_.get() + kPiecesBytes + slot * PortFabric::kMaxMessage, PortFabric::kMaxMessage};
}

ibv_sge PortMemory::in_buffers(std::span<const std::byte> bytes) const {
  return {reinterpret_cast<std::uint64_t>(bytes.data()), static_cast<std::uint32_t>(bytes.size()),
          buffers_region_->lkey};
}

std::optional<ibv_sge> PortMemory::in_registered(std::span<const std::byte> bytes, bool as_target) const {
  if (as_target && device_->iwarp) return std::nullopt;
  for (const ibv_mr* const region : {exposed_.get(), local_[0].get(), local_[1].get()}) {
    if (region == nullptr || !lies_within(bytes, *region)) continue;
    return ibv_sge{reinterpret_cast<std::uint64_t>(bytes.data()), static_cast<std::uint32_t>(bytes.size()),
                   region->lkey};
  }
  return std::nullopt;
}

ibv_qp_init_attr PortMemory::pair_attributes() const {
  ibv_qp_init_attr attributes{};
  attributes.send_cq = attributes.recv_cq = completions_.get();
  attributes.qp_type = IBV_QPT_RC;
  attributes.cap = {
      .max_send_wr = 2 * kPieces, .max_recv_wr = kReceives, .max_send_sge = 1, .max_recv_sge = 1, .max_inline_data = 0};
  return attributes;
}

std::optional<ibv_wc> PortMemory::next_completion() const {
  ibv_wc completion{};
  if (::ibv_poll_cq(completions_.get(), 1, &completion) != 1) return std::nullopt;
  return completion;
}

}  // namespace hapair::ccm::verbs
