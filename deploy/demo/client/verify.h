// Reads a LUN back and holds it to what a ledger demands.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <vector>

#include "deploy/demo/client/ledger.h"
#include "deploy/demo/client/session.h"

namespace hapair::demo {

struct LostWrite {
  std::uint64_t slot = 0;
  std::uint64_t acknowledged = 0;  // the write that must be there, or a newer one of the same run
  std::string found;
};

struct Verification {
  std::uint64_t slots_checked = 0;
  std::uint64_t lost_count = 0;
  std::vector<LostWrite> lost;  // the first of them
};

// What is wrong with `block` at `slot`; empty where it satisfies the demand.
std::string fault_of(const Demands& demands, std::uint64_t slot, std::span<const std::byte> block);

// Reads every slot that the ledger demands something of. Dials as often as needed within `patience`; the error is a
// sentence that says why the LUN could not be read completely.
std::expected<Verification, std::string> verify(const Target& target, const Demands& demands, Duration patience);

}  // namespace hapair::demo
