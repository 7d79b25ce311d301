// One RDMA device as a rail uses it: one protection domain for the peer, the two pages, the buffers of own operations,
// and one completion queue. Made when the device appears, gone with it.
//
// The device's context is the connection manager's, one for all rails of this process that use the device. It closes it
// with the last identifier once the device was removed: hence the anchor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "ccm/fabric/own_connection.h"
#include "ccm/fabric/verbs/handles.h"
#include "ccm/wire/connect_data.h"

namespace hapair::ccm::verbs {

// The pages as the device exposes them: memory windows of type 2 where it has them (IBTA 10.6.7.2), bound to the one
// queue pair that may use them; where not, the registrations themselves, which every queue pair of the domain can use.
class Device {
 public:
  // `anchor` is bound to the device. The pages lie at their predetermined addresses. The error is a sentence.
  static std::expected<std::shared_ptr<Device>, std::string> open(Handle<rdma_cm_id> anchor,
                                                                  std::span<std::byte> status,
                                                                  std::span<std::byte> mailbox);

  [[nodiscard]] ibv_context* context() const { return anchor_->verbs; }
  [[nodiscard]] ibv_pd* domain() const { return domain_.get(); }
  [[nodiscard]] ibv_cq* completions() const { return completions_.get(); }
  [[nodiscard]] int completion_fd() const { return channel_->fd; }
  [[nodiscard]] int async_fd() const { return context()->async_fd; }
  [[nodiscard]] const ibv_mr& status() const { return *status_; }
  [[nodiscard]] const ibv_mr& mailbox() const { return *mailbox_; }
  [[nodiscard]] bool windows() const { return windows_; }
  // TCP's acknowledgement says nothing about placement there.
  [[nodiscard]] bool is_iwarp() const { return context()->device->transport_type == IBV_TRANSPORT_IWARP; }
  // How many reads a queue pair may have outstanding, in each direction.
  [[nodiscard]] std::uint8_t reads() const { return reads_; }

  // Memory of the operation in place `slot`, a page long.
  [[nodiscard]] std::span<std::byte> buffer(std::size_t slot) const;
  [[nodiscard]] ibv_sge piece(std::size_t slot, std::size_t bytes) const;
  [[nodiscard]] ibv_qp_init_attr pair_attributes() const;

  // Consumes what the completion channel has told, and asks to be told again.
  void rearm() const;
  std::optional<ibv_wc> next_completion() const;

  // The port, as the device itself says; true where its state is active.
  [[nodiscard]] bool port_active() const;
  [[nodiscard]] bool is_infiniband_link() const { return infiniband_; }

 private:
  Device() = default;
  [[nodiscard]] Handle<ibv_mr> expose(std::span<std::byte> page, unsigned int own_right,
                                      unsigned int remote_right) const;

  struct FreeBuffers {
    void operator()(std::byte* buffers) const;
  };

  Handle<rdma_cm_id> anchor_;  // released last
  std::uint8_t reads_ = 1;
  bool infiniband_ = false;
  bool windows_ = false;
  std::unique_ptr<std::byte[], FreeBuffers> buffers_;
  Handle<ibv_pd> domain_;
  Handle<ibv_comp_channel> channel_;
  Handle<ibv_cq> completions_;
  Handle<ibv_mr> status_;
  Handle<ibv_mr> mailbox_;
  Handle<ibv_mr> buffers_region_;
};

}  // namespace hapair::ccm::verbs
