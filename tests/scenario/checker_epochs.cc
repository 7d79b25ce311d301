// The epoch of a pool is durable before it is used, durable before it is visible, and only rises.
#include <fmt/core.h>

#include <algorithm>
#include <string_view>

#include "tests/scenario/checker.h"
#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

const agent::PoolDurable* entry_of(const std::optional<agent::DurableState>& state, const PoolName& pool) {
  if (!state) return nullptr;
  const auto it = std::ranges::find(state->pools, pool, &agent::PoolDurable::pool);
  return it == state->pools.end() ? nullptr : &*it;
}

class Epochs final : public Checker {
 public:
  void on_action(World& world, NodeIndex node, const agent::RunResource& action) override {
    if (action.action != agent::ResourceAction::start) return;
    const PoolName& pool = world.plan(action.resource.pool).name;
    // Of a write that is reported as failed and landed all the same nothing is known: an agent that restarts on it
    // stops the pool before anything else. What was reported as being on disk is what is relied on.
    const auto& disk = world.relied_on(node);
    const agent::PoolDurable* own = entry_of(disk, pool);
    const bool held = own != nullptr && own->owner.view() == world.name(node) && own->held && !own->released &&
                      own->epoch.value() != 0 && disk->boot_id == world.boot_id(node);
    if (!held) {
      world.violation(fmt::format("{} starts a resource of {} and its disk does not say that it holds the pool",
                                  world.name(node), pool.view()));
      return;
    }
    const agent::PoolDurable* other = entry_of(world.disk(1 - node), pool);
    // What nobody can read, or what was thrown away, nobody can know.
    const bool reset = world.record_reset(0) || world.record_reset(1) || world.record_corrupt(1 - node);
    if (other != nullptr && other->owner.view() == world.name(1 - node) && other->epoch >= own->epoch && !reset &&
        !world.fence_lied() && !world.taken_blindly()) {
      world.violation(fmt::format("{} starts {} at epoch {}, and the disk of {} has epoch {} as its own",
                                  world.name(node), pool.view(), own->epoch.value(), world.name(1 - node),
                                  other->epoch.value()));
    }
  }

  void on_disk(World& world, NodeIndex node, const std::optional<agent::DurableState>& before) override {
    for (agent::PoolIndex i = 0; i < world.pools(); ++i) {
      const PoolName& pool = world.plan(i).name;
      const agent::PoolDurable* was = entry_of(before, pool);
      const agent::PoolDurable* is = entry_of(world.disk(node), pool);
      if (was == nullptr || is == nullptr || is->epoch >= was->epoch) continue;
      world.violation(fmt::format("the disk of {} went back from epoch {} to {} of {}", world.name(node),
                                  was->epoch.value(), is->epoch.value(), pool.view()));
    }
  }

  void on_published(World& world, NodeIndex node, const ccm::AgentBlockLayout& block) override {
    for (std::size_t i = 0; i < block.pool_count; ++i) {
      const ccm::PoolEntryLayout& shown = block.pools[i];
      const agent::PoolDurable* own = entry_of(world.disk(node), world.plan(i).name);
      const std::uint64_t epoch = own == nullptr ? 0 : own->epoch.value();
      if (shown.epoch > epoch) {
        world.violation(fmt::format("{} shows epoch {} of {} and its disk has {}", world.name(node), shown.epoch,
                                    world.plan(i).name.view(), epoch));
      }
      const bool shows_offer = (shown.flags & 1) != 0;
      if (shows_offer && (own == nullptr || !own->released)) {
        world.violation(
            fmt::format("{} offers {} and its disk does not say so", world.name(node), world.plan(i).name.view()));
      }
      if (shows_offer && world.has_any(node, i)) {
        world.violation(
            fmt::format("{} offers {} and has resources of it", world.name(node), world.plan(i).name.view()));
      }
    }
  }
};

}  // namespace

std::unique_ptr<Checker> epoch_checker() { return std::make_unique<Epochs>(); }

}  // namespace hapair::world
