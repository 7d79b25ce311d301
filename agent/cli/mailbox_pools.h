// What a mailbox disk says about the ownership of each pool (ccm/wire/ownership_slot.h); nothing is written.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "agent/cli/json.h"
#include "ccm/wire/mac.h"
#include "ccm/wire/ownership_slot.h"

namespace hapair::cli {

struct SlotOnDisk {
  NodeName node;
  std::expected<ccm::OwnershipSlot, ccm::SlotError> slot = std::unexpected(ccm::SlotError::blank);
};
struct PoolOnDisk {
  PoolName pool;
  std::array<SlotOnDisk, 2> slots;  // the lower node's, the upper's
};
struct PoolsOnDisk {
  int error = 0;  // errno of what failed
  std::vector<PoolOnDisk> pools;
};

// `disk` of `disks` that decide. The disk's header was looked at. Waits for as long as the disk does.
PoolsOnDisk look_at_pools(const std::string& device, const ccm::DiskPair& of, const std::vector<PoolName>& pools,
                          std::size_t disk, std::size_t disks, const ccm::Key& key);

// A line for each pool, and one for each ballot under way and each slot that cannot be used.
std::string text_of(const PoolsOnDisk& sight);
Json json_of(const PoolsOnDisk& sight);
// The slots that cannot be used, each a sentence.
std::vector<std::string> problems_of(const PoolsOnDisk& sight);

}  // namespace hapair::cli
