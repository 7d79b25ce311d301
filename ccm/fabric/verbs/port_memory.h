// What the device knows of one port: a protection domain of its own, so that no key of one port serves a connection of
// another; the exposed memory; buffers for what lies outside it; and its completions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "ccm/fabric/port_fabric.h"
#include "ccm/fabric/verbs/handles.h"

namespace hapair::ccm::verbs {

// The device as all ports of a fabric use it.
struct PortDevice {
  // `anchor` is bound to the device and keeps it (see device.h). The error is a sentence.
  static std::expected<std::shared_ptr<PortDevice>, std::string> open(Handle<rdma_cm_id> anchor);

  [[nodiscard]] ibv_context* context() const { return anchor->verbs; }

  Handle<rdma_cm_id> anchor;
  Handle<ibv_comp_channel> channel;
  std::uint8_t reads = 1;  // of a queue pair, outstanding in each direction
  bool windows = false;
  bool iwarp = false;
  bool infiniband_link = false;
};

class PortMemory {
 public:
  static constexpr std::size_t kPieceBytes = std::size_t{32} * 1024;
  static constexpr std::size_t kPieces = 32;  // in flight
  static constexpr std::size_t kReceives = PortFabric::kMaxReceives;

  static std::expected<std::shared_ptr<PortMemory>, std::string> make(std::shared_ptr<PortDevice> device,
                                                                      const PortExposure& exposure);

  [[nodiscard]] const PortDevice& device() const { return *device_; }
  [[nodiscard]] ibv_pd* domain() const { return domain_.get(); }
  [[nodiscard]] const ibv_mr* exposed() const { return exposed_.get(); }  // null: nothing is
  [[nodiscard]] const ibv_mr& control() const { return *control_region_; }
  [[nodiscard]] unsigned int partners_rights() const { return partners_rights_; }

  // A buffer of an operation's piece, and of a message to receive.
  [[nodiscard]] std::span<std::byte> piece(std::size_t slot) const;
  [[nodiscard]] std::span<std::byte> receive(std::size_t slot) const;
  [[nodiscard]] ibv_sge in_buffers(std::span<const std::byte> bytes) const;
  // Where the bytes lie within what the device knows (the exposed memory, and what the owner said that operations will
  // use): they need no copy. A piece read from the partner may go there only where that gives the partner no right that
  // it has not.
  [[nodiscard]] std::optional<ibv_sge> in_registered(std::span<const std::byte> bytes, bool as_target) const;

  [[nodiscard]] ibv_qp_init_attr pair_attributes() const;
  std::optional<ibv_wc> next_completion() const;
  [[nodiscard]] ibv_cq* completions() const { return completions_.get(); }

 private:
  PortMemory() = default;
  struct FreeBuffers {
    void operator()(std::byte* buffers) const;
  };

  std::shared_ptr<PortDevice> device_;
  std::unique_ptr<std::byte[], FreeBuffers> buffers_;
  unsigned int partners_rights_ = 0;
  Handle<ibv_pd> domain_;
  Handle<ibv_cq> completions_;
  Handle<ibv_mr> buffers_region_;
  Handle<ibv_mr> control_region_;
  Handle<ibv_mr> exposed_;
  std::array<Handle<ibv_mr>, 2> local_;
};

}  // namespace hapair::ccm::verbs
