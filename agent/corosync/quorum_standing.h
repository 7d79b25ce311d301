// Whether leases may rest on this Corosync's quorum, and what they then rest on: from its configuration
// (corosync.conf(5), votequorum(5), corosync-qdevice(8), as cmap_keys(8) has them) and from what votequorum says.
// Without a connection.
//
// What agent/core/quorum_lease.h relies on, and where it is not so:
//  - Two rings without a common member never both have quorum. Not so with two_node. Elsewhere a ring needs `quorum`
//    votes, and where that is more than half of all votes that the configuration has, two cannot have them: so a look
//    does not count while fewer are needed (expected_votes set by hand, last_man_standing, allow_downscale). A tie is
//    broken for one side (auto_tie_breaker) only where no node is quorate before it has seen all (wait_for_all).
//  - A vote of the quorum device is counted for a bounded time after the device gave it to others. So it is of model
//  net
//    with algorithm ffsplit: there a node that loses corosync-qnetd votes no more, and one that is to lose the vote is
//    told first. With lms it may go on for ever (corosync-qdevice, algorithm lms with wait_for_all).
//    The bound: corosync-qdevice asks corosync-qnetd every 0.8 x quorum.device.timeout, at least every second, and
//    gives it up at the next such moment without an answer; votequorum forgets the last vote that it was told after
//    quorum.device.timeout. Together 2 x 0.8 + 1 times that.
//  - Either of the two nodes alone, with all that is not the other, can have quorum. Without that a lease would stop
//  the
//    survivor's own pools when its partner dies.
//  - A lease outlasts a ring that is formed anew: token and consensus, and of a device also 1.5 x 0.8 x its timeout,
//  after
//    which corosync-qnetd gives up a node that died, and looks begun up to a quarter of the lease before.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ccm/base/time.h"

namespace hapair::agent {

struct QuorumNode {
  std::uint32_t id = 0;
  std::string name;  // nodelist.node.X.name; empty: it has none
  std::uint32_t votes = 1;
};
struct QuorumDevice {
  std::string model;
  std::string algorithm;  // of model net; ffsplit where none is given
  std::string host;       // likewise: corosync-qnetd's. Two of them would give two votes
  std::uint32_t votes = 0;
  Duration timeout = std::chrono::seconds(10);
};
struct QuorumConfiguration {
  std::string cluster;
  std::vector<QuorumNode> nodes;
  std::optional<QuorumDevice> device;
  Duration token{};
  Duration consensus{};
};

// votequorum_getinfo(3), of this node.
struct QuorumVotes {
  bool quorate = false;
  bool two_node = false;
  bool auto_tie_breaker = false;
  bool wait_for_all = false;
  std::uint32_t quorum = 0;  // so many votes are needed
  std::uint32_t total = 0;   // so many are there
  std::uint32_t device_votes = 0;
  bool device_votes_now = false;  // it is alive, and casts its vote
};

struct QuorumSides {
  std::string self;  // as hapair names the nodes, and as nodelist does
  std::string partner;
  Duration lease{};
};

std::optional<std::uint32_t> node_id_of(const QuorumConfiguration& configuration, const std::string& name);
// Why no lease rests on it: a sentence with what to do; empty: leases do.
std::string no_leases_on(const QuorumConfiguration& configuration, const QuorumVotes& votes, const QuorumSides& sides);
// All votes that the configuration has, the device's too.
std::uint32_t configured_votes(const QuorumConfiguration& configuration, const QuorumVotes& votes);
// QuorumLook::slack.
Duration vote_slack(const QuorumConfiguration& configuration, const QuorumVotes& votes);
// A lease is to be longer.
Duration shortest_lease(const QuorumConfiguration& configuration);
// For quorum_digest(): the same on both nodes where they decide by the same.
std::string what_decides(const QuorumConfiguration& configuration, const QuorumSides& sides);
// Leases rest on it, and something that keeps it from helping is wrong all the same: a sentence, or empty.
std::string quorum_trouble(const QuorumConfiguration& configuration, const QuorumVotes& votes);
// "quorate, 2 of 3 votes, with the quorum device's"
std::string votes_text(const QuorumConfiguration& configuration, const QuorumVotes& votes);

}  // namespace hapair::agent
