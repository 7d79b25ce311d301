// What lets the partner's connection to a port in: known to whoever is in the rail's session, good for one exposure.
#pragma once

#include <cstdint>
#include <string_view>

#include "ccm/base/ids.h"
#include "ccm/wire/connect_data.h"
#include "ccm/wire/mac.h"

namespace hapair::ccm {

// `exposer`: the node whose memory it is. `session`: the key of the rail over which the port is exposed.
PortToken port_token(const Key& session, const NodeName& exposer, std::string_view client, std::uint8_t index,
                     std::uint32_t exposure);

}  // namespace hapair::ccm
