#include "agent/core/lease.h"

#include "agent/core/quorum_lease.h"
#include "ccm/base/crc32c.h"

namespace hapair::agent {
namespace {

constexpr unsigned kBitsADisk = 21;
constexpr std::uint64_t kMask = (std::uint64_t{1} << kBitsADisk) - 1;
constexpr std::uint64_t kThree = std::uint64_t{1} << 63U;

}  // namespace

std::uint64_t mailbox_digest(const std::vector<std::optional<ccm::DiskAreaId>>& areas) {
  std::uint64_t digest = areas.size() == 3 ? kThree : 0;
  for (std::size_t i = 0; i < areas.size(); ++i) {
    if (!areas[i]) continue;
    const std::uint64_t bits = crc32c(std::as_bytes(std::span(*areas[i]))) & kMask;
    digest |= (bits == 0 ? 1 : bits) << (i * kBitsADisk);
  }
  return digest;
}

bool other_mailbox(std::uint64_t one, std::uint64_t other) {
  if (one == 0 || other == 0) return false;  // not read yet
  if ((one & kThree) != (other & kThree) || of_quorum(one) != of_quorum(other)) return true;
  for (unsigned at = 0; at < 3 * kBitsADisk; at += kBitsADisk) {
    const std::uint64_t a = one >> at & kMask;
    const std::uint64_t b = other >> at & kMask;
    if (a != 0 && b != 0 && a != b) return true;
  }
  return false;
}

bool same_mailbox(std::uint64_t one, std::uint64_t other) {
  if (other_mailbox(one, other)) return false;
  int same = 0;
  for (unsigned at = 0; at < 3 * kBitsADisk; at += kBitsADisk) {
    const std::uint64_t a = one >> at & kMask;
    if (a != 0 && a == (other >> at & kMask)) ++same;
  }
  return same >= ((one & kThree) != 0 ? 2 : 1);
}

}  // namespace hapair::agent
