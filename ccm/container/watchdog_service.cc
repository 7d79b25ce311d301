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

// A process that this PID namespace does not know has no number here.
bool is_inside(const Fd& peer) {
  ucred who{};
  socklen_t size = sizeof who;
  return ::getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && who.pid > 0;
}

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

WatchdogService::WatchdogService(Fd listener, bool nowayout, const Clock& clock)
    : listener_(std::move(listener)), timer_(nowayout), clock_(&clock), voice_(Voice::of(STDERR_FILENO)) {}

bool WatchdogService::turn() {
  if (!read_holder()) return false;
  return accept_next();
}

bool WatchdogService::read_holder() {
  std::array<std::byte, sizeof(ContainerWatchdogPacket) + 1> bytes{};
  for (int i = 0; i < kPacketsATurn && holder_.valid(); ++i) {
    const ssize_t got = ::recv(holder_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    // Its end, or an error: the time runs on.
    if (got <= 0) {
      holder_.reset();
      return true;
    }
    const auto packet = container_watchdog_packet(std::span(bytes).first(static_cast<std::size_t>(got)));
    if (packet && take(*packet)) continue;
    say_once(told_of_garbage_, "somebody sent the watchdog what is no packet of it, and was turned out");
    holder_.reset();
  }
  return !holder_.valid();
}

bool WatchdogService::take(const ContainerWatchdogPacket& packet) {
  switch (static_cast<Message>(packet.message)) {
    case Message::hold:
      hold(packet);
      return true;
    case Message::feed:
      timer_.feed(instant_of_ns(packet.at_ns), clock_->now());
      (void)answer(holder_, container_watchdog_packet(Message::fed, instant_of_ns(packet.at_ns)));
      return true;
    case Message::stop:
      timer_.stop(clock_->now());
      return true;
    case Message::held:
    case Message::refused:
    case Message::fed:
      return false;
  }
  return false;
}

// Who is gone before the answer may have left the word to stop behind it.
void WatchdogService::hold(const ContainerWatchdogPacket& wish) {
  const std::uint32_t timeout_ms = std::clamp(wish.timeout_ms, kShortestContainerTimeoutMs, kLongestContainerTimeoutMs);
  timer_.start(std::chrono::milliseconds(timeout_ms), instant_of_ns(wish.at_ns), clock_->now());
  ContainerWatchdogPacket held = container_watchdog_packet(Message::held);
  held.timeout_ms = timeout_ms;
  held.cannot_stop = timer_.can_stop() ? 0 : 1;
  (void)answer(holder_, held);
}

bool WatchdogService::accept_next() {
  for (int i = 0; i < kBacklog; ++i) {
    Fd next(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!next.valid()) return true;
    if (!is_inside(next)) {
      refuse(next, EPERM);
      say_once(
          told_of_outsider_,
          "a process outside of this container's PID namespace wanted its watchdog, and was refused: its feeds would "
          "not end with the container's processes; ccmd is to run in the container");
      continue;
    }
    if (holder_.valid()) {
      refuse(next, EBUSY);
      continue;
    }
    holder_ = std::move(next);
    if (!read_holder()) return false;
  }
  return false;
}

void WatchdogService::refuse(const Fd& socket, int error) {
  ContainerWatchdogPacket refused = container_watchdog_packet(Message::refused);
  refused.error = error;
  (void)answer(socket, refused);
}

void WatchdogService::say_once(bool& told, std::string_view text) {
  if (std::exchange(told, true)) return;
  voice_.say(4, "hapair-node-init: " + std::string(text));
}

}  // namespace hapair::ccm
