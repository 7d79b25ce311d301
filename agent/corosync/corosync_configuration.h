// How Corosync on this node is configured to have quorum, as it has it in its map (cmap_keys(8)). The call may wait for
// Corosync: see corosync_group.h. The error is a sentence.
#pragma once

#include <expected>
#include <string>

#include "agent/corosync/quorum_standing.h"

namespace hapair::agent {

std::expected<QuorumConfiguration, std::string> read_quorum_configuration();

}  // namespace hapair::agent
