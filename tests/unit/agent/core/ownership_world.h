// Two nodes that decide a pool's ownership over disks that fail, hang, forget, and write what nobody hears of: what can
// happen next is a call.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/core/ownership_ballot.h"
#include "agent/core/ownership_look.h"

namespace hapair::agent {

// What of a machine tells two states apart.
struct OwnershipBallotInspector {
  static void put_words(const OwnershipBallot& machine, std::string& out);
  static void put_words(const OwnershipBallot& machine, std::size_t disk, std::string& out);
  static const ccm::OwnershipSlot& own(const OwnershipBallot& machine) { return machine.own_; }
};

namespace model {

enum class Wish : std::uint8_t { self, partner, nothing };
enum class Fate : std::uint8_t { lost, landed };

class World {
 public:
  explicit World(std::size_t disks);

  // Each returns false where it cannot happen now. `n` is a node: 0 is the lower.
  bool begin(std::size_t n, Wish wish, std::optional<std::uint64_t> rests_on = std::nullopt);
  bool finish(std::size_t n, std::size_t disk);           // the request to the disk is done, and its end is told
  bool fail(std::size_t n, std::size_t disk, Fate fate);  // its end is an error, whatever became of it
  bool hang(std::size_t n, std::size_t disk);             // it is called failed, and stays out
  bool end_late(std::size_t n, std::size_t disk, Fate fate);
  bool give_up(std::size_t n);                 // the deadline
  bool crash(std::size_t n, unsigned landed);  // a bit a disk: the fate of a write that is out
  bool start(std::size_t n);
  bool forget(std::size_t disk);

  // Everything that is out ends well until nothing is.
  void settle();
  // A calm run of one node alone decides its wish.
  [[nodiscard]] bool can_decide(std::size_t n) const;

  [[nodiscard]] const std::string& broken_rule() const { return broken_; }
  [[nodiscard]] bool runs(std::size_t n) const { return nodes_.at(n).machine.has_value(); }
  [[nodiscard]] bool busy(std::size_t n) const { return runs(n) && nodes_.at(n).machine->busy(); }
  [[nodiscard]] bool writing(std::size_t n, std::size_t disk) const;
  [[nodiscard]] bool reads(std::size_t n, std::size_t disk) const;
  [[nodiscard]] std::size_t disks() const { return disks_; }
  [[nodiscard]] std::uint64_t newest() const { return newest_; }
  [[nodiscard]] ccm::OwnershipValue value(std::uint64_t instance) const { return decided_.at(instance); }
  [[nodiscard]] const std::optional<BallotOutcome>& outcome(std::size_t n) const { return nodes_.at(n).outcome; }
  [[nodiscard]] const std::optional<ccm::OwnershipSlot>& slot(std::size_t n, std::size_t disk) const {
    return slots_.at(disk).at(n);
  }
  [[nodiscard]] DiskSight sight(std::size_t n, std::size_t disk) const;
  [[nodiscard]] std::string words() const;
  // Complete looks at the disks as they are now show what is decided now.
  void look_around();

 private:
  struct Pending {
    DiskRequest request = DiskRequest::none;
    bool hung = false;
    std::uint64_t round = 0;
    ccm::OwnershipSlot slot;
  };
  struct Node {
    std::optional<OwnershipBallot> machine;
    std::array<Pending, ccm::kMaxOwnershipDisks> pending{};
    std::optional<BallotOutcome> outcome;  // of the last proposal
    std::uint64_t lives = 0;
  };
  static constexpr std::size_t kMostInstances = 12;

  void apply(std::size_t n, BallotOutput out);
  void learn(std::size_t n);
  void look(std::size_t n, unsigned disks);
  void put_disk(std::size_t disk, std::string& out) const;

  std::size_t disks_;
  std::array<std::array<std::optional<ccm::OwnershipSlot>, 2>, ccm::kMaxOwnershipDisks> slots_{};
  std::array<Node, 2> nodes_;
  std::array<ccm::OwnershipValue, kMostInstances> decided_{};  // by any node's word; owner none: not yet
  std::uint64_t newest_ = 0;
  std::string broken_;
};

}  // namespace model
}  // namespace hapair::agent
