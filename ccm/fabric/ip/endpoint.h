// An IP address with a port, of a rail's either end.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <expected>
#include <string>

namespace hapair::ccm {

// An IP address with a port.
class Endpoint {
 public:
  // `address` is numeric IPv4 or IPv6; the error is a sentence.
  static std::expected<Endpoint, std::string> make(const std::string& address, std::uint16_t port);

  [[nodiscard]] const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  [[nodiscard]] socklen_t length() const { return length_; }
  [[nodiscard]] int family() const { return storage_.ss_family; }
  // The same address, whatever the port.
  [[nodiscard]] bool same_host(const sockaddr_storage& other) const;
  [[nodiscard]] bool loopback() const;  // of IPv4

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};

}  // namespace hapair::ccm
