#include "ccm/fabric/iwarp/tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace hapair::ccm::iwarp {
namespace {

template <class T>
bool set(const Fd& socket, int level, int name, const T& value) {
  return ::setsockopt(socket.get(), level, name, &value, sizeof value) == 0;
}

}  // namespace

std::expected<Fd, std::string> listen_at(const Endpoint& local) {
  Fd socket(::socket(local.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!socket.valid()) return std::unexpected(errno_text("socket"));
  (void)set(socket, SOL_SOCKET, SO_REUSEADDR, 1);
  if (local.family() == AF_INET) {
    (void)set(socket, IPPROTO_IP, IP_FREEBIND, 1);
  } else {
    (void)set(socket, IPPROTO_IPV6, IPV6_FREEBIND, 1);
  }
  if (::bind(socket.get(), local.address(), local.length()) != 0) return std::unexpected(errno_text("bind"));
  if (::listen(socket.get(), 64) != 0) return std::unexpected(errno_text("listen"));
  return socket;
}

std::optional<Newcomer> accept_one(const Fd& listener, const Endpoint& partner) {
  sockaddr_storage from{};
  socklen_t length = sizeof from;
  Fd socket(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&from), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket.valid()) return std::nullopt;
  return Newcomer{std::move(socket), partner.same_host(from)};
}

std::expected<Fd, FabricError> dial(const Endpoint& local, const Endpoint& remote) {
  Fd socket(::socket(local.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!socket.valid()) return std::unexpected(FabricError::disconnected);
  (void)set(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  sockaddr_storage from{};
  std::memcpy(&from, local.address(), local.length());
  if (from.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in&>(from).sin_port = 0;
  } else {
    reinterpret_cast<sockaddr_in6&>(from).sin6_port = 0;
  }
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&from), local.length()) != 0) {
    return std::unexpected(FabricError::link_down);  // the address is not there
  }
  if (::connect(socket.get(), remote.address(), remote.length()) != 0 && errno != EINPROGRESS) {
    return std::unexpected(fabric_error(errno, FabricError::retry_exceeded));
  }
  return socket;
}

void tune(const Fd& socket, Duration user_timeout) {
  (void)set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(user_timeout).count();
  (void)set(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<unsigned>(std::max<std::int64_t>(ms, 1)));
  // A connection that is given up says so at once, whatever is still unsent.
  (void)set(socket, SOL_SOCKET, SO_LINGER, linger{1, 0});
}

FabricError fabric_error(int error, FabricError fallback) {
  switch (error) {
    case ECONNREFUSED:
      return FabricError::not_listening;
    case ENETDOWN:
    case ENETUNREACH:
    case EADDRNOTAVAIL:
      return FabricError::link_down;
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ETIMEDOUT:
      return FabricError::retry_exceeded;
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
      return FabricError::disconnected;
    default:
      return fallback;
  }
}

std::expected<Service, std::string> open_service(const std::string& address, const std::string& partner_address,
                                                 std::uint16_t port, std::uint64_t number) {
  const auto local = Endpoint::make(address, port);
  const auto partner = Endpoint::make(partner_address, port);
  if (!local) return std::unexpected(local.error());
  if (!partner) return std::unexpected(partner.error());
  Service service{*local, *partner, LocalLink(*local), Fd(::epoll_create1(EPOLL_CLOEXEC)), Fd()};
  if (!service.epoll.valid()) return std::unexpected(errno_text("epoll_create1"));
  auto listener = listen_at(*local);
  if (!listener) {
    return std::unexpected(listener.error() + " at " + address + " port " + std::to_string(port) +
                           "; another program has it, or another ccmd of this node runs");
  }
  service.listener = std::move(*listener);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = number;
  if (::epoll_ctl(service.epoll.get(), EPOLL_CTL_ADD, service.listener.get(), &event) != 0) {
    return std::unexpected(errno_text("epoll_ctl"));
  }
  return service;
}

}  // namespace hapair::ccm::iwarp
