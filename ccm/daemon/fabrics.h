// The fabrics of each rail, as the configuration names it: the early channel's, and that of the clients' ports.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "ccm/config/pair_config.h"
#include "ccm/fabric/fabric.h"
#include "ccm/fabric/port_fabric.h"

namespace hapair::ccm {

// One for each rail, open, in the order of the configuration; the error names the rail. With `trace` each tells what is
// done with it (ccm/fabric/traced_fabric.h). Not real-time.
std::expected<std::vector<std::unique_ptr<Fabric>>, std::string> open_fabrics(const PairConfig& config, bool trace);
std::expected<std::vector<std::unique_ptr<PortFabric>>, std::string> open_port_fabrics(const PairConfig& config);

}  // namespace hapair::ccm
