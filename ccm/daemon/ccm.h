// The cluster connection manager's one loop, turn by turn: it joins the rails, the status pages, the clients and the
// session. All decisions are made here; beside it only the ports' own thread runs, which carries bytes. After open()
// nothing allocates but where a client comes, goes, or asks for ports.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ccm/base/time.h"
#include "ccm/config/pair_config.h"
#include "ccm/daemon/beat_grid.h"
#include "ccm/daemon/client_registry.h"
#include "ccm/daemon/network.h"
#include "ccm/daemon/phase_record.h"
#include "ccm/daemon/poison_keeper.h"
#include "ccm/daemon/port_broker.h"
#include "ccm/daemon/rail.h"
#include "ccm/daemon/watchdog_keeper.h"
#include "ccm/fabric/fabric.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

struct CcmIdentity {
  PairConfig config;
  Key key;
  Incarnation incarnation;
  BootId boot_id;
  std::uint8_t trouble = 0;  // what is known at the start: kTroubleNoKey
};

class Ccm final : public PhaseSetter {
 public:
  // `fabrics` are open; they and `networks` are one for each of the configuration's, in its order. `ports` has begun.
  // What is referred to outlives this.
  Ccm(const CcmIdentity& identity, std::span<Fabric* const> fabrics, std::vector<Network> networks, PortCarrier& ports,
      WatchdogKeeper& watchdog, const SysrqTrigger& sysrq, Random& random, PhaseRecord phase, const Clock& clock);

  // Serves clients at the configured socket; the first turn comes after it. Not real-time.
  std::expected<void, std::string> open(int epoll);
  ClientRegistry& clients() { return clients_; }

  // What woke the loop, before its next turn: a rail's descriptor is how one hears that the partner looks.
  void woken_by(int fd);
  // One turn: whatever is due at `now` is done. Returns when the next turn is due at the latest.
  Instant turn(Instant now);
  // Takes the last word of each client about the watchdog, and lets go of it.
  void end_watchdog();
  // Takes the node's pages back: the partner reads what it would of a CCM that is not there.
  void withdraw();

  ClientRefusal set_phase(BootPhase phase) override;
  [[nodiscard]] BootPhase phase() const { return phase_.phase(); }

 private:
  void publish(Instant now);
  void publish_self();
  [[nodiscard]] BeatNews news();

  PairConfig config_;
  std::uint8_t trouble_;
  const Clock* clock_;
  PhaseRecord phase_;
  PortBroker ports_;
  WatchdogKeeper* watchdog_;
  PoisonKeeper poison_;
  ClientRegistry clients_;
  std::vector<Rail> rails_;
  std::vector<Network> networks_;
  CcmSelfLayout self_{};
  std::uint64_t beat_ = 0;
  BeatGrid grid_;
  bool partner_looks_ = false;
};

}  // namespace hapair::ccm
