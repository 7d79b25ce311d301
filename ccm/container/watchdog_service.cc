#include "ccm/container/watchdog_service.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "ccm/base/log_line.h"

namespace hapair::ccm {
namespace {

using Message = ContainerWatchdogMessage;

constexpr int kBacklog = 8;
constexpr int kPacketsATurn = 64;  // of a holder that floods; it goes on after a look at the time

bool answer(const Fd& socket, const ContainerWatchdogPacket& packet) {
  return ::send(socket.get(), &packet, sizeof packet, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof packet;
}

const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

Fd new_socket() { return Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

// Empty where nothing is, or a socket of whom nobody serves any more.
std::string what_is_in_the_way(const std::string& path, const sockaddr_un& address) {
  struct stat st{};
  if (::lstat(path.c_str(), &st) != 0) return "";
  if (!S_ISSOCK(st.st_mode)) return path + ": there is something else than a socket; it was left alone";
  const Fd socket = new_socket();
  if (::connect(socket.get(), generic(address), sizeof address) != 0 && errno == ECONNREFUSED) return "";
  return path +
         ": somebody serves there, as another container with the same folder does; give this one another --watchdog";
}

}  // namespace

std::expected<WatchdogService, std::string> WatchdogService::open(const std::string& path, bool nowayout,
                                                                  const Clock& clock) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return std::unexpected(path + ": too long for a Unix socket, which takes " +
                           std::to_string(sizeof address.sun_path - 1) + " bytes");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (std::string why = what_is_in_the_way(path, address); !why.empty()) return std::unexpected(std::move(why));
  Fd socket = new_socket();
  if (!socket.valid()) return std::unexpected(errno_text("socket"));
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return std::unexpected(errno_text(path));
  // Before bind(): the file is never there with other rights.
  if (::fchmod(socket.get(), 0600) != 0 || ::bind(socket.get(), generic(address), sizeof address) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return std::unexpected(errno_text(path));
  }
  return WatchdogService(std::move(socket), nowayout, clock);
}

void WatchdogService::turn() {
  read_holder();
  accept_next();
}

void WatchdogService::read_holder() {
  std::array<std::byte, sizeof(ContainerWatchdogPacket) + 1> bytes{};
  for (int i = 0; i < kPacketsATurn && holder_.valid(); ++i) {
    const ssize_t got = ::recv(holder_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    // Its end, or an error: the time runs on.
    if (got <= 0) return holder_.reset();
    const auto packet = container_watchdog_packet(std::span(bytes).first(static_cast<std::size_t>(got)));
    if (packet && take(*packet)) continue;
    if (!std::exchange(told_of_garbage_, true)) {
      log_line(4, "hapair-node-init: somebody sent the watchdog what is no packet of it, and was turned out");
    }
    return holder_.reset();
  }
}

bool WatchdogService::take(const ContainerWatchdogPacket& packet) {
  switch (static_cast<Message>(packet.message)) {
    case Message::hold:
      return hold(packet);
    case Message::feed:
      timer_.feed(instant_of_ns(packet.at_ns), clock_->now());
      return true;
    case Message::stop:
      timer_.stop(clock_->now());
      return true;
    case Message::held:
    case Message::refused:
      return false;
  }
  return false;
}

bool WatchdogService::hold(const ContainerWatchdogPacket& wish) {
  const std::uint32_t timeout_ms = std::clamp(wish.timeout_ms, kShortestContainerTimeoutMs, kLongestContainerTimeoutMs);
  timer_.start(std::chrono::milliseconds(timeout_ms), instant_of_ns(wish.at_ns), clock_->now());
  ContainerWatchdogPacket held = container_watchdog_packet(Message::held);
  held.timeout_ms = timeout_ms;
  held.cannot_stop = timer_.can_stop() ? 0 : 1;
  return answer(holder_, held);
}

void WatchdogService::accept_next() {
  for (int i = 0; i < kBacklog; ++i) {
    Fd next(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!next.valid()) return;
    if (!holder_.valid()) {
      holder_ = std::move(next);
      read_holder();
      continue;
    }
    ContainerWatchdogPacket refused = container_watchdog_packet(Message::refused);
    refused.error = EBUSY;
    (void)answer(next, refused);
  }
}

}  // namespace hapair::ccm
