// Leases: how a pool may be taken from a partner that nobody can fence, because it must have stopped by itself (permit
// expired; DESIGN.md, section 5). Arbiters `mailbox`, and `corosync` with what quorum_lease.h says is different there.
// The rules are kept by agent/core/engine_lease.cc (the owner) and engine_expiry.cc (the claimant).
//
// A pool is served without a lease, and nobody may wait for its end, until both nodes have agreed on one. Then its
// owner is *bound* and the partner *armed*, and each makes its part durable before the other may rest on it:
//   1 The owner decides its ownership on the mailbox disks (ownership_ballot.h), has its watchdog fed only up to a time
//     that it tells (Client::fed_until), and after that looks at the disks (ownership_look.h). A look that shows no
//     claim gives a lease for `lease` from the look's beginning. With a lease it writes `leased`: it is bound. Only
//     then does it publish that it serves under a lease.
//   2 The partner reads that, sees the owner's decision on the same mailbox disks itself, and writes `armed`.
// While it is bound an owner runs the pool only under a lease. When it cannot renew it, it asks the partner to give its
// arms up: it publishes that the pool is not leased any more, and is bound until it reads a publication of the partner
// that has taken that one into account and is not armed. Without that word it stops the pool at the lease's end; what
// still runs `lease_stop` later is ended by the watchdog, which is fed no longer.
//
// Why a permit by expiry is a proof. The claimant is armed against the owner's epoch by its own record, so the owner is
// bound: it can only have become free by this node's word, which this node gives only after its record is no longer
// armed, or by a proof that this node's life of the kernel is over, and then its record's arms are void (they are
// forgotten where a kernel starts). An ownership that the owner came to by another way than a lease begins unbound, and
// is none that this node is armed against: a release to the partner and an answer to its question both need a record of
// this node's that is not armed. The claim is decided on the disks where the owner looks: the partner has compared
// which disks they are (`mailbox`), and has read the owner's own decision there. From the decision on every look of the
// owner shows the claim (ownership_look.h), so the last look that gave it a lease began before, and the lease ends
// `lease` after that. Its watchdog is fed until `lease_stop` later and resets the node at the latest
// WatchdogStanding::bound after that (ccm/client/client.h). The sum is what the owner tells as `lease_over`. Both nodes
// count by clocks of their own, which may differ by kDrift of it. tests/model/lease.pml searches the same argument.
//
// What it does not cover: a machine that is suspended, or a virtual one or a container that is paused as a whole, its
// watchdog with it (of a container more: ccm/container/node_init.h). Reservations of the disks (SCSI-3) are against
// that.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ccm/base/time.h"
#include "ccm/wire/mailbox_disk.h"

namespace hapair::agent {

// A claimant waits so much longer, a share of the time that it was told: clocks are slewed by at most 1 in 2000 (NTP).
inline constexpr int kDrift = 100;  // a hundredth
inline constexpr std::chrono::milliseconds kLongestLeaseOver = std::chrono::hours(1);

constexpr Duration expiry_wait(std::chrono::milliseconds lease_over) { return lease_over + lease_over / kDrift; }

// The mailbox disks that a node looks at, in 64 bits: 21 of each disk's area, zeros while it has not been read, and
// above them whether there are three. By a disk's place in the configuration; `areas`: one or three.
std::uint64_t mailbox_digest(const std::vector<std::optional<ccm::DiskAreaId>>& areas);
// A disk is known to be another one on the other node, or there are not equally many.
bool other_mailbox(std::uint64_t one, std::uint64_t other);
// None is, and a majority is known to be the same.
bool same_mailbox(std::uint64_t one, std::uint64_t other);

}  // namespace hapair::agent
