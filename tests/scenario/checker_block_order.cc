// What an engine is told of its partner never goes back in time, by whatever way it came, and nothing that was current
// only before the partner's order to stop every pool comes after it. The world knows when each block was shown; the
// nodes' own clocks and beats, by which they judge that, are not looked at.
#include <fmt/core.h>

#include <array>
#include <map>
#include <utility>

#include "tests/scenario/checker.h"
#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

class BlockOrder final : public Checker {
 public:
  void on_shown(World& world, NodeIndex node, const ccm::AgentBlockLayout& block) override {
    const Block now{block.agent_life, block.serial};
    if (shown_[node] == now) return;
    over_[node][shown_[node]] = world.now();
    over_[node].erase(now);
    shown_[node] = now;
  }

  void on_told(World& world, NodeIndex node, const ccm::AgentBlockLayout& block, bool notice) override {
    const std::uint64_t reader = world.engine(node)->config().life;
    const Block told{block.agent_life, block.serial};
    Told& last = told_[node];
    // Lives are drawn in the order in which agents start.
    // Over a rail that took longer a page may come of a life of its agent that is over: the engine refuses it.
    const bool slower_rail = !notice && told.first != last.block.first;
    if (last.reader == reader && told < last.block && !slower_rail) {
      world.violation(
          fmt::format("{} is told what its partner published as {} of agent {}, after {} of agent {}: an older block",
                      world.name(node), told.second, told.first, last.block.second, last.block.first));
    }
    last = {reader, told};
    const auto over = over_[1 - node].find(told);
    if (over != over_[1 - node].end() && over->second <= world.poisoned_at(node)) {
      world.violation(fmt::format("{} is told what its partner published before it poisoned it", world.name(node)));
    }
  }

 private:
  using Block = std::pair<std::uint64_t, std::uint64_t>;  // the agent's life, its serial
  struct Told {
    std::uint64_t reader = 0;  // the life of the agent that was told
    Block block;
  };
  std::array<Block, World::kNodes> shown_;
  std::array<std::map<Block, Instant>, World::kNodes> over_;  // when it was shown no more
  std::array<Told, World::kNodes> told_;
};

}  // namespace

std::unique_ptr<Checker> block_order_checker() { return std::make_unique<BlockOrder>(); }

}  // namespace hapair::world
