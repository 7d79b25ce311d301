#include "ccm/fabric/verbs/inbound.h"

#include <utility>

#include "ccm/base/fd.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm::verbs {

Inbound::Inbound(std::shared_ptr<Device> device, Handle<rdma_cm_id> id, Instant now) : since_(now) {
  parts_.device = device;
  device_ = std::move(device);
  parts_.id = std::move(id);
}

std::expected<void, std::string> Inbound::begin() {
  const Device& device = *device_;
  status_key_ = device.status().rkey;
  mailbox_key_ = device.mailbox().rkey;
  if (!device.windows()) {
    ibv_qp_init_attr wanted = device.pair_attributes();
    if (::rdma_create_qp(parts_.id.get(), device.domain(), &wanted) != 0) {
      return std::unexpected(errno_text("rdma_create_qp"));
    }
    return answer_when_bound();
  }
  auto pair = make_ready_pair(*parts_.id,
                              {device.domain(), device.pair_attributes(), device.reads(), device.is_infiniband_link()});
  if (!pair) return std::unexpected(pair.error());
  parts_.pair = std::move(*pair);
  const auto status = bind_window(*parts_.pair, device.status(), IBV_ACCESS_REMOTE_READ, parts_.windows[0]);
  if (!status) return std::unexpected(status.error());
  const auto mailbox = bind_window(*parts_.pair, device.mailbox(), IBV_ACCESS_REMOTE_WRITE, parts_.windows[1]);
  if (!mailbox) return std::unexpected(mailbox.error());
  to_bind_ = 2;
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
  const Device& device = *device_;
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
