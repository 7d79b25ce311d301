// What an initramfs needs so that this node's ccmd runs in it: one line each, words separated by spaces, for the hooks
// that build the image and for the script that runs in it (deploy/early-boot).
//   config FILE                                     the configuration itself
//   key FILE
//   module NAME                                     kernel modules, in the order in which they are loaded
//   provider NAME                                   of libibverbs, for a verbs rail's device; * is all of them
//   rail NAME                                       whose interface ccmd brings up there
// A rail without early_boot has no line: nothing is known of its interface.
#pragma once

#include <string>

#include "ccm/config/pair_config.h"

namespace hapair::ccm {

std::string boot_plan(const std::string& config_file, const PairConfig& config);

}  // namespace hapair::ccm
