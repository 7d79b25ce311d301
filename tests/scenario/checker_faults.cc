// Where nothing failed, nobody is fenced; nor is a partner that is seen to boot, unless an operator forces it.
#include <fmt/core.h>

#include "tests/scenario/checker.h"
#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

class Faults final : public Checker {
 public:
  void on_fence(World& world, NodeIndex asker) override {
    const agent::Engine* engine = world.engine(asker);
    if (engine != nullptr && engine->assessment().verdict == heartbeat::Verdict::rebooted && !world.forced(asker)) {
      world.violation(fmt::format("{} fences its partner while it sees it boot", world.name(asker)));
    }
    if (world.fault_injected()) return;
    world.violation(
        fmt::format("{} fences its partner and nothing has failed\n{}", world.name(asker), world.describe()));
  }
};

}  // namespace

std::unique_ptr<Checker> fault_checker() { return std::make_unique<Faults>(); }

}  // namespace hapair::world
