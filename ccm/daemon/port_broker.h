// Between the CCM's loop, its clients and the ports: it takes what clients ask for, feeds the session, and hands what
// the session says to the thread in which the ports live.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "ccm/base/fixed_ring.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/daemon/client_registry.h"
#include "ccm/daemon/rail.h"
#include "ccm/daemon/say.h"
#include "ccm/ports/port_carrier.h"
#include "ccm/session/session.h"
#include "ccm/wire/observation.h"

namespace hapair::ccm {

class PortBroker final : public PortRequests {
 public:
  // `most_bytes`: of all ports together. `carrier` has begun; it and `journal` outlive this, and so do `clients` once
  // set.
  PortBroker(const NodeName& node, const NodeName& partner, Incarnation own, std::uint64_t most_bytes,
             PortCarrier& carrier, Journal& journal = daemon_journal());
  void set_clients(PortClients& clients) { clients_ = &clients; }

  // PortRequests
  ClientRefusal request(const PortRequest& request, PortLimits& limits) override;
  void ended(std::uint8_t slot) override;

  // What the early channel brings: how each rail stands, and pages under the session's MAC.
  void take_rails(std::span<Rail> rails);
  // Does what is due. True: `block()` changed, and the partner must see it.
  bool turn(Instant now, std::span<const Rail> rails);
  [[nodiscard]] std::optional<Instant> next_wake() const { return session_.next_wake(); }
  [[nodiscard]] const SessionBlockLayout& block() const { return session_.block(); }
  void show(CcmSelfLayout& self) const;

 private:
  struct Held {
    std::uint64_t life = 0;  // 0: no ports
    std::array<char, 24> name{};
    PortWants wants;
    std::uint64_t bytes = 0;
    bool made = false;
  };

  void take_news(Instant now);
  void take(Instant now, const PortNews& news);
  void give(const PortCommand& command);
  void flush();
  [[nodiscard]] PortCommand command_of(const SessionCommand& command, std::span<const Rail> rails) const;
  void log(const SessionCommand& command, std::span<const Rail> rails);
  void log_session();

  NodeName node_;
  NodeName partner_;
  std::uint64_t most_bytes_;
  PortCarrier* carrier_;
  Journal* journal_;
  PortClients* clients_ = nullptr;
  Session session_;
  SessionState logged_ = SessionState::none;
  std::array<Held, kMaxClients> held_;
  std::array<std::array<bool, kMaxClientPorts>, kMaxClients> ready_{};  // as it was logged last
  FixedRing<PortCommand, 256> waiting_;                                 // the thread was behind
};

}  // namespace hapair::ccm
