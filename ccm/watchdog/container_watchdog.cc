#include "ccm/watchdog/container_watchdog.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "ccm/wire/container_watchdog.h"

namespace hapair::ccm {
namespace {

using Message = ContainerWatchdogMessage;

std::unexpected<WatchdogFault> cannot_open(int error) {
  return std::unexpected(WatchdogFault{WatchdogProblem::cannot_open, error});
}

std::unexpected<WatchdogFault> no_watchdog() { return std::unexpected(WatchdogFault{WatchdogProblem::no_watchdog, 0}); }

// Zero, or an errno.
int send(const Fd& socket, const ContainerWatchdogPacket& packet) {
  const ssize_t sent = ::send(socket.get(), &packet, sizeof packet, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) return 0;
  // Process 1 has closed the connection: it is not held any more, as a device that is gone.
  return errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN ? ENODEV : errno;
}

std::expected<Fd, WatchdogFault> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return cannot_open(errno);
  if (!S_ISSOCK(st.st_mode) || path.size() >= sizeof address.sun_path) return no_watchdog();
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return cannot_open(errno);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EPROTOTYPE) return no_watchdog();  // a socket of another kind: somebody else's
    return cannot_open(errno);
  }
  return socket;
}

}  // namespace

ContainerWatchdog::ContainerWatchdog(std::string socket) : path_(std::move(socket)) {}

Watchdog::Answer ContainerWatchdog::hold(Duration timeout, Duration /*pretimeout*/, Instant decided) {
  auto socket = connect_to(path_);
  if (!socket) return std::unexpected(socket.error());
  ContainerWatchdogPacket wish = container_watchdog_packet(Message::hold, decided);
  wish.timeout_ms = static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count());
  if (const int error = send(*socket, wish); error != 0) return cannot_open(error == ENODEV ? EBUSY : error);
  socket_ = std::move(*socket);
  unanswered_ns_ = 0;
  return look();
}

Watchdog::Answer ContainerWatchdog::look() {
  if (!socket_.valid()) return cannot_open(EBADF);
  std::array<std::byte, sizeof(ContainerWatchdogPacket) + 1> bytes{};
  const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  const int error = got < 0 ? errno : 0;
  if (error == EAGAIN || error == EINTR) return std::nullopt;
  const auto packet =
      got > 0 ? container_watchdog_packet(std::span(bytes).first(static_cast<std::size_t>(got))) : std::nullopt;
  if (packet && packet->message == static_cast<std::uint32_t>(Message::held)) {
    return Held{.timeout = std::chrono::milliseconds(packet->timeout_ms),
                .pretimeout = {},
                .can_stop = packet->cannot_stop == 0,
                .outlives_holder = true,
                .resets = true,
                .hardware = true,
                .kind = WatchdogKind::container};
  }
  socket_.reset();
  // Turned out before the answer was read: so is who comes while another holds it.
  if (got <= 0) return cannot_open(got == 0 || error == ECONNRESET ? EBUSY : error);
  if (packet && packet->message == static_cast<std::uint32_t>(Message::refused)) return cannot_open(packet->error);
  return no_watchdog();
}

bool ContainerWatchdog::read_answers() {
  constexpr int kAtATime = 16;
  std::array<std::byte, sizeof(ContainerWatchdogPacket) + 1> bytes{};
  for (int i = 0; i < kAtATime; ++i) {
    const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    const auto packet = container_watchdog_packet(std::span(bytes).first(static_cast<std::size_t>(got)));
    const bool fed = packet && packet->message == static_cast<std::uint32_t>(Message::fed);
    if (fed && packet->at_ns == unanswered_ns_) unanswered_ns_ = 0;
  }
  return true;
}

int ContainerWatchdog::feed(Instant decided) {
  if (!socket_.valid()) return EBADF;
  if (!read_answers()) return ENODEV;
  const bool answered = unanswered_ns_ == 0;
  const int error = send(socket_, container_watchdog_packet(Message::feed, decided));
  // What found no room lies behind others that were not read.
  if (error == EAGAIN) return kFeedBeforeUnanswered;
  if (error != 0) return error;
  unanswered_ns_ = ns_of(decided);
  return answered ? 0 : kFeedBeforeUnanswered;
}

void ContainerWatchdog::stop() {
  if (socket_.valid()) (void)send(socket_, container_watchdog_packet(Message::stop));
  socket_.reset();
}

void ContainerWatchdog::leave_running() { socket_.reset(); }

}  // namespace hapair::ccm
