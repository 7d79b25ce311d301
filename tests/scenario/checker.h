// What must never happen in the world, each in a file of its own. A checker is told of what happens as it happens and
// looks at the whole world after every event; what it finds goes to World::violation().
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "agent/core/engine.h"
#include "ccm/wire/mac.h"
#include "tests/sim/sim_ports.h"

namespace hapair::world {

class World;
using NodeIndex = std::size_t;

class Checker {
 public:
  virtual ~Checker() = default;
  Checker(const Checker&) = delete;
  Checker& operator=(const Checker&) = delete;

  virtual void on_action(World& /*world*/, NodeIndex /*node*/, const agent::RunResource& /*action*/) {}
  virtual void on_fence(World& /*world*/, NodeIndex /*asker*/) {}
  // What is on the node's disk changed, from what anyone relied on before.
  virtual void on_disk(World& /*world*/, NodeIndex /*node*/, const std::optional<agent::DurableState>& /*before*/) {}
  virtual void on_published(World& /*world*/, NodeIndex /*node*/, const ccm::AgentBlockLayout& /*block*/) {}
  // Another block of the node's agent is shown by its CCM; and a block is handed to the node's engine, of a notice
  // or of a page.
  virtual void on_shown(World& /*world*/, NodeIndex /*node*/, const ccm::AgentBlockLayout& /*block*/) {}
  virtual void on_told(World& /*world*/, NodeIndex /*node*/, const ccm::AgentBlockLayout& /*block*/, bool /*notice*/) {}
  // Of ports, where the world has rails; and of a rail whose handshake has come to a session.
  virtual void on_port(World& /*world*/, const sim::SimPortDeed& /*deed*/) {}
  virtual void on_session(World& /*world*/, NodeIndex /*node*/, const ccm::Key& /*key*/) {}
  virtual void after_event(World& /*world*/) {}

 protected:
  Checker() = default;
};

std::unique_ptr<Checker> one_owner_checker();       // no pool has resources started on both nodes
std::unique_ptr<Checker> block_order_checker();     // what an engine is told of its partner never goes back in time
std::unique_ptr<Checker> epoch_checker();           // durable before use, durable before visible, and only rises
std::unique_ptr<Checker> fault_checker();           // no fault, no fence
std::unique_ptr<Checker> resource_order_checker();  // after what it needs, before what needs it, one action at a time
std::unique_ptr<Checker> ports_checker();           // no write into what was closed, ready only what is, and in time
std::unique_ptr<Checker> session_checker();         // no two sessions of a node share a key
std::unique_ptr<Checker>
fence_checker();  // a claim on disk first, of nobody that is well, its answer only for that claim

}  // namespace hapair::world
