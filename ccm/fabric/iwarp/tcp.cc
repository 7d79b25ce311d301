#include "ccm/fabric/iwarp/tcp.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

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

const void* host_of(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET) return &reinterpret_cast<const sockaddr_in&>(storage).sin_addr;
  return &reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr;
}

}  // namespace

std::expected<Endpoint, std::string> Endpoint::make(const std::string& address, std::uint16_t port) {
  Endpoint end;
  auto& v4 = reinterpret_cast<sockaddr_in&>(end.storage_);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(end.storage_);
  if (::inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    end.length_ = sizeof v4;
    return end;
  }
  end.storage_ = {};
  if (::inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    end.length_ = sizeof v6;
    return end;
  }
  return std::unexpected("\"" + address + "\" is no numeric IPv4 or IPv6 address");
}

bool Endpoint::same_host(const sockaddr_storage& other) const {
  const std::size_t bytes = family() == AF_INET ? sizeof(in_addr) : sizeof(in6_addr);
  return other.ss_family == storage_.ss_family && std::memcmp(host_of(other), host_of(storage_), bytes) == 0;
}

bool Endpoint::loopback() const {
  if (family() != AF_INET) return false;
  return ntohl(reinterpret_cast<const sockaddr_in&>(storage_).sin_addr.s_addr) >> 24U == IN_LOOPBACKNET;
}

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

LocalLink::LocalLink(const Endpoint& local) : local_(local), probe_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}

void LocalLink::look_for_interface() {
  interface_.clear();
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != local_.family()) continue;
    sockaddr_storage storage{};
    std::memcpy(&storage, one->ifa_addr, local_.length());
    // All of 127.0.0.0/8 is the loopback's, whatever single address it shows.
    const bool own = local_.same_host(storage) || (local_.loopback() && (one->ifa_flags & IFF_LOOPBACK) != 0);
    if (!own) continue;
    interface_ = one->ifa_name;
    break;
  }
  ::freeifaddrs(all);
}

bool LocalLink::up() {
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (interface_.empty()) look_for_interface();
    if (interface_.empty()) return false;
    ifreq request{};
    std::memcpy(request.ifr_name, interface_.data(), std::min(interface_.size(), sizeof request.ifr_name - 1));
    if (::ioctl(probe_.get(), SIOCGIFFLAGS, &request) == 0) {
      constexpr short kUp = IFF_UP | IFF_RUNNING;
      return (request.ifr_flags & kUp) == kUp;
    }
    interface_.clear();  // it is gone; the address may be on another one now
  }
  return false;
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
