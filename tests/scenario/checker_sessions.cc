// No two sessions of a node share a key: what was written or read under an earlier one proves nothing in a later.
#include <algorithm>
#include <array>
#include <vector>

#include "tests/scenario/checker.h"
#include "tests/scenario/world.h"

namespace hapair::world {
namespace {

class Sessions final : public Checker {
 public:
  void on_session(World& world, NodeIndex node, const ccm::Key& key) override {
    std::vector<ccm::Key>& known = keys_.at(node);
    if (std::ranges::find(known, key) != known.end()) {
      world.violation(world.name(node) + " has a session under the key of an earlier one");
    }
    known.push_back(key);
  }

 private:
  std::array<std::vector<ccm::Key>, World::kNodes> keys_;
};

}  // namespace

std::unique_ptr<Checker> session_checker() { return std::make_unique<Sessions>(); }

}  // namespace hapair::world
