// Who carries out what the session says of ports, as the CCM's loop sees it: commands go in, news come back, and
// nothing waits. The daemon's is a thread (port_thread.h).
#pragma once

#include <cstdint>

#include "ccm/base/ids.h"
#include "ccm/ports/port_host.h"

namespace hapair::ccm {

class PortCarrier {
 public:
  // False: it is behind; the command is given again at the next turn.
  virtual bool give(const PortCommand& command) = 0;
  virtual bool take(PortNews& into) = 0;
  // What the port has moved so far.
  [[nodiscard]] virtual PortTraffic traffic(PortRef port) const = 0;
  // What came to the ports of that rail from the network and was refused.
  [[nodiscard]] virtual std::uint64_t turned_away(RailId rail) const = 0;

 protected:
  ~PortCarrier() = default;
};

}  // namespace hapair::ccm
