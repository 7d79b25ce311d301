// The limits that follow from the configuration: how soon a partner counts as silent, and by when one that stopped is
// known to have.
#pragma once

#include "agent/config/agent_config.h"
#include "ccm/base/time.h"
#include "heartbeat/partner_watch.h"

namespace hapair::agent {

heartbeat::WatchLimits watch_limits(const AgentConfig& config);

// After a confirmed fence the last beat of a partner that is off is seen to be its last within this time.
Duration beats_end(const AgentConfig& config);

// From the last beat of a partner that dies, on all of its channels, to the verdict unreachable, while nothing has made
// the limits wider than their floors.
Duration silent_after(const AgentConfig& config);

// Of arbiter mailbox: from the moment at which a claim is decided, and of corosync, without a quorum device: from that
// at which the claimant has quorum without the partner, until its owner's lease is over, everything of the pool stopped
// or its node reset. Nothing: there are no leases.
std::optional<Duration> lease_wait(const AgentConfig& config);

}  // namespace hapair::agent
