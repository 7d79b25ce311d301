#include "agent/core/partner_view.h"

#include "agent/core/lease.h"
#include "ccm/base/check.h"

namespace hapair::agent {
namespace {

constexpr std::uint8_t kFlagReleased = 1;
constexpr std::uint8_t kFlagFailed = 2;
constexpr std::uint8_t kFlagVetoes = 4;
constexpr std::uint8_t kFlagLeased = 8;
constexpr std::uint8_t kFlagArmed = 16;
constexpr std::uint8_t kFlagUnleased = 32;
constexpr std::uint8_t kFlagLeaving = 1;
constexpr std::uint8_t kFlagKeepsPools = 2;

std::optional<PartnerPool> read_entry(const ccm::PoolEntryLayout& entry) {
  if (entry.owner > static_cast<std::uint8_t>(PoolOwner::reader) || entry.state >= kPoolStates ||
      entry.request > static_cast<std::uint8_t>(PoolRequest::hand_over_now)) {
    return std::nullopt;
  }
  PartnerPool pool;
  pool.epoch = Epoch(entry.epoch);
  pool.claim = Epoch(entry.claim_epoch);
  pool.owner = static_cast<PoolOwner>(entry.owner);
  pool.state = static_cast<PoolState>(entry.state);
  pool.request = static_cast<PoolRequest>(entry.request);
  pool.released = (entry.flags & kFlagReleased) != 0;
  pool.failed_there = (entry.flags & kFlagFailed) != 0;
  pool.vetoes = (entry.flags & kFlagVetoes) != 0;
  pool.leased = (entry.flags & kFlagLeased) != 0;
  pool.armed = (entry.flags & kFlagArmed) != 0;
  pool.unleased = (entry.flags & kFlagUnleased) != 0;
  return pool;
}

}  // namespace

std::string_view text_of(NodeState state) {
  switch (state) {
    case NodeState::offline:
      return "offline";
    case NodeState::joining:
      return "joining";
    case NodeState::standby:
      return "standby";
    case NodeState::serving:
      return "serving";
    case NodeState::taking_over:
      return "taking-over";
    case NodeState::serving_both:
      return "serving-both";
    case NodeState::giving_back:
      return "giving-back";
    case NodeState::waiting_for_giveback:
      return "waiting-for-giveback";
    case NodeState::isolated:
      return "isolated";
    case NodeState::failed:
      return "failed";
    case NodeState::maintenance:
      return "maintenance";
  }
  return "unknown";
}

bool wants_pool(const PartnerPool& pool) {
  return pool.request == PoolRequest::hand_over || pool.request == PoolRequest::hand_over_now;
}

bool holds_nothing(const PartnerPool& pool) {
  const bool idle =
      pool.state == PoolState::unsettled || pool.state == PoolState::elsewhere || pool.state == PoolState::requesting;
  return idle && pool.owner != PoolOwner::publisher && pool.claim.value() == 0;
}

bool may_run(const PartnerPool& pool) {
  switch (pool.state) {
    case PoolState::acquiring:
    case PoolState::starting:
    case PoolState::serving:
    case PoolState::stopping:
    case PoolState::failed:
      return true;
    case PoolState::probing:
      return pool.owner == PoolOwner::publisher;  // its agent restarted; its resources did not
    case PoolState::unsettled:
    case PoolState::asking:
    case PoolState::elsewhere:
    case PoolState::requesting:
    case PoolState::claiming:
    case PoolState::fencing:
    case PoolState::releasing:
    case PoolState::released:
      return false;
  }
  return true;
}

std::optional<PartnerView> read_block(const ccm::AgentBlockLayout& block, const std::vector<PoolName>& pools) {
  if (block.serial == 0 || block.pool_count > ccm::kMaxPools ||
      block.node_state > static_cast<std::uint8_t>(NodeState::maintenance) ||
      block.lease_over_ms > static_cast<std::uint64_t>(kLongestLeaseOver.count())) {
    return std::nullopt;
  }
  PartnerView view;
  view.serial = block.serial;
  view.life = block.agent_life;
  view.config_hash = block.shared_config_hash;
  view.saw_serial = block.saw_partner_serial;
  view.saw_life = block.saw_partner_life;
  view.node_state = static_cast<NodeState>(block.node_state);
  view.leaving = (block.flags & kFlagLeaving) != 0;
  view.keeps_pools = (block.flags & kFlagKeepsPools) != 0;
  view.maintenance_left_s = block.maintenance_left_s;
  view.lease_over = std::chrono::milliseconds(block.lease_over_ms);
  view.mailbox = block.mailbox;
  view.pools.resize(pools.size());
  for (std::size_t i = 0; i < block.pool_count; ++i) {
    const auto entry = read_entry(block.pools[i]);
    if (!entry) return std::nullopt;
    for (std::size_t p = 0; p < pools.size(); ++p) {
      if (pools[p].view() == ccm::name_in(block.pools[i].name)) view.pools[p] = *entry;
    }
  }
  return view;
}

ccm::AgentBlockLayout write_block(const PublishedView& view, std::uint64_t serial, std::uint64_t life,
                                  std::uint64_t config_hash, std::uint64_t saw_serial, std::uint64_t saw_life) {
  HAPAIR_CHECK(view.pools.size() <= ccm::kMaxPools, "the configuration was checked");
  ccm::AgentBlockLayout block{};
  block.serial = serial;
  block.agent_life = life;
  block.shared_config_hash = config_hash;
  block.saw_partner_serial = saw_serial;
  block.saw_partner_life = saw_life;
  block.pool_count = static_cast<std::uint16_t>(view.pools.size());
  block.node_state = static_cast<std::uint8_t>(view.node_state);
  block.flags = static_cast<std::uint8_t>((view.leaving ? kFlagLeaving : 0) | (view.keeps_pools ? kFlagKeepsPools : 0));
  block.maintenance_left_s = view.maintenance_left_s;
  block.lease_over_ms = static_cast<std::uint64_t>(view.lease_over.count());
  block.mailbox = view.mailbox;
  for (std::size_t i = 0; i < view.pools.size(); ++i) {
    const PublishedPool& pool = view.pools[i];
    ccm::PoolEntryLayout& entry = block.pools[i];
    ccm::put_name(entry.name, pool.name.view());
    entry.epoch = pool.epoch.value();
    entry.claim_epoch = pool.claim.value();
    entry.owner = static_cast<std::uint8_t>(pool.owner);
    entry.state = static_cast<std::uint8_t>(pool.state);
    entry.request = static_cast<std::uint8_t>(pool.request);
    entry.flags = static_cast<std::uint8_t>((pool.released ? kFlagReleased : 0) | (pool.failed_here ? kFlagFailed : 0) |
                                            (pool.vetoes ? kFlagVetoes : 0) | (pool.leased ? kFlagLeased : 0) |
                                            (pool.armed ? kFlagArmed : 0) | (pool.unleased ? kFlagUnleased : 0));
  }
  return block;
}

}  // namespace hapair::agent
