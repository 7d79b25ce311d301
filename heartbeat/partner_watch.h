// The pure judge of one partner: observations in, assessments out. It holds a detector for each thing that must keep
// moving (the page's answers, the CCM's beat, the agent's beat, the beats of each IP network) and applies the verdict
// table of DESIGN.md, section 4.
//
// Only what the partner proved counts for it: a boot id is taken from a page that carries the session's MAC or the
// handshake's proof, a phase from one with the session's MAC alone. A page without either can show that memory answers
// and that something beats, no more. A beat from a network was authenticated by the CCM; it shows that the partner runs
// while its rails are silent, and moves no pool.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/beat_datagram.h"
#include "ccm/wire/observation.h"
#include "ccm/wire/status_page.h"
#include "heartbeat/client_watch.h"
#include "heartbeat/detector.h"
#include "heartbeat/sighting.h"
#include "heartbeat/verdict.h"

namespace hapair::heartbeat {

// One look at the partner, as the CCM made it.
struct Observation {
  Instant when;
  RailId rail;        // of all kinds but a beat
  NetworkId network;  // of a beat
  ccm::ObservationKind kind = ccm::ObservationKind::pending;
  ccm::FabricError error = ccm::FabricError::none;  // of Kind::failed
  ccm::PageProof proof = ccm::PageProof::none;
  std::optional<ccm::StatusView> page;  // of Kind::page
  std::optional<ccm::BeatView> beat;    // of Kind::beat
};

struct WatchLimits {
  Duration pace{};         // between two looks
  Duration floor{};        // of the limits for the rail and the CCM's beat
  Duration agent_floor{};  // of the limit for the agent's beat, which is three of the pace that it tells at the least
  Duration ceiling{};
  // How long the partner may stand in each phase (by its number) before that is told; zero: as long as it likes.
  std::array<Duration, ccm::kBootPhases> phase_bounds{};
  // Between two beats over each network, by its number; zero: there is no such network.
  std::array<Duration, ccm::kMaxNetworks> network_paces{};
  // How long a beat may be under way until this node has it: over a disk, until it is written and read; over an IP
  // network zero.
  std::array<Duration, ccm::kMaxNetworks> network_lags{};
  // What evidence calls them, by their numbers; empty: by the number.
  std::array<std::string, ccm::kMaxRails> rail_names{};        // "ib0"
  std::array<std::string, ccm::kMaxNetworks> network_names{};  // "network mgmt", "disk mailbox"
};

// How long it takes at the most until beats that have ended are seen to have ended: of the network with this number.
Duration network_ceiling(const WatchLimits& limits, std::size_t network);
// Likewise at the least.
Duration network_floor(const WatchLimits& limits, std::size_t network);

class PartnerWatch {
 public:
  explicit PartnerWatch(const WatchLimits& limits);

  // Each returns the new assessment where the verdict changed.
  std::optional<Assessment> observe(const Observation& seen);
  // Our own CCM stopped telling us anything: from here on we know nothing, and blame nobody.
  std::optional<Assessment> own_ccm_lost(Instant now, std::string why);
  // This node is strained: from now on silence must last so many times the usual limit, up to the ceiling.
  void widen(int factor);

  [[nodiscard]] const Assessment& assessment() const { return current_; }
  // The last page that was proved to be the partner's.
  [[nodiscard]] const std::optional<ccm::StatusView>& proven_page() const { return proven_; }
  // Where in which life of its kernel it was last seen, by such a page.
  [[nodiscard]] const std::optional<Sighting>& sighting() const { return sighting_; }
  [[nodiscard]] double suspicion() const;
  [[nodiscard]] const Detector& rail_detector() const { return rail_; }
  [[nodiscard]] const Detector& ccm_detector() const { return ccm_; }
  [[nodiscard]] const Detector& agent_detector() const { return agent_; }
  [[nodiscard]] const ClientWatch& clients() const { return clients_; }
  // Of a network that is configured; nothing of another.
  [[nodiscard]] const Detector* network_detector(NetworkId network) const;

 private:
  // What is known of one rail. The detectors below are of the partner: any rail that shows it moving is enough.
  struct Rail {
    ccm::FabricError last_error = ccm::FabricError::none;
    Instant failed_at;
    bool host_answers = false;  // the last failure was the host's own answer
    bool sealed = false;        // its last page carried the session's MAC
    Instant last_page;
    Instant unsealed_since;  // the first page in a row without it
    bool unsealed = false;
  };
  struct Network {
    Detector detector;
    Duration lag;
    std::optional<ccm::BeatView> last;
    Instant heard;

    // It was made no earlier than this, where the way takes no longer than the lag.
    [[nodiscard]] Instant made() const { return heard - lag; }
  };
  struct Finding {
    Verdict verdict = Verdict::unknown;
    std::vector<Evidence> because;
    bool agent_left = false;
    bool own_link_down = false;
  };

  void take_page(const Observation& seen);
  std::optional<Finding> judge(const Observation& seen);
  std::optional<Finding> judge_silence(const Observation& seen);
  std::optional<Assessment> take_beat(const Observation& seen);
  [[nodiscard]] std::string rail_name(RailId rail) const;
  [[nodiscard]] std::string network_name(std::uint8_t network) const;
  [[nodiscard]] const Network* beating_network() const;
  [[nodiscard]] bool outlived_rails(const Network& network) const;
  [[nodiscard]] Evidence beats_of(const Network& network) const;
  void note_rail(const Observation& seen);
  void note_phase(const Observation& seen);
  [[nodiscard]] bool proven_elsewhere(const Observation& seen) const;
  [[nodiscard]] const Rail* answering_host() const;
  [[nodiscard]] std::string last_answering_rail(RailId otherwise) const;
  [[nodiscard]] Finding alive(const ccm::StatusView& page, std::uint64_t agent_beat, Instant when,
                              const std::string& channel) const;
  std::optional<Finding> judge_page(const Observation& seen);
  std::optional<Finding> judge_agent(const Observation& seen, ccm::BootPhase phase, const std::string& channel);
  // The partner is judged as before, and its clients too.
  [[nodiscard]] bool goes_on(const Finding& finding) const;
  [[nodiscard]] bool stands(const Finding& finding) const;
  [[nodiscard]] std::string hung_client(const Finding& finding) const;
  std::optional<Assessment> conclude(Instant now, Finding finding);

  WatchLimits limits_;
  Detector rail_;
  Detector ccm_;
  Detector agent_;
  ClientWatch clients_;
  Assessment current_;
  std::optional<Incarnation> last_ccm_;  // of the last page that was readable, proved or not
  std::uint64_t last_ccm_beat_ = 0;
  std::optional<ccm::StatusView> proven_;
  std::optional<Sighting> sighting_;
  std::optional<PhaseStall> stalled_;
  BootId settled_boot_;      // of the life of the partner's kernel in which its agent was last seen beating
  Incarnation settled_ccm_;  // likewise of its CCM
  std::uint64_t agent_life_ = 0;
  std::uint64_t agent_beat_ = 0;
  std::array<Rail, ccm::kMaxRails> rails_;
  std::vector<Network> networks_;
};

}  // namespace hapair::heartbeat
