// A resource starts after all that it needs, stops before what it needs, and is never acted on twice at a time.
#include <fmt/core.h>

#include <algorithm>

#include "tests/scenario/checker.h"
#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

class ResourceOrder final : public Checker {
 public:
  void on_action(World& world, NodeIndex node, const agent::RunResource& action) override {
    const agent::PoolPlan& pool = world.plan(action.resource.pool);
    const std::string& name = pool.resources[action.resource.resource].name;
    if (const auto busy = world.under_way(node, action.resource)) {
      world.violation(fmt::format("{}: {} of {}/{} begins while its {} is under way", world.name(node),
                                  text_of(action.action), pool.name.view(), name, text_of(*busy)));
    }
    for (std::size_t i = 0; i < pool.resources.size(); ++i) {
      const agent::ResourceId other{action.resource.pool, i};
      const bool needed = std::ranges::count(pool.resources[action.resource.resource].after, i) > 0;
      // What died on its own is seen at its next monitor; what was never up is a fault of the order.
      if (action.action == agent::ResourceAction::start && needed && !world.fault_injected() &&
          world.real(node, other) != RealState::running) {
        world.violation(fmt::format("{}: {}/{} is started and {} does not run", world.name(node), pool.name.view(),
                                    name, pool.resources[i].name));
      }
      const bool needs_it = std::ranges::count(pool.resources[i].after, action.resource.resource) > 0;
      if (action.action == agent::ResourceAction::stop && needs_it && world.real(node, other) != RealState::stopped) {
        world.violation(fmt::format("{}: {}/{} is stopped and {}, which needs it, is not", world.name(node),
                                    pool.name.view(), name, pool.resources[i].name));
      }
    }
  }
};

}  // namespace

std::unique_ptr<Checker> resource_order_checker() { return std::make_unique<ResourceOrder>(); }

}  // namespace hapair::world
