// At no instant do both nodes have a pool's resources started.
#include <fmt/core.h>

#include "tests/scenario/checker.h"
#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

class OneOwner final : public Checker {
 public:
  void after_event(World& world) override {
    // A fence device that says "confirmed" and is wrong takes away what the promise rests on.
    if (world.fence_lied()) return;
    for (agent::PoolIndex pool = 0; pool < world.pools(); ++pool) {
      if (world.has_any(0, pool) && world.has_any(1, pool)) {
        world.violation(fmt::format("two owners: resources of {} are there on both nodes\n{}",
                                    world.plan(pool).name.view(), world.describe()));
      }
    }
  }
};

}  // namespace

std::unique_ptr<Checker> one_owner_checker() { return std::make_unique<OneOwner>(); }

}  // namespace hapair::world
