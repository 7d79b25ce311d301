// `hapair mailbox init|show|check`: the disks of ccm.mailbox_disks. All of it works without the agent and without ccmd.
#pragma once

#include <string>
#include <vector>

#include "agent/cli/commands.h"

namespace hapair::cli {

// `device` and `devices`: as the configuration names them; no devices: all that it has.

// Makes the mailbox area of one disk.
Exit init_mailbox(const Common& common, const std::string& device, bool overwrite);
// Whose each disk is, which node beats there, and what is decided there about each pool's ownership. Fails where one is
// not this pair's or cannot be read.
Exit show_mailboxes(const Common& common, const std::vector<std::string>& devices);
// Whether each can be a mailbox disk, and what is to be corrected.
Exit check_mailboxes(const Common& common, const std::vector<std::string>& devices);

}  // namespace hapair::cli
