// Fabric sim: one node's end of a SimNetwork, behind the interface that ccmd's rails use. It lives from open() until it
// is destroyed or its life is ended by the network; after that its owner must not touch it but to destroy it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "ccm/fabric/own_connection.h"
#include "tests/sim/sim_network.h"

namespace hapair::sim {

class SimFabric final : public ccm::Fabric {
 public:
  SimFabric(SimNetwork& network, Side side) : network_(&network), side_(side) {}
  ~SimFabric() override;

  std::expected<void, std::string> open() override;
  [[nodiscard]] std::span<std::byte> status_memory() override { return life_->status; }
  [[nodiscard]] std::span<std::byte> mailbox_memory() override { return life_->mailbox; }
  void connect(Instant now) override;
  void drop(Instant now) override;
  bool post_read(Instant now, OperationId id, ccm::RemotePage page, std::size_t offset,
                 std::span<std::byte> into) override;
  bool post_write(Instant now, OperationId id, ccm::RemotePage page, std::size_t offset,
                  std::span<const std::byte> from) override;
  std::size_t poll(Instant now, std::span<ccm::FabricEvent> into) override;
  [[nodiscard]] int poll_fd() const override { return -1; }
  [[nodiscard]] Duration last_round_trip() const override { return own_.last_round_trip(); }
  [[nodiscard]] std::string_view device() const override { return "simulated"; }
  [[nodiscard]] std::string_view kind() const override { return "sim"; }

 private:
  friend class SimNetwork;
  using Happening = SimNetwork::Happening;
  using Operation = SimNetwork::Operation;
  // What waits for an answer: when it is sent again, and when it is given up.
  struct Timers {
    SimNetwork::Key again;
    SimNetwork::Key expiry;
  };
  struct Flight {
    Operation operation;
    std::span<std::byte> into;  // of a read
    std::optional<std::vector<std::byte>> answer;
    Timers timers{};
  };

  void act(Instant now);
  bool post(Instant now, OperationId id, Flight flight);
  SimNetwork::Key tell(Happening::Kind kind, Instant when, std::uint64_t number);
  Timers begin(Instant now, std::uint64_t number);
  void end(const Timers& timers);
  [[nodiscard]] Flight* find(std::uint64_t number);
  void end(ccm::FabricError why);
  void forget();

  // ---- what happens to it
  void die() { dead_ = true; }
  void connect_answered(const Happening& answer);
  void answered(Happening& answer);
  void send_again(std::uint64_t number);
  void expire(std::uint64_t number);
  static constexpr std::uint64_t kAttempt = ~std::uint64_t{0};  // in the place of an operation's number

  SimNetwork* network_;
  Side side_;
  bool dead_ = false;
  std::shared_ptr<SimNetwork::Life> life_;
  ccm::OwnConnection own_;
  std::uint64_t connection_ = 0;  // unique in the network; a new one at each attempt and at each end
  std::shared_ptr<SimNetwork::Life> partner_;
  std::uint64_t next_number_ = 0;
  std::deque<Flight> flights_;  // as the operations of own_
  Timers attempt_;
};

}  // namespace hapair::sim
