// The node's own view of a machine: namespaces and a root file system of its own. The host's /usr is there read-only;
// everything that a node may change is its own.
#pragma once

#include <expected>
#include <string>

#include "deploy/demo/init/spec.h"

namespace hapair::demo {

// Called by the process that is PID 1 of its new PID namespace. Afterwards this process lives in the node's network,
// mount, UTS and IPC namespaces and sees nothing of the host's mounts: a node that kept a copy of them would also keep
// another node's disks busy. The error is a sentence.
std::expected<void, std::string> enter_machine(const NodeSpec& spec);

}  // namespace hapair::demo
