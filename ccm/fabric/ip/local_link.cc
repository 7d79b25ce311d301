#include "ccm/fabric/ip/local_link.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace hapair::ccm {

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

}  // namespace hapair::ccm
