// The cluster connection manager's one loop, turn by turn: it joins the pure handshake, the fabric, the status page and
// the clients. All state is here; nothing else runs in this process. After open() nothing allocates.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "ccm/base/time.h"
#include "ccm/config/pair_config.h"
#include "ccm/daemon/client_registry.h"
#include "ccm/daemon/phase_record.h"
#include "ccm/fabric/fabric.h"
#include "ccm/handshake/handshake.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

struct CcmIdentity {
  PairConfig config;
  Key key;
  Incarnation incarnation;
  BootId boot_id;
};

class Ccm final : public PhaseSetter {
 public:
  // `fabric` is open; it and the others outlive this.
  Ccm(const CcmIdentity& identity, Fabric& fabric, Random& random, PhaseRecord phase, const Clock& clock);

  ClientRegistry& clients() { return clients_; }

  // One turn: whatever is due at `now` is done. Returns when the next turn is due at the latest.
  Instant turn(Instant now);
  // Takes the node's page back: the partner reads what it would of a CCM that is not there.
  void withdraw();

  ClientRefusal set_phase(BootPhase phase) override;

 private:
  void beat(Instant now);
  void publish(Instant now);
  void publish_self();
  void poll_fabric(Instant now);
  void take(Instant now, const FabricEvent& event);
  void carry_out(Instant now, const HandshakeOutput& output);
  void observe(Instant now, ObservationKind kind, FabricError error, const PageJudgement* judgement);
  void log_refusals(const RefusalList& refusals);

  PairConfig config_;
  CcmIdentity identity_;
  Fabric* fabric_;
  const Clock* clock_;
  PhaseRecord phase_;
  Handshake handshake_;
  ClientRegistry clients_;
  StatusPublisher page_;
  CcmSelfLayout self_{};
  Instant next_beat_;
  Duration late_{};
  bool observed_since_beat_ = false;
  bool new_observations_ = false;
  std::uint64_t next_operation_ = 1;
  std::optional<Instant> read_posted_;
  bool read_given_up_ = false;  // its completion is no observation of its own
  // The partner's incarnation at which each kind was logged last; 0 while its page is not readable.
  std::array<std::optional<Incarnation>, kRefusalKinds> logged_refusals_;
  alignas(64) std::array<std::byte, kPageBytes> read_buffer_{};
  std::array<std::byte, kRecordBytes> write_buffer_{};
  ObservationLayout observation_{};
};

}  // namespace hapair::ccm
