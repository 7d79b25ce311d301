// Leases on Corosync's quorum (arbiter corosync), in place of the mailbox disks: what a look at Corosync is, and how
// its looks prove that the partner's lease is over. The owner's and the claimant's other rules are those of
// agent/core/lease.h; engine_quorum.cc keeps what is different.
//
// What is relied on, of Corosync 3 with votequorum (votequorum(5), cpg_overview(3), corosync-qdevice(8)):
//   1 A ring has a number that is never used again. Its token is passed from member to member, and a member that has
//     entered another ring never takes part in the former one again.
//   2 Of two rings without a common member at most one has the votes, the quorum device's not counted: a look counts
//     only while more than half of all votes that are configured are needed (quorum_standing.h).
//   3 What the device has given to one of them a node of the other may go on counting for `slack` at most.
//
// A look, begun at `began` and completed later, says: after `began` this node was in an operational ring, whose token
// each of its members handled after `began`, and there was quorum in it then, or not. How it is taken:
// agent/corosync/ring_look.h.
//
// The owner (A) renews its lease to `began` + lease by a look with quorum. Nothing at Corosync remembers a claim, as
// the mailbox disks do, so a lease that has lapsed while the partner may wait for its end is never renewed by a look: a
// look counts only if the lease still holds when it is completed. The pool is stopped, and comes back by the partner's
// word or another proof. An agent that restarts has its earlier life's lease of what it finds running, up to what that
// had the watchdog fed to; what it finds stopped may have been stopped because its lease was over.
//
// The partner (B) is armed only after a look of its own that shows A in its ring, both with the same digest of all that
// Corosync decides by: so A's looks speak of the rings that B's speak of.
//
// The claimant's *vigil* (B): it begins when a look with quorum and without A is completed, at V, after the claim is
// durable. It is broken where this node is in another ring, has not had quorum all the while, or had to connect to
// Corosync anew (QuorumLook::standing is another one), or where A is a member. From V it waits
//     2 x slack + expiry_wait(lease_over)
// and then takes one more look, begun after that. If that one shows the vigil unbroken, A's lease is over.
//
// Why. Let R be B's ring of the vigil, and take A's first renewing look that began later than V + slack. The lease of
// before began at V + slack or earlier, so this look was completed before V + slack + lease, or it renewed nothing, nor
// did any after it. Its ring R' is not R, for A is no member of R.
//   - No node is in both R' and R: it would have handled the token of R' after V + slack, that of R before V and again
//     in B's last look, and have come back to R (1).
//   - So only one of the two has the votes (2), and B had quorum from V to its last look. There remains the device's
//     vote. That B counted it at V means that it was given to R before V; A does not count an older gift after V +
//     slack. That A counted it later means that it was given to R' before V + slack + lease; then B has not counted it
//     longer than slack after that, which is before its last look (lease_over is no less than lease): the vigil was
//     broken.
// So there is no such look: A's lease was over at V + slack + lease, its pool stopped or its node reset by V + slack +
// lease_over, by A's clock. If A rejoins before, the ring is another one and the vigil broken.
//
// What it does not cover besides what lease.h says: a Corosync that is not what votequorum(5) says, as after `corosync-
// quorumtool -v` or a configuration that was changed on one node and not yet on the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ccm/base/time.h"

namespace hapair::agent {

struct QuorumLook {
  Instant began;
  bool quorate = false;         // with votes that count (quorum_standing.h)
  bool partner_member = false;  // of this node's ring
  // This node was in one ring and had quorum in it, without interruption, while this number is the same. Never used
  // again in a life of the agent; of a look without quorum it says nothing.
  std::uint64_t standing = 0;
  Duration slack{};    // so long a node may count the device's vote after it was given to others; 0: there is no device
  std::string ring{};  // as Corosync's tools print it; told, and not compared
};

// Of a pool that is claimed: this node has had quorum without the partner since then.
struct QuorumVigil {
  Instant since;  // the completion of the first look
  std::uint64_t standing = 0;
  Duration slack{};
  std::string ring{};
  Instant newest;  // the beginning of the newest look that showed it unbroken
};

// From the beginning of a vigil until the lease is over, where the owner told `lease_over`.
Duration vigil_wait(Duration slack, std::chrono::milliseconds lease_over);

// 64 bits of what decides: never 0, and never equal to a digest of mailbox disks (lease.h) nor partly the same as one.
std::uint64_t quorum_digest(const std::string& what_decides);
bool of_quorum(std::uint64_t digest);

}  // namespace hapair::agent
