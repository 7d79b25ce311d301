// Fabric verbs: rdma-core (libibverbs, librdmacm) on an RNIC, RoCE or InfiniBand device, or the kernel's soft-RoCE and
// soft-iWARP. Each node serves its partner's connection, which reads and writes this node's pages without this node's
// software, and opens its own. A device that is not there yet, or goes away, is taken up when it appears.
//
// The pages lie at their predetermined addresses (plus kRailStride for each rail before), so that the remote address of
// the status page is a constant whatever the device makes of an address chosen for a registration.
//
// | what is found                                     | connect          | operation, and then the connection    |
// | no device, its port or our interface has no link  | link_down        | link_down, lost (link_down)           |
// | no answer within retry_timeout, or within the     | retry_exceeded   | retry_exceeded, lost (retry_exceeded) |
// |   device's own retries                            |                  |                                       |
// | nobody listens                                    | not_listening    |                                       |
// | the other end rejects, or speaks something else   | refused          |                                       |
// | it ends the connection                            | disconnected     | disconnected, lost (disconnected)     |
// | it dies: told by its kernel, or found by silence  |                  | disconnected or retry_exceeded        |
// | it has no such memory, or gives no right to it    |                  | remote_access, lost (remote_access);  |
// |                                                   |                  | on soft-iWARP: disconnected           |
//
// An attempt to connect may take ten times retry_timeout: it needs several messages of both kernels. What rdma-core
// allocates and asks of the kernel while a connection is made is the one exception from "nothing blocks or allocates"
// (fabric.h); a connection that is up costs neither.
//
// The device's asynchronous events are read here; the ports of the same device share its context and leave them alone.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "ccm/fabric/fabric.h"
#include "ccm/fabric/ip/endpoint.h"
#include "ccm/fabric/ip/local_link.h"
#include "ccm/fabric/own_connection.h"
#include "ccm/fabric/verbs/cm.h"
#include "ccm/fabric/verbs/device.h"
#include "ccm/fabric/verbs/handles.h"
#include "ccm/fabric/verbs/inbound.h"
#include "ccm/fabric/verbs/slow_calls.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

inline constexpr std::uint64_t kRailStride = 0x100'0000;

struct VerbsSettings {
  std::string address;  // numeric, IPv4 or IPv6, of the RDMA device's interface
  std::string partner_address;
  std::uint16_t service_port = 7480;
  Duration retry_timeout = std::chrono::milliseconds(50);
  // Of the queue pair: a try lasts 4.096 us x 2^exponent; retries 1 to 6 (7 means for ever on some devices).
  std::uint8_t ack_timeout_exponent = 10;
  std::uint8_t retry_count = 3;
  std::uint8_t rail = 0;  // its number among the rails of this node; the partner's need not be the same
};

struct VerbsCounters {
  std::uint64_t refused_address = 0;    // not the partner's
  std::uint64_t refused_malformed = 0;  // not hapair's request
  std::uint64_t refused_device = 0;     // the device could not make what the connection needs
  std::uint64_t replaced = 0;           // connections of the partner that gave way to a newer one
  std::uint64_t devices = 0;            // how often a device was taken up
};

class VerbsFabric final : public Fabric {
 public:
  explicit VerbsFabric(VerbsSettings settings);
  ~VerbsFabric() override;

  std::expected<void, std::string> open() override;
  [[nodiscard]] std::span<std::byte> status_memory() override { return pages_.status; }
  [[nodiscard]] std::span<std::byte> mailbox_memory() override { return pages_.mailbox; }

  void connect(Instant now) override;
  void drop(Instant now) override;
  bool post_read(Instant now, OperationId id, RemotePage page, std::size_t offset, std::span<std::byte> into) override;
  bool post_write(Instant now, OperationId id, RemotePage page, std::size_t offset,
                  std::span<const std::byte> from) override;
  std::size_t poll(Instant now, std::span<FabricEvent> into) override;
  [[nodiscard]] int poll_fd() const override { return epoll_.get(); }
  [[nodiscard]] Duration last_round_trip() const override { return own_.last_round_trip(); }
  [[nodiscard]] std::string_view kind() const override { return "verbs"; }
  [[nodiscard]] const VerbsCounters& counters() const { return counters_; }
  [[nodiscard]] std::string_view device() const override {
    return device_ ? std::string_view(::ibv_get_device_name(device_->context()->device)) : settings_.address;
  }
  [[nodiscard]] std::uint64_t turned_away() const override {
    return counters_.refused_address + counters_.refused_malformed + counters_.refused_device;
  }
  [[nodiscard]] std::string_view trouble() const override { return trouble_; }
  [[nodiscard]] std::uint64_t remote_address(RemotePage page) const override {
    return answer_.regions.at(page == RemotePage::status ? 0 : 1).address;
  }

 private:
  // The two pages, mapped where they are expected.
  struct Pages {
    std::span<std::byte> status;
    std::span<std::byte> mailbox;
    Pages() = default;
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    ~Pages();
  };
  struct Read {
    std::span<std::byte> into;  // empty: a write's
    std::size_t slot = 0;
  };

  static std::expected<void, std::string> map_page(std::uint64_t address, std::span<std::byte>& page);
  void look_for_device(Instant now);
  std::expected<void, std::string> take_up_device();
  void lose_device(const std::string& why);
  void watch(int fd) const;

  void take_ready(Instant now);
  void take_cm_events(Instant now);
  void take_own_event(const verbs::CmEvent& event);
  void take_request(Instant now, const verbs::CmEvent& event);
  void take_inbound_event(const verbs::CmEvent& event);
  void take_async_events();
  void take_completions(Instant now);
  void take_bound(const ibv_wc& completion);
  void check_times(Instant now);

  void begin_route();
  void begin_connection();
  void send_request();
  void look_after_request();
  void finish_connection(const verbs::CmEvent& event);
  void end_own(FabricError why);
  void bury_outbound();
  void bury(std::optional<verbs::Inbound>& inbound);
  [[nodiscard]] bool link_up();
  bool post(Instant now, OperationId id, ibv_send_wr& work, std::size_t bytes, std::span<std::byte> into);
  [[nodiscard]] ibv_send_wr work_on(RemotePage page, std::size_t offset) const;

  static constexpr std::size_t kInbound = 4;

  VerbsSettings settings_;
  std::optional<Endpoint> local_;
  std::optional<Endpoint> partner_;
  std::optional<LocalLink> interface_;
  Pages pages_;
  Fd epoll_;
  Instant next_device_look_;
  Instant next_link_check_;
  Instant polled_at_;
  bool port_down_ = false;
  std::string trouble_;

  verbs::Handle<rdma_event_channel> channel_;
  verbs::SlowCalls slow_;
  std::shared_ptr<verbs::Device> device_;
  verbs::Handle<rdma_cm_id> listener_;
  std::array<std::optional<verbs::Inbound>, kInbound> inbound_;

  OwnConnection own_;
  verbs::Handle<rdma_cm_id> outbound_;
  bool request_waits_ = false;  // until the call for an earlier attempt has returned
  ConnectAnswer answer_;
  std::uint64_t generation_ = 0;  // of own connections, in the numbers of their work requests
  std::uint64_t next_work_ = 0;
  FixedRing<Read, OwnConnection::kQueueDepth> reads_;  // as own_'s operations
  VerbsCounters counters_;
};

}  // namespace hapair::ccm
