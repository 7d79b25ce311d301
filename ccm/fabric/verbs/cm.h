// What both fabrics of verbs say to the connection manager, and what its answers mean.
#pragma once

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <expected>
#include <optional>
#include <span>
#include <string>

#include "ccm/base/time.h"
#include "ccm/fabric/ip/endpoint.h"
#include "ccm/fabric/verbs/handles.h"
#include "ccm/wire/names.h"

namespace hapair::ccm::verbs {

// What an event says, after it was acknowledged: an identifier cannot go before that.
struct CmEvent {
  rdma_cm_event_type type = RDMA_CM_EVENT_TIMEWAIT_EXIT;
  rdma_cm_id* id = nullptr;
  int status = 0;
  std::array<std::byte, 256> data{};
  std::size_t bytes = 0;
  [[nodiscard]] std::span<const std::byte> private_data() const { return std::span(data).first(bytes); }
};
// False: there is none.
bool next_event(rdma_event_channel& channel, CmEvent& event);

// Why an own attempt or connection ended by this event; nothing where it goes on.
std::optional<FabricError> error_of(const CmEvent& event);
// True where the event ends the partner's connection.
bool ends_inbound(const CmEvent& event);
FabricError error_of(ibv_wc_status status);
FabricError error_of_errno(int error);

// An identifier with an address of the RDMA device at `local`, its port or any. The error is a sentence.
enum class Port : std::uint8_t { own, any };
std::expected<Handle<rdma_cm_id>, std::string> make_bound(rdma_event_channel& channel, const Endpoint& local, Port port,
                                                          const std::string& address);
// Begins to resolve the way from `local` to `partner`; the error is an errno.
std::expected<Handle<rdma_cm_id>, int> begin_to_resolve(rdma_event_channel& channel, const Endpoint& local,
                                                        const Endpoint& partner, Duration patience);
// The next step, once the address is resolved. The error is an errno.
std::expected<void, int> resolve_route(rdma_cm_id& id, std::uint8_t ack_timeout_exponent, Duration patience);

}  // namespace hapair::ccm::verbs
