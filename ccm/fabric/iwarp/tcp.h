// The little of TCP that an iWARP connection needs: a listener, and a dial that does not wait.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "ccm/fabric/ip/endpoint.h"
#include "ccm/fabric/ip/local_link.h"
#include "ccm/wire/names.h"

namespace hapair::ccm::iwarp {

// Listens without blocking. The address need not be there yet: an interface may come up later.
std::expected<Fd, std::string> listen_at(const Endpoint& local);
// Who has connected. Nothing where nobody waits.
struct Newcomer {
  Fd socket;
  bool partner = false;  // it comes from the partner's address
};
std::optional<Newcomer> accept_one(const Fd& listener, const Endpoint& partner);
// Begins to connect from the address of `local`, any port.
std::expected<Fd, FabricError> dial(const Endpoint& local, const Endpoint& remote);
// Of an accepted or dialled socket: small frames at once, and an end of what is never acknowledged.
void tune(const Fd& socket, Duration user_timeout);
// What the kernel's error says; `fallback` where it says nothing of the path.
FabricError fabric_error(int error, FabricError fallback);

// What a rail's service begins with: both addresses, the own one's link, and a listener that `epoll` tells of.
struct Service {
  Endpoint local;
  Endpoint partner;
  LocalLink link;
  Fd epoll;
  Fd listener;
};
// `number`: the listener's in epoll. The error is a sentence for the operator.
std::expected<Service, std::string> open_service(const std::string& address, const std::string& partner_address,
                                                 std::uint16_t port, std::uint64_t number);

}  // namespace hapair::ccm::iwarp
