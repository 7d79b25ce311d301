// What two agents say to each other: each publishes its whole view of the pools on its status page, and reads the
// other's. States, not messages: nothing can be lost, and the newest is all there is to know.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/core/model.h"
#include "agent/core/transitions.h"
#include "ccm/base/ids.h"
#include "ccm/wire/status_page.h"

namespace hapair::agent {

// Relative to the node whose page it is. Wire format.
enum class PoolOwner : std::uint8_t { nobody = 0, publisher = 1, reader = 2 };
// What the publisher asks of its partner. Wire format.
enum class PoolRequest : std::uint8_t {
  none = 0,
  hand_over = 1,      // you have it: stop it and release it to me
  answer = 2,         // I am about to start it: say that you neither have nor claim it
  hand_over_now = 3,  // as 1, whatever is against it there
};

// The states of a node that an operator sees. Wire format.
enum class NodeState : std::uint8_t {
  offline = 0,  // its record cannot be read; it touches nothing until an operator decides
  joining = 1,  // it looks at its resources and for its partner
  standby = 2,  // it serves nothing and has no pool of its own to wait for
  serving = 3,
  taking_over = 4,
  serving_both = 5,
  giving_back = 6,
  waiting_for_giveback = 7,
  isolated = 8,  // it cannot see its partner and cannot prove anything about it
  failed = 9,
  maintenance = 10,  // an operator has it leave everything as it is
};
std::string_view text_of(NodeState state);

struct PartnerPool {
  Epoch epoch;
  Epoch claim;
  PoolOwner owner = PoolOwner::nobody;
  PoolState state = PoolState::probing;
  PoolRequest request = PoolRequest::none;
  bool released = false;
  bool failed_there = false;  // it tried, and could not start or keep it
  bool vetoes = false;        // it was asked to hand it over, and something there is against it
  bool leased = false;        // it serves under a lease, and this node may take the pool when that runs out
  bool unleased = false;      // it asks this node to give its arms up: it has no lease any more
  bool armed = false;         // it takes the pool when this node's lease runs out
};

// True where the partner asks this node to hand it over.
bool wants_pool(const PartnerPool& pool);
// True where the partner certainly has no resource of the pool started and is not on the way to it.
bool holds_nothing(const PartnerPool& pool);
// True where the partner has, or may have, resources of the pool started.
bool may_run(const PartnerPool& pool);

struct PartnerView {
  std::uint64_t serial = 0;
  std::uint64_t life = 0;
  std::uint64_t config_hash = 0;
  std::uint64_t saw_serial = 0;
  std::uint64_t saw_life = 0;
  NodeState node_state = NodeState::joining;
  bool leaving = false;      // it shuts down: it takes nothing any more
  bool keeps_pools = false;  // and keeps its pools while it does (shutdown.hand_over false)
  std::uint32_t maintenance_left_s =
      0;  // of a node in maintenance: from the publication on, rounded up to minutes; 0: no end
  std::chrono::milliseconds lease_over{};  // from a decided claim until a lease of its is over; 0: it has no leases
  std::uint64_t mailbox = 0;               // mailbox_digest(); 0: it looks at none
  std::vector<PartnerPool> pools;          // in this node's order; a pool that the partner does not list is `probing`
};

// Reads the partner's block; nothing where it has published none yet or a field has no meaning.
std::optional<PartnerView> read_block(const ccm::AgentBlockLayout& block, const std::vector<PoolName>& pools);

struct PublishedPool {
  PoolName name;
  Epoch epoch;
  Epoch claim;
  PoolOwner owner = PoolOwner::nobody;
  PoolState state = PoolState::probing;
  PoolRequest request = PoolRequest::none;
  bool released = false;
  bool failed_here = false;
  bool vetoes = false;
  bool leased = false;
  bool unleased = false;
  bool armed = false;
  bool operator==(const PublishedPool&) const = default;
};

struct PublishedView {
  NodeState node_state = NodeState::joining;
  bool leaving = false;
  bool keeps_pools = false;
  std::uint32_t maintenance_left_s = 0;
  std::chrono::milliseconds lease_over{};
  std::uint64_t mailbox = 0;
  std::vector<PublishedPool> pools;
  bool operator==(const PublishedView&) const = default;
};

ccm::AgentBlockLayout write_block(const PublishedView& view, std::uint64_t serial, std::uint64_t life,
                                  std::uint64_t config_hash, std::uint64_t saw_serial, std::uint64_t saw_life);

}  // namespace hapair::agent
