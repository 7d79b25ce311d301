#include "tests/vm/verbs/raw_peer.h"

#include <chrono>
#include <cstring>
#include <thread>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "ccm/fabric/ip/endpoint.h"

namespace hapair::ccm {
namespace {

constexpr int kPatienceMs = 10'000;

}  // namespace

std::expected<void, std::string> RawPeer::make(const Addresses& addresses, std::span<const std::byte> request) {
  const auto own = Endpoint::make(addresses.own, 0);
  const auto partner = Endpoint::make(addresses.partner, addresses.port);
  rdma_cm_id* id = nullptr;
  // Without a channel its calls wait for their answers.
  if (!own || !partner || ::rdma_create_id(nullptr, &id, nullptr, RDMA_PS_TCP) != 0) {
    return std::unexpected(errno_text("rdma_create_id"));
  }
  id_.reset(id);
  if (::rdma_resolve_addr(id, const_cast<sockaddr*>(own->address()), const_cast<sockaddr*>(partner->address()),
                          kPatienceMs) != 0 ||
      ::rdma_resolve_route(id, kPatienceMs) != 0) {
    return std::unexpected(errno_text("rdma_resolve_addr or rdma_resolve_route"));
  }
  ibv_qp_init_attr wanted{};
  wanted.qp_type = IBV_QPT_RC;
  wanted.cap = {.max_send_wr = 4, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1, .max_inline_data = 0};
  if (::rdma_create_qp(id, nullptr, &wanted) != 0) return std::unexpected(errno_text("rdma_create_qp"));
  region_.reset(::ibv_reg_mr(id->pd, buffer_.data(), buffer_.size(), IBV_ACCESS_LOCAL_WRITE));
  if (!region_) return std::unexpected(errno_text("ibv_reg_mr"));
  rdma_conn_param parameters{};
  parameters.private_data = request.data();
  parameters.private_data_len = static_cast<std::uint8_t>(request.size());
  parameters.responder_resources = parameters.initiator_depth = 1;
  parameters.retry_count = 3;
  parameters.rnr_retry_count = 1;
  if (::rdma_connect(id, &parameters) != 0) return std::unexpected(errno_text("rdma_connect"));
  const rdma_conn_param& told = id->event->param.conn;
  const auto answer =
      parse_connect_answer(std::span(static_cast<const std::byte*>(told.private_data), told.private_data_len));
  if (!answer) return std::unexpected("the answer is " + std::string(text_of(answer.error())));
  answer_ = *answer;
  return {};
}

std::expected<std::unique_ptr<RawPeer>, std::string> RawPeer::connect(const Addresses& addresses,
                                                                      std::span<const std::byte> request) {
  std::unique_ptr<RawPeer> peer(new RawPeer);
  if (auto made = peer->make(addresses, request); !made) return std::unexpected(made.error());
  return peer;
}

// The queue pair goes before the region that it uses.
RawPeer::~RawPeer() {
  if (id_ && id_->qp != nullptr) ::rdma_destroy_qp(id_.get());
}

std::optional<ibv_wc_status> RawPeer::carry_out(ibv_send_wr work, std::size_t bytes) {
  ibv_sge piece{reinterpret_cast<std::uint64_t>(buffer_.data()), static_cast<std::uint32_t>(bytes), region_->lkey};
  work.sg_list = &piece;
  work.num_sge = 1;
  work.send_flags = IBV_SEND_SIGNALED;
  ibv_send_wr* refused = nullptr;
  if (::ibv_post_send(id_->qp, &work, &refused) != 0) return std::nullopt;
  const SystemClock clock;
  const Instant end = clock.now() + std::chrono::milliseconds(kPatienceMs);
  ibv_wc completion{};
  while (::ibv_poll_cq(id_->send_cq, 1, &completion) == 0) {
    if (clock.now() > end) return std::nullopt;
    std::this_thread::yield();
  }
  return completion.status;
}

std::optional<ibv_wc_status> RawPeer::read(std::uint64_t address, std::uint32_t key, std::size_t bytes) {
  ibv_send_wr work{};
  work.opcode = IBV_WR_RDMA_READ;
  work.wr.rdma.remote_addr = address;
  work.wr.rdma.rkey = key;
  return carry_out(work, bytes);
}

std::optional<ibv_wc_status> RawPeer::write(std::uint64_t address, std::uint32_t key, std::size_t bytes) {
  ibv_send_wr work{};
  work.opcode = IBV_WR_RDMA_WRITE;
  work.wr.rdma.remote_addr = address;
  work.wr.rdma.rkey = key;
  return carry_out(work, bytes);
}

std::optional<ibv_wc_status> RawPeer::send(std::size_t bytes) {
  ibv_send_wr work{};
  work.opcode = IBV_WR_SEND;
  return carry_out(work, bytes);
}

}  // namespace hapair::ccm
