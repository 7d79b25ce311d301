// Pacemaker and Corosync around two nodes of a world, as far as hapair leans on them (arbiter pacemaker): a membership
// that misses a node after a while, fencing that has to succeed before anything of a lost node is started elsewhere,
// and one promoted instance of each pool, demoted before another one is promoted. Its decisions are its own: what
// hapair tells it is a question, a request or the word that its partner is down, and that word it believes.
//
// What it leaves out: resources stopped in order before a node leaves (its leaving is a loss here, which is harder),
// and more than two nodes. A node that has booted takes part when it has seen the other one (wait_for_all).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "agent/core/engine_events.h"
#include "agent/core/model.h"
#include "tests/scenario/checker.h"

namespace hapair::world {

class PacemakerModel {
 public:
  static constexpr Duration kTurn = std::chrono::milliseconds(100);

  PacemakerModel(World& world, std::uint64_t seed);

  // Every kTurn, from the world's own events, never from within a step of an engine.
  void turn();
  // What that node's agent was told to tell it; carried out at the next turn.
  void told(NodeIndex by, agent::ClusterWord word);

  void set_ring(bool up) { ring_up_ = up; }  // Corosync's links between the nodes
  void set_fence_works(bool works) { fence_works_ = works; }
  void want(agent::PoolIndex pool, NodeIndex node);  // a move, as by crm resource move
  void repair();                                     // links, devices, failures that it remembers

 private:
  struct Member {
    std::uint64_t boots = 0;  // the life of its kernel that takes part; 0: none does
    bool lost = false;        // is not seen and has not been fenced
    bool condemned = false;   // is to be fenced though it may be seen: a demotion failed there, or hapair asked for it
    std::optional<Instant> missed_since;
    std::optional<Instant> up_since;
  };
  enum class Step : std::uint8_t { promoted, promoting, demoting };
  struct Clone {
    std::optional<NodeIndex> at;
    Step step = Step::promoted;
    Instant since;
    std::optional<Instant> not_well_since;
    NodeIndex wanted = 0;
    Epoch highest;
    std::array<Instant, 2> banned_until{};
  };
  struct Fence {
    bool under_way = false;
    Instant done;
    std::uint64_t by_boots = 0;
  };
  struct Word {
    NodeIndex by = 0;
    agent::ClusterWord word = agent::ClusterWord::look;
  };

  [[nodiscard]] bool runs(NodeIndex node) const;
  [[nodiscard]] bool sees(NodeIndex node) const { return ring_up_ && runs(0) && runs(1) && node < 2; }
  [[nodiscard]] bool takes_part(NodeIndex node) const;
  [[nodiscard]] const agent::Engine* answers(NodeIndex node) const;
  Duration between(int from_ms, int to_ms);
  void hear_words();
  void look_at_members();
  void join();
  void fence();
  void gone(NodeIndex node);
  void place();
  void follow(agent::PoolIndex pool);
  void choose(agent::PoolIndex pool);
  void promote(agent::PoolIndex pool, NodeIndex node);
  void demote(agent::PoolIndex pool);

  World* world_;
  std::mt19937_64 random_;
  bool ring_up_ = true;
  bool fence_works_ = true;
  std::array<Member, 2> members_;
  std::array<Fence, 2> fences_;  // by that node, of the other
  std::array<Duration, 2> token_{};
  std::vector<Clone> clones_;
  std::vector<Word> words_;
};

}  // namespace hapair::world
