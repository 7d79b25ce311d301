#include "agent/cli/mailbox_pools.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <cerrno>
#include <cstring>

#include "ccm/base/direct_io.h"
#include "ccm/base/fd.h"

namespace hapair::cli {
namespace {

using ccm::OwnershipSlot;
using ccm::PairSide;

std::string_view name_of(const PoolOnDisk& pool, PairSide side) {
  if (side == PairSide::none) return "nobody";
  return pool.slots.at(side == PairSide::lower ? 0 : 1).node.view();
}

ccm::OwnershipDecision decided_of(const PoolOnDisk& pool) {
  ccm::OwnershipDecision newest;
  for (const SlotOnDisk& on : pool.slots) {
    if (on.slot && on.slot->decided.instance > newest.instance) newest = on.slot->decided;
  }
  return newest;
}

// A ballot that may still come to something.
bool under_way(const OwnershipSlot& slot, const ccm::OwnershipDecision& decided) {
  return slot.instance > decided.instance && slot.ballot > 0;
}

std::string problem_of(const SlotOnDisk& on) {
  switch (on.slot.error()) {
    case ccm::SlotError::blank:
      return {};
    case ccm::SlotError::garbage:
      return "what stands in its place is no slot, or half of one";
    case ccm::SlotError::version:
      return "it is of another version: install the same hapair on both nodes";
    case ccm::SlotError::foreign_pair:
      return "it is another pair's";
    case ccm::SlotError::foreign_node:
      return "another node wrote it";
    case ccm::SlotError::foreign_pool:
      return "it is another pool's: list the pools in the same order on both nodes";
    case ccm::SlotError::misplaced:
      return "it was written for another disk: list ccm.mailbox_disks in the same order on both nodes; where their "
             "number "
             "has changed, stop the pools and make all of them anew with hapair mailbox init --overwrite";
    case ccm::SlotError::forged:
      return "it does not carry the MAC of this pair's key: compare the two key files; where the key has changed, stop "
             "the pools and make all disks anew with hapair mailbox init --overwrite";
    case ccm::SlotError::malformed:
      return "its numbers contradict each other: report this as a mistake of hapair";
  }
  return {};
}

std::string problem_text(const PoolOnDisk& pool, const SlotOnDisk& on) {
  return fmt::format("{}: what {} wrote about its ownership cannot be used: {}", pool.pool.view(), on.node.view(),
                     problem_of(on));
}

std::string lines_of(const PoolOnDisk& pool) {
  const ccm::OwnershipDecision decided = decided_of(pool);
  std::string out = decided.instance == 0 ? fmt::format("  {}: nothing is decided yet\n", pool.pool.view())
                                          : fmt::format("  {}: decided for {} at epoch {} (instance {})\n",
                                                        pool.pool.view(), name_of(pool, decided.value.owner),
                                                        decided.value.epoch.value(), decided.instance);
  for (const SlotOnDisk& on : pool.slots) {
    if (!on.slot) {
      if (on.slot.error() != ccm::SlotError::blank) out += "  " + problem_text(pool, on) + "\n";
      continue;
    }
    if (!under_way(*on.slot, decided)) continue;
    out += fmt::format("  {}: ballot {} of {} is under way in instance {}: {}\n", pool.pool.view(), on.slot->ballot,
                       on.node.view(), on.slot->instance,
                       on.slot->voted_in == 0
                           ? "no vote yet"
                           : fmt::format("a vote for {} at epoch {}, which may be decided",
                                         name_of(pool, on.slot->vote.owner), on.slot->vote.epoch.value()));
  }
  return out;
}

Json json_of(const PoolOnDisk& pool, const SlotOnDisk& on) {
  Json out{{"node", on.node.text()}, {"state", on.slot ? "written" : std::string(text_of(on.slot.error()))}};
  if (!on.slot) return out;
  out["life"] = on.slot->life;
  out["sequence"] = on.slot->sequence;
  out["founded"] = on.slot->founded;
  out["instance"] = on.slot->instance;
  out["ballot"] = on.slot->ballot;
  out["voted_in"] = on.slot->voted_in;
  if (on.slot->voted_in > 0) {
    out["vote"] = {{"epoch", on.slot->vote.epoch.value()}, {"owner", std::string(name_of(pool, on.slot->vote.owner))}};
  }
  return out;
}

}  // namespace

PoolsOnDisk look_at_pools(const std::string& device, const ccm::DiskPair& of, const std::vector<PoolName>& pools,
                          std::size_t disk, std::size_t disks, const ccm::Key& key) {
  PoolsOnDisk sight;
  const Fd fd(::open(device.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    sight.error = errno;
    return sight;
  }
  const ccm::Key slots_key = ccm::slot_key(key);
  const DirectBlock block;
  const bool lower = ccm::side_of(of.node, of.partner) == PairSide::lower;
  for (std::size_t i = 0; i < pools.size(); ++i) {
    PoolOnDisk& pool = sight.pools.emplace_back();
    pool.pool = pools[i];
    pool.slots[0].node = lower ? of.node : of.partner;
    pool.slots[1].node = lower ? of.partner : of.node;
    for (const PairSide side : {PairSide::lower, PairSide::upper}) {
      const ccm::SlotPlace place{.of = of,
                                 .writer = side,
                                 .pool = pools[i],
                                 .pool_place = static_cast<std::uint8_t>(i),
                                 .disk = static_cast<std::uint8_t>(disk),
                                 .disks = static_cast<std::uint8_t>(disks)};
      sight.error = read_block(fd, place.block(), block);
      if (sight.error != 0) return sight;
      pool.slots.at(side == PairSide::lower ? 0 : 1).slot = ccm::decode_slot(block.bytes(), place, slots_key);
    }
  }
  return sight;
}

std::string text_of(const PoolsOnDisk& sight) {
  if (sight.error != 0) return fmt::format("  the ownership cannot be read: {}\n", std::strerror(sight.error));
  std::string out;
  for (const PoolOnDisk& pool : sight.pools) out += lines_of(pool);
  return out;
}

Json json_of(const PoolsOnDisk& sight) {
  Json out = Json::array();
  for (const PoolOnDisk& pool : sight.pools) {
    const ccm::OwnershipDecision decided = decided_of(pool);
    Json one{{"pool", pool.pool.text()}, {"instance", decided.instance}};
    if (decided.instance > 0) {
      one["owner"] = std::string(name_of(pool, decided.value.owner));
      one["epoch"] = decided.value.epoch.value();
    }
    one["slots"] = Json::array({json_of(pool, pool.slots[0]), json_of(pool, pool.slots[1])});
    out.push_back(std::move(one));
  }
  return out;
}

std::vector<std::string> problems_of(const PoolsOnDisk& sight) {
  std::vector<std::string> problems;
  for (const PoolOnDisk& pool : sight.pools) {
    for (const SlotOnDisk& on : pool.slots) {
      if (!on.slot && on.slot.error() != ccm::SlotError::blank) problems.push_back(problem_text(pool, on));
    }
  }
  return problems;
}

}  // namespace hapair::cli
