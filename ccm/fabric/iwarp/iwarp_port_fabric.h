// Ports over iWARP. A listener of their own, beside the early channel's, because they belong to another thread. Errors
// as in iwarp_fabric.h; a request with a token that nobody has is `refused`.
//
// A connection that shows a port's token replaces the partner's earlier one of that port: only the partner was told the
// token, so it is the partner that connects anew. The wire is not encrypted: who can read it can show the token too.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "ccm/fabric/iwarp/iwarp_fabric.h"
#include "ccm/fabric/iwarp/port_end.h"
#include "ccm/fabric/port_fabric.h"

namespace hapair::ccm {

class IwarpPortFabric final : public PortFabric {
 public:
  // `service_port` is the ports' own. `retry_timeout`: without an answer, and without a byte moved.
  explicit IwarpPortFabric(IwarpSettings settings);
  ~IwarpPortFabric() override;

  std::expected<void, std::string> open() override;
  // Refused: more than kMaxPorts, or 4 GiB and more of memory.
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
  [[nodiscard]] int poll_fd() const override { return service_ ? service_->epoll.get() : -1; }
  [[nodiscard]] const PortFabricCounters& counters() const override { return counters_; }
  [[nodiscard]] std::string_view kind() const override { return "iwarp"; }

 private:
  static constexpr std::size_t kNewcomers = 8;  // accepted by TCP, and not let in yet

  [[nodiscard]] iwarp::PortEnd* find(PortId port);
  [[nodiscard]] iwarp::PortEnd::Way way_of(const iwarp::PortEnd& port);
  [[nodiscard]] std::uint64_t number_of(const iwarp::PortEnd& port) const;
  bool posted(bool done, PortId port);
  void take_ready(Instant now);
  void take_ready(Instant now, std::uint64_t number);
  void accept_all(Instant now);
  void work_newcomer(Instant now, std::size_t place);
  void let_in(std::size_t place);
  void work_partner(std::uint64_t number);
  void check_times(Instant now);

  IwarpSettings settings_;
  std::optional<iwarp::Service> service_;  // from open() on
  bool link_up_ = true;
  Instant next_link_check_;
  Instant polled_at_;
  std::array<std::unique_ptr<iwarp::PortEnd>, kMaxPorts> ports_;
  std::array<std::unique_ptr<iwarp::Connection>, kNewcomers> newcomers_;
  std::uint32_t next_stag_ = 0;
  std::size_t first_to_deliver_ = 0;
  PortFabricCounters counters_;
};

}  // namespace hapair::ccm
