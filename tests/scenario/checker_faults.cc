// Where nothing failed, nobody is fenced.
#include <fmt/core.h>

#include "tests/scenario/checker.h"
#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

class Faults final : public Checker {
 public:
  void on_fence(World& world, NodeIndex asker) override {
    if (world.fault_injected()) return;
    world.violation(
        fmt::format("{} fences its partner and nothing has failed\n{}", world.name(asker), world.describe()));
  }
};

}  // namespace

std::unique_ptr<Checker> fault_checker() { return std::make_unique<Faults>(); }

}  // namespace hapair::world
