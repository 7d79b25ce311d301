#include "ccm/fabric/verbs/cm.h"

#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ccm/base/fd.h"

namespace hapair::ccm::verbs {
namespace {

// Why the other end's connection manager rejects (IBTA 12.6.7.2); iWARP gives an errno instead.
constexpr int kInvalidServiceId = 8;

sockaddr_storage without_port(const Endpoint& end) {
  sockaddr_storage storage{};
  std::memcpy(&storage, end.address(), end.length());
  if (storage.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in&>(storage).sin_port = 0;
  } else {
    reinterpret_cast<sockaddr_in6&>(storage).sin6_port = 0;
  }
  return storage;
}

int whole_ms(Duration duration) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

}  // namespace

bool next_event(rdma_event_channel& channel, CmEvent& event) {
  rdma_cm_event* raw = nullptr;
  if (::rdma_get_cm_event(&channel, &raw) != 0) return false;
  event.type = raw->event;
  event.id = raw->id;
  event.status = raw->status;
  event.bytes = 0;
  const rdma_conn_param& connection = raw->param.conn;
  if ((raw->event == RDMA_CM_EVENT_CONNECT_REQUEST || raw->event == RDMA_CM_EVENT_ESTABLISHED) &&
      connection.private_data != nullptr) {
    event.bytes = std::min<std::size_t>(connection.private_data_len, event.data.size());
    std::memcpy(event.data.data(), connection.private_data, event.bytes);
  }
  (void)::rdma_ack_cm_event(raw);
  return true;
}

std::optional<FabricError> error_of(const CmEvent& event) {
  switch (event.type) {
    case RDMA_CM_EVENT_REJECTED:
      if (event.status == kInvalidServiceId || event.status == -ECONNREFUSED) return FabricError::not_listening;
      return FabricError::refused;
    case RDMA_CM_EVENT_ADDR_ERROR:
    case RDMA_CM_EVENT_ROUTE_ERROR:
    case RDMA_CM_EVENT_UNREACHABLE:
    case RDMA_CM_EVENT_CONNECT_ERROR:
      return error_of_errno(-event.status);
    case RDMA_CM_EVENT_DISCONNECTED:
    case RDMA_CM_EVENT_ADDR_CHANGE:
      return FabricError::disconnected;
    case RDMA_CM_EVENT_ADDR_RESOLVED:
    case RDMA_CM_EVENT_ROUTE_RESOLVED:
    case RDMA_CM_EVENT_ESTABLISHED:
    case RDMA_CM_EVENT_CONNECT_REQUEST:
    case RDMA_CM_EVENT_CONNECT_RESPONSE:
    case RDMA_CM_EVENT_DEVICE_REMOVAL:
    case RDMA_CM_EVENT_MULTICAST_JOIN:
    case RDMA_CM_EVENT_MULTICAST_ERROR:
    case RDMA_CM_EVENT_TIMEWAIT_EXIT:
      return std::nullopt;
  }
  return std::nullopt;
}

bool ends_inbound(const CmEvent& event) {
  return event.type == RDMA_CM_EVENT_DISCONNECTED || event.type == RDMA_CM_EVENT_CONNECT_ERROR ||
         event.type == RDMA_CM_EVENT_UNREACHABLE || event.type == RDMA_CM_EVENT_REJECTED ||
         event.type == RDMA_CM_EVENT_ADDR_CHANGE;
}

FabricError error_of(ibv_wc_status status) {
  if (status == IBV_WC_REM_ACCESS_ERR || status == IBV_WC_REM_INV_REQ_ERR || status == IBV_WC_REM_OP_ERR) {
    return FabricError::remote_access;
  }
  if (status == IBV_WC_RETRY_EXC_ERR || status == IBV_WC_RNR_RETRY_EXC_ERR) return FabricError::retry_exceeded;
  return FabricError::disconnected;  // flushed: the connection ended, and another event may say why
}

FabricError error_of_errno(int error) {
  switch (error) {
    case ENODEV:
    case EADDRNOTAVAIL:
    case ENETUNREACH:
    case ENETDOWN:
      return FabricError::link_down;
    case ECONNREFUSED:
      return FabricError::not_listening;
    case ECONNRESET:
      return FabricError::refused;
    default:
      return FabricError::retry_exceeded;
  }
}

std::expected<Handle<rdma_cm_id>, std::string> make_bound(rdma_event_channel& channel, const Endpoint& local, Port port,
                                                          const std::string& address) {
  rdma_cm_id* id = nullptr;
  if (::rdma_create_id(&channel, &id, nullptr, RDMA_PS_TCP) != 0) return std::unexpected(errno_text("rdma_create_id"));
  Handle<rdma_cm_id> made(id);
  sockaddr_storage any = without_port(local);
  auto* const where = port == Port::any ? reinterpret_cast<sockaddr*>(&any) : const_cast<sockaddr*>(local.address());
  if (::rdma_bind_addr(id, where) != 0) {
    return std::unexpected(errno_text("no RDMA device has the address " + address + " yet (rdma_bind_addr") + ")");
  }
  if (id->verbs == nullptr) return std::unexpected(address + " is no address of an RDMA device");
  return made;
}

std::expected<Handle<rdma_cm_id>, int> begin_to_resolve(rdma_event_channel& channel, const Endpoint& local,
                                                        const Endpoint& partner, Duration patience) {
  rdma_cm_id* id = nullptr;
  if (::rdma_create_id(&channel, &id, nullptr, RDMA_PS_TCP) != 0) return std::unexpected(ENODEV);
  Handle<rdma_cm_id> made(id);
  sockaddr_storage from = without_port(local);
  auto* const to = const_cast<sockaddr*>(partner.address());
  if (::rdma_resolve_addr(id, reinterpret_cast<sockaddr*>(&from), to, whole_ms(patience)) != 0) {
    return std::unexpected(errno);
  }
  return made;
}

std::expected<void, int> resolve_route(rdma_cm_id& id, std::uint8_t ack_timeout_exponent, Duration patience) {
  // Not every device has it; the deadline decides where it has not.
  (void)::rdma_set_option(&id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &ack_timeout_exponent,
                          sizeof ack_timeout_exponent);
  if (::rdma_resolve_route(&id, whole_ms(patience)) != 0) return std::unexpected(errno);
  return {};
}

}  // namespace hapair::ccm::verbs
