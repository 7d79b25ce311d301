#include "ccm/fabric/ip/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

namespace hapair::ccm {
namespace {

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

}  // namespace hapair::ccm
