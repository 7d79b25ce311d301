#include "agent/core/quorum_lease.h"

#include "agent/core/lease.h"

namespace hapair::agent {
namespace {

// The places of the second and the third disk in a digest of disks (lease.cc), where the mark of three is not set.
constexpr unsigned kBits = 21;
constexpr std::uint64_t kMask = (std::uint64_t{1} << kBits) - 1;
constexpr std::uint64_t kThree = std::uint64_t{1} << 63U;

std::uint64_t never_zero(std::uint64_t bits) { return bits == 0 ? 1 : bits; }

}  // namespace

Duration vigil_wait(Duration slack, std::chrono::milliseconds lease_over) {
  // Measured by this node's clock, as the lease is by the owner's.
  return 2 * (slack + slack / kDrift) + expiry_wait(lease_over);
}

std::uint64_t quorum_digest(const std::string& what_decides) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a
  for (const char c : what_decides) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3ULL;
  return never_zero(hash & kMask) << kBits | never_zero(hash >> kBits & kMask) << 2 * kBits;
}

bool of_quorum(std::uint64_t digest) {
  return (digest & kThree) == 0 && (digest >> kBits & kMask) != 0 && (digest >> 2 * kBits & kMask) != 0 &&
         (digest & kMask) == 0;
}

}  // namespace hapair::agent
