// What really is so in the world, whatever its nodes see of it: what checkers hold the nodes' deeds against.
#include "tests/scenario/world.h"

namespace hapair::world {

bool World::sound(NodeIndex index) const {
  const Node& node = nodes_[index];
  if (!node.powered || node.paused || node.agent_hung || node.goes_down || node.wrong_key || !node.agent) return false;
  if (!node.ccm || !node.ccm->slot || node.ccm->slot->state != ccm::ClientState::registered) return false;
  const bool works = !node.ccm->storage || (!node.ccm->storage_stands && !node.ccm->storage_hangs);
  return works && !node.agent->leaves && node.phase < ccm::BootPhase::storage_stopping;
}

bool World::poison_obeyed(NodeIndex index) const {
  const std::optional<Ccm>& ccm = nodes_[index].ccm;
  return ccm && ccm->poison_taker.state() == ccm::PoisonState::stopped;
}

bool World::in_touch() const { return sound(0) && sound(1) && (rail_works() || (options_.network && network_up_)); }

}  // namespace hapair::world
