#include "ccm/daemon/notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>

namespace hapair::ccm {

ServiceNotifier ServiceNotifier::from_environment() {
  ServiceNotifier notifier;
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@') || std::strlen(path) >= sizeof(sockaddr_un::sun_path)) {
    return notifier;
  }
  notifier.path_ = path;
  notifier.socket_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const char* usec = std::getenv("WATCHDOG_USEC");
  const long long interval = usec == nullptr ? 0 : std::atoll(usec);
  if (interval > 0) notifier.watchdog_interval_ = std::chrono::microseconds(interval / 2);
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
