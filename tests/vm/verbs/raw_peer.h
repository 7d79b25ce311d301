// A peer that keeps to no rule of hapair's: bare rdma-core, blocking. What it does to the other end's memory is up to
// the test.
#pragma once

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "ccm/fabric/verbs/handles.h"
#include "ccm/wire/connect_data.h"

namespace hapair::ccm {

class RawPeer {
 public:
  struct Addresses {
    std::string own;
    std::string partner;
    std::uint16_t port = 0;
  };
  // Shows `request` in its private data. The error is what the connection manager says.
  static std::expected<std::unique_ptr<RawPeer>, std::string> connect(const Addresses& addresses,
                                                                      std::span<const std::byte> request);
  ~RawPeer();
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  [[nodiscard]] const ConnectAnswer& answer() const { return answer_; }
  [[nodiscard]] std::span<std::byte> buffer() { return buffer_; }

  // With the first `bytes` of the buffer; what the completion says, nothing where none came in ten seconds.
  std::optional<ibv_wc_status> read(std::uint64_t address, std::uint32_t key, std::size_t bytes);
  std::optional<ibv_wc_status> write(std::uint64_t address, std::uint32_t key, std::size_t bytes);
  std::optional<ibv_wc_status> send(std::size_t bytes);

 private:
  RawPeer() = default;
  std::expected<void, std::string> make(const Addresses& addresses, std::span<const std::byte> request);
  std::optional<ibv_wc_status> carry_out(ibv_send_wr work, std::size_t bytes);

  alignas(4096) std::array<std::byte, 8192> buffer_{};
  verbs::Handle<rdma_cm_id> id_;
  verbs::Handle<ibv_mr> region_;
  ConnectAnswer answer_;
};

}  // namespace hapair::ccm
