// Ports over verbs. A listener, event channel and thread for slow calls of their own, beside the early channel's,
// because they belong to another thread; only the device's context is shared within rdma-core. Errors as in
// verbs_fabric.h; a request with a token that nobody has is `refused`. Each port has a protection domain of its own;
// the exposed memory is reached through a window that is bound to the partner's queue pair, where the device has
// windows of type 2.
//
// Operations on memory that add() was told of need no copy; any other goes through buffers that are registered once.
//
// A connection that shows a port's token replaces the partner's earlier one of that port: only the partner was told the
// token, so it is the partner that connects anew.
//
// On soft-iWARP a missing right is told as a lost connection, and the kernel (6.1) does not look at the right to read.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "ccm/base/fd.h"
#include "ccm/fabric/ip/endpoint.h"
#include "ccm/fabric/ip/local_link.h"
#include "ccm/fabric/port_fabric.h"
#include "ccm/fabric/verbs/cm.h"
#include "ccm/fabric/verbs/handles.h"
#include "ccm/fabric/verbs/port_end.h"
#include "ccm/fabric/verbs/slow_calls.h"
#include "ccm/fabric/verbs/verbs_fabric.h"

namespace hapair::ccm {

class VerbsPortFabric final : public PortFabric {
 public:
  // `service_port` is the ports' own. `retry_timeout`: without an answer, and without a piece moved.
  explicit VerbsPortFabric(VerbsSettings settings);
  ~VerbsPortFabric() override;

  // A device that is not there yet is taken up when it is.
  std::expected<void, std::string> open() override;
  // Refused: more than kMaxPorts, 4 GiB and more of memory, memory that the device does not take.
  std::expected<void, std::string> add(PortId port, const PortToken& own_token, const PortExposure& exposure) override;
  void remove(Instant now, PortId port) override;
  void connect(Instant now, PortId port, const PortToken& partner_token) override;
  void drop(Instant now, PortId port) override;
  bool post_write(Instant now, PortId port, OperationId id, std::uint64_t offset,
                  std::span<const std::byte> from) override;
  bool post_read(Instant now, PortId port, OperationId id, std::uint64_t offset, std::span<std::byte> into) override;
  bool post_send(Instant now, PortId port, OperationId id, std::span<const std::byte> message) override;
  bool post_receive(PortId port, OperationId id, std::span<std::byte> into) override;
  std::size_t poll(Instant now, std::span<PortEvent> into) override;
  [[nodiscard]] int poll_fd() const override { return epoll_.get(); }
  [[nodiscard]] const PortFabricCounters& counters() const override { return counters_; }
  [[nodiscard]] std::string_view kind() const override { return "verbs"; }
  // Why there is no device; empty while there is one.
  [[nodiscard]] std::string_view trouble() const { return trouble_; }

 private:
  [[nodiscard]] verbs::PortEnd* find(PortId port);
  [[nodiscard]] verbs::PortEnd::Way way();
  void look_at_link();
  std::expected<void, std::string> take_up_device();
  void lose_device(const std::string& why);
  void look_for_device(Instant now);
  void watch(int fd) const;
  void rearm() const;
  void take_ready(Instant now);
  void take_cm_events(Instant now);
  void take_request(Instant now, const verbs::CmEvent& event);
  void check_times(Instant now);
  std::size_t deliver(std::span<PortEvent> into);

  VerbsSettings settings_;
  std::optional<Endpoint> local_;
  std::optional<Endpoint> partner_;
  std::optional<LocalLink> interface_;
  bool link_up_ = true;
  Instant next_link_check_;
  Instant next_device_look_;
  Instant polled_at_;
  std::string trouble_;
  Fd epoll_;
  verbs::Handle<rdma_event_channel> channel_;
  verbs::SlowCalls slow_;
  std::shared_ptr<verbs::PortDevice> device_;
  verbs::Handle<rdma_cm_id> listener_;
  std::array<std::unique_ptr<verbs::PortEnd>, kMaxPorts> ports_;
  std::size_t first_to_deliver_ = 0;
  PortFabricCounters counters_;
};

}  // namespace hapair::ccm
