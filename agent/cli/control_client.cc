#include "agent/cli/control_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cerrno>

namespace hapair::cli {
namespace {

using control::v1::Error;
using control::v1::Reply;

Failure not_running(const std::string& path) {
  return {Exit::not_running, "hapaird does not run on this node (nobody answers at " + path +
                                 "); start it: systemctl start hapaird; why it ended: journalctl -u hapaird -n 50"};
}

Failure closed_by_agent(const std::string& path) {
  return {Exit::not_running, "hapaird closed the connection at " + path +
                                 " without an answer: it stopped or was restarted; look again: hapair status"};
}

Failure failure_of(const Error& error) {
  const bool rights = error.code() == Error::NOT_PERMITTED;
  return {Exit::failed, (rights ? "not permitted: " : "") + error.text()};
}

Failure hangs(const std::string& path, Duration patience) {
  return {Exit::failed, "hapaird at " + path + " took the connection but gave no answer for " +
                            std::to_string(patience / std::chrono::seconds(1)) +
                            " s: it hangs, and its watchdog restarts it; look again, or see: "
                            "journalctl -u hapaird -n 50"};
}

}  // namespace

std::expected<ControlClient, Failure> ControlClient::connect(const std::string& path, Duration patience) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return std::unexpected(Failure{Exit::usage, "the socket's path " + path + " is longer than a socket's may be"});
  }
  path.copy(address.sun_path, path.size());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return std::unexpected(Failure{Exit::failed, errno_text("no socket can be made")});
  // Of connect() too, which otherwise waits without end while the queue of an agent that hangs is full.
  const timeval limit{.tv_sec = patience / std::chrono::seconds(1), .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EAGAIN) return std::unexpected(hangs(path, patience));
    if (errno == ENOENT || errno == ECONNREFUSED) return std::unexpected(not_running(path));
    if (errno == EACCES) {
      const char* group = path.ends_with("/alerts.sock") ? "haclient" : "hapair";
      return std::unexpected(Failure{
          Exit::failed, "not permitted to open " + path + ": run this as root or as a member of the group " + group});
    }
    return std::unexpected(Failure{Exit::failed, errno_text("no connection to hapaird at " + path)});
  }
  return ControlClient(std::move(fd), path, patience);
}

std::expected<Reply, Failure> ControlClient::ask(control::v1::Request request) {
  request.set_protocol(control::kControlProtocol);
  const std::string bytes = control::framed(request);
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n = ::send(fd_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    // An agent that turns a client away answers before it closes.
    if (n < 0) break;
    sent += static_cast<std::size_t>(n);
  }
  return receive(false);
}

std::expected<Reply, Failure> ControlClient::receive(bool without_end) {
  std::array<char, 65536> bytes;
  while (true) {
    const auto message = reader_.next();
    if (!message) {
      return std::unexpected(Failure{Exit::failed, "what answers at " + path_ + " is no hapaird of this release"});
    }
    if (*message) {
      Reply reply;
      if (!reply.ParseFromString(**message)) {
        return std::unexpected(Failure{Exit::failed, "what answers at " + path_ + " is no hapaird of this release"});
      }
      if (reply.has_error()) return std::unexpected(failure_of(reply.error()));
      return reply;
    }
    pollfd waiting{fd_.get(), POLLIN, 0};
    const int ready =
        ::poll(&waiting, 1, without_end ? -1 : static_cast<int>(patience_ / std::chrono::milliseconds(1)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return std::unexpected(hangs(path_, patience_));
    const ssize_t n = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return std::unexpected(closed_by_agent(path_));
    reader_.add({bytes.data(), static_cast<std::size_t>(n)});
  }
}

std::expected<control::v1::RecordEntry, Failure> ControlClient::next_followed() {
  while (true) {
    const auto reply = receive(true);
    if (!reply) return std::unexpected(reply.error());
    if (reply->has_followed()) return reply->followed();
  }
}

}  // namespace hapair::cli
