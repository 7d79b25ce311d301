// Where the world has rails: the shipped rails, handshakes, sessions and port brokers of both nodes' CCMs over a
// simulated fabric (tests/sim). The CCM's round does with them what Ccm::turn does, and each look that they write into
// the shipped ring of observations goes to the agent's judge in place of World::look()'s.
//
// They have a time of their own, which stands still while the world leaps over quiet: World::wire().
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "ccm/daemon/port_broker.h"
#include "ccm/daemon/rail.h"
#include "ccm/daemon/say.h"
#include "tests/scenario/world.h"
#include "tests/sim/sim_fabric.h"
#include "tests/sim/sim_ports.h"

namespace hapair::world {

inline constexpr std::uint8_t kPortClientSlot = 2;  // after the agent's and that of the storage that tells its progress
inline constexpr std::uint8_t kPortsOfClient = 2;

inline sim::Side side_of(NodeIndex node) { return node == 0 ? sim::Side::alpha : sim::Side::beta; }
inline NodeIndex node_of(sim::Side side) { return side == sim::Side::alpha ? 0 : 1; }

class SilentJournal final : public ccm::Journal {
 public:
  void say(int /*severity*/, const std::string& /*line*/) override {}
};

struct World::Rails {
  Rails(std::uint64_t seed, std::size_t count);
  [[nodiscard]] static std::vector<sim::SimNetwork*> pointers(
      const std::vector<std::unique_ptr<sim::SimNetwork>>& networks);

  struct Faults {
    bool cut = false;
    std::array<bool, kNodes> cut_way{};
    std::array<bool, kNodes> unplugged{};
    bool operator==(const Faults&) const = default;
  };
  // What the simulated fabric was told last.
  struct Told {
    bool host_up = false;
    bool paused = false;
  };

  sim::SimRandom random;  // of nonces
  SilentJournal journal;
  std::vector<Faults> faults;
  std::vector<std::unique_ptr<sim::SimNetwork>> networks;
  sim::SimPorts ports;
  std::array<Told, kNodes> told{};
  std::vector<std::array<bool, kNodes>> link_told;
};

struct World::CcmRails final : public ccm::PortClients {
  CcmRails(Rails& all, NodeIndex node, Incarnation incarnation, const BootId& boot_id, bool wrong_key);

  // PortClients: what its client does is the port table's.
  void ports_made(std::uint8_t /*slot*/, std::uint64_t /*life*/, const ccm::PortGrant& /*grant*/) override {}
  void ports_refused(std::uint8_t /*slot*/, std::uint64_t /*life*/, ccm::ClientRefusal /*refusal*/) override {}
  void expel(std::uint8_t /*slot*/, std::uint64_t /*life*/) override {}

  bool wrong_key;
  std::unique_ptr<ccm::ObservationRing> ring = std::make_unique<ccm::ObservationRing>();
  ccm::ObservationWriter writer;
  ccm::ObservationReader reader;
  ccm::ObservationLayout raw{};
  std::vector<std::unique_ptr<sim::SimFabric>> fabrics;
  std::vector<ccm::Rail> rails;
  std::vector<std::uint64_t> sessions;  // of each rail, as told to checkers
  sim::SimPortEnd ports;
  ccm::PortBroker broker;
  ccm::ClientView client;  // that wants ports
  std::uint64_t beats = 0;
  Instant last_beat;
  std::optional<Instant> turn_at;
};

}  // namespace hapair::world
