#include "ccm/daemon/notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>

namespace hapair::ccm {

ServiceNotifier ServiceNotifier::from_environment() {
  const char* const path = std::getenv("NOTIFY_SOCKET");
  const char* const usec = std::getenv("WATCHDOG_USEC");
  return at(path == nullptr ? "" : path, usec == nullptr ? 0 : std::atoll(usec));
}

ServiceNotifier ServiceNotifier::at(const std::string& socket, long long watchdog_us) {
  ServiceNotifier notifier;
  if (socket.empty() || (socket[0] != '/' && socket[0] != '@') || socket.size() >= sizeof(sockaddr_un::sun_path)) {
    return notifier;
  }
  notifier.path_ = socket;
  notifier.socket_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (watchdog_us > 0) notifier.watchdog_interval_ = std::chrono::microseconds(watchdog_us / 2);
  return notifier;
}

void ServiceNotifier::send(const std::string& state) const {
  if (!socket_.valid()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
  // A manager that does not listen is not this daemon's business.
  (void)::sendto(socket_.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
                 size);
}

}  // namespace hapair::ccm
