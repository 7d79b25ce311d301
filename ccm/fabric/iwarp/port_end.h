// This node's end of one port over iWARP: its own connection, over which it reaches the partner's memory, and the
// partner's, which reaches the exposed memory and fills the receive buffers. Allocates only when it is made.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/fabric/iwarp/connection.h"
#include "ccm/fabric/port_book.h"

namespace hapair::ccm::iwarp {

// Of outgoing frames: many bytes for one header and one turn, within what a frame's length field can say.
inline constexpr std::size_t kPortPayload = std::size_t{60} * 1024;

class PortEnd {
 public:
  PortEnd(PortId id, const PortToken& token, const PortExposure& exposure, std::uint32_t first_stag);

  [[nodiscard]] PortId id() const { return book_.id(); }
  [[nodiscard]] bool is_token(const PortToken& shown) const { return !removed() && same_token(token_, shown); }

  // The own connection. Its sockets are told to `epoll` under `number`.
  struct Way {
    const Endpoint& local;
    const Endpoint& partner;
    bool crc;
    Duration retry_timeout;
    const Fd& epoll;
    std::uint64_t number;
  };
  void connect(Instant now, const PortToken& partner_token, const Way& way);
  void end_own(FabricError first, FabricError why);
  void drop();
  bool post_write(Instant now, OperationId id, std::uint64_t offset, std::span<const std::byte> from);
  bool post_read(Instant now, OperationId id, std::uint64_t offset, std::span<std::byte> into);
  bool post_send(Instant now, OperationId id, std::span<const std::byte> message);
  void flush(const Way& way);
  // What its socket has; and then whether it takes too long.
  void work_own(Instant now, const Way& way, bool link_up);
  void check_time(Instant now, Duration retry_timeout);
  [[nodiscard]] bool own_ended() const { return own_->phase() == Connection::Phase::ended; }

  // The partner's connection.
  bool post_receive(OperationId id, std::span<std::byte> into);
  [[nodiscard]] bool takes_partner() const { return book_.takes_partner(); }
  // In exchange for the connection of before, which is closed. The request has been read and not answered.
  void take_partner(std::unique_ptr<Connection>& requested);
  // The code with which it was ended, where it broke a rule.
  std::optional<TerminateCode> work_partner(const Fd& epoll, std::uint64_t number);

  // From here on only what was not polled yet is left of it.
  void remove();
  [[nodiscard]] bool removed() const { return book_.removed(); }
  [[nodiscard]] bool drained() const { return book_.drained(); }
  std::optional<PortEvent> next_event() { return book_.next_event(); }

 private:
  void collect(Instant now, bool link_up);
  [[nodiscard]] bool within(std::uint64_t offset, std::size_t bytes) const;
  bool posted(Instant now, OperationId id);
  [[nodiscard]] RemoteBuffer probe() const;

  PortBook book_;
  PortToken token_;
  alignas(8) std::array<std::byte, 8> control_{};  // what a partner may always read: nothing of interest
  std::array<Region, 2> regions_;
  std::unique_ptr<Connection> own_;
  std::unique_ptr<Connection> partners_;
  Instant progress_;         // of the own connection, while something is awaited
  std::uint64_t moved_ = 0;  // by the own connection, when it was last looked at
};

}  // namespace hapair::ccm::iwarp
