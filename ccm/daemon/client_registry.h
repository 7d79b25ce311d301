// The CCM's side of its clients: the socket where they register, the ring that all of them read, and one block of
// memory for each, which the CCM copies into the status page at its own pace. Nothing a client does can stop the CCM:
// its memory is sealed against shrinking, its packets are bounded and checked, its descriptors are non-blocking.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/base/ids.h"
#include "ccm/base/random.h"
#include "ccm/base/time.h"
#include "ccm/wire/observation.h"
#include "ccm/wire/observation_ring.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

// Answers a client's wish for another boot phase.
class PhaseSetter {
 public:
  virtual ClientRefusal set_phase(BootPhase phase) = 0;

 protected:
  ~PhaseSetter() = default;
};

// Hears until when a client wants this node to be watched over: again and again, as it stands in the client's memory.
class FedUntilTaker {
 public:
  // `until_ns` as in ccm/wire/watchdog_layout.h. False where it could not be taken, and is not in force.
  virtual bool take(const ClientName& name, std::int64_t until_ns) = 0;
  // What stands for that name, be it from an earlier life of the client or of the CCM; kSaysNothing: nothing.
  [[nodiscard]] virtual std::int64_t standing(const ClientName& name) const = 0;

 protected:
  ~FedUntilTaker() = default;
};

struct PortRequest {
  std::uint8_t slot = 0;
  std::array<char, 24> name{};
  std::uint64_t life = 0;
  std::uint32_t ports = 0;
  std::uint32_t rights = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t staging_bytes = 0;
};
// What a refused client could have had.
struct PortLimits {
  std::uint32_t ports = 0;
  std::uint64_t memory_bytes = 0;
};
struct PortGrant {
  std::uint32_t ports = 0;
  int kick = -1;
  int wake = -1;
  std::array<int, kMaxClientPorts> memory{};
  std::array<int, kMaxClientPorts> channel{};
};

// Answers a client's wish for ports, at once or later (PortClients), and hears of its
// end.
class PortRequests {
 public:
  virtual ClientRefusal request(const PortRequest& request, PortLimits& limits) = 0;
  virtual void ended(std::uint8_t slot) = 0;

 protected:
  ~PortRequests() = default;
};

// Who hears what came of it.
class PortClients {
 public:
  // The answer to a request that was taken; nothing where the client is gone meanwhile.
  virtual void ports_made(std::uint8_t slot, std::uint64_t life, const PortGrant& grant) = 0;
  virtual void ports_refused(std::uint8_t slot, std::uint64_t life, ClientRefusal refusal) = 0;
  // Ends a client that does not keep to the protocol of its ports.
  virtual void expel(std::uint8_t slot, std::uint64_t life) = 0;

 protected:
  ~PortClients() = default;
};

// What the agent says of poison in its memory; all zero while there is no agent.
struct PoisonWords {
  std::uint64_t asked = 0;
  std::uint64_t stopped = 0;
  std::uint64_t cannot = 0;
};

class ClientRegistry final : public PortClients {
 public:
  ClientRegistry(Incarnation incarnation, Random& random, PhaseSetter& phases, PortRequests& ports,
                 FedUntilTaker& watchdog);

  // Listens at `path`, replacing a socket that an earlier CCM left there, and adds its descriptors to `epoll` with
  // themselves as data. Not real-time.
  std::expected<void, std::string> open(const std::string& path, int epoll);

  // True where the event was of one of this registry's descriptors.
  bool handle(int fd, std::uint32_t events);

  [[nodiscard]] ObservationWriter& observations() { return *writer_; }
  // Wakes those for whom there are new observations: all where they are news, else who has not been woken for its own
  // pace, to the nearest `turn`. Real-time.
  void wake_clients(Instant now, Duration turn, bool news);
  // PortClients
  void ports_made(std::uint8_t slot, std::uint64_t life, const PortGrant& grant) override;
  void ports_refused(std::uint8_t slot, std::uint64_t life, ClientRefusal refusal) override;
  void expel(std::uint8_t slot, std::uint64_t life) override;
  // Copies who is registered, each beat, and the agent's block into the page. Real-time.
  void copy_to(StatusPageLayout& page);
  // Takes until when each client wants the watchdog fed, each beat. Real-time.
  void take_fed_until();
  // As they were when the agent's block was copied last: what it asks for rests on what its page shows by then.
  [[nodiscard]] const PoisonWords& poison_words() const { return poison_words_; }

 private:
  struct Connection {
    Fd socket;
    int slot = -1;  // -1: has not said hello
  };
  struct Slot {
    std::array<char, 24> name{};
    ClientState state = ClientState::none;
    std::uint64_t life = 0;
    std::uint64_t beat = 0;
    std::uint32_t pace_us = 0;
    std::uint64_t completed = 0;
    std::uint32_t outstanding = 0;
    std::uint32_t stall_limit_ms = 0;
    Mapping block;
    Fd event;
    Instant woken_at;
    std::uint64_t woken_for = 0;  // the newest observation then
    bool fed_until_refused = false;
  };

  void accept_one();
  void read_packet(Connection& connection);
  void hello(Connection& connection, const ClientPacket& packet);
  void set_phase(Connection& connection, const ClientPacket& packet);
  void request_ports(Connection& connection, const ClientPacket& packet);
  Connection* connection_of(std::uint8_t slot, std::uint64_t life);
  void close(Connection& connection, ClientState end);
  bool permitted(const Connection& connection) const;
  void refuse(Connection& connection, ClientRefusal refusal);
  void take_fed_until(Slot& slot);
  int slot_for(const std::array<char, 24>& name, ClientRefusal& refusal);

  Incarnation incarnation_;
  Random* random_;
  PhaseSetter* phases_;
  PortRequests* ports_;
  FedUntilTaker* watchdog_;
  int epoll_ = -1;
  Fd listener_;
  Fd ring_fd_;
  Fd ring_read_only_;
  Mapping ring_memory_;
  std::optional<ObservationWriter> writer_;
  std::array<Connection, 2 * kMaxClients> connections_;
  std::array<Slot, kMaxClients> slots_;
  AgentBlockLayout agent_{};
  PoisonWords poison_words_;
};

}  // namespace hapair::ccm
