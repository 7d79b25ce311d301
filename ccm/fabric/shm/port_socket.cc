#include "ccm/fabric/shm/port_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

namespace hapair::ccm {
namespace {

constexpr int kBacklog = 16;

std::optional<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return std::nullopt;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Fd new_socket() { return Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

}  // namespace

std::expected<Fd, std::string> listen_at(const std::string& path) {
  const auto address = address_of(path);
  if (!address) {
    return std::unexpected(path + ": too long for a Unix socket, which takes 107 bytes; choose a shorter shm_dir");
  }
  Fd socket = new_socket();
  if (!socket.valid()) return std::unexpected(errno_text("socket"));
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return std::unexpected(errno_text(path));
  // Before bind(): the file is never there with other rights.
  if (::fchmod(socket.get(), 0600) != 0 || ::bind(socket.get(), generic(*address), sizeof *address) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return std::unexpected(errno_text(path));
  }
  return socket;
}

std::expected<Fd, FabricError> dial(const std::string& path) {
  const auto address = address_of(path);
  Fd socket = new_socket();
  if (!address || !socket.valid()) return std::unexpected(FabricError::refused);
  if (::connect(socket.get(), generic(*address), sizeof *address) == 0) return socket;
  if (errno == EAGAIN) return std::unexpected(FabricError::none);
  return std::unexpected(errno == ENOENT || errno == ECONNREFUSED ? FabricError::not_listening : FabricError::refused);
}

Fd accept_from(const Fd& listener) {
  return Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

bool is_own_user(const Fd& socket) {
  ucred who{};
  socklen_t length = sizeof who;
  return ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &who, &length) == 0 &&
         (who.uid == ::geteuid() || who.uid == 0);
}

bool send_packet(const Fd& socket, std::span<const std::byte> bytes, std::span<const int> memory) {
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(2 * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!memory.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(memory.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(memory.size_bytes());
    std::memcpy(CMSG_DATA(header), memory.data(), memory.size_bytes());
  }
  return ::sendmsg(socket.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

bool send_word(const Fd& socket, PortWord word) {
  const auto byte = static_cast<std::byte>(word);
  return ::send(socket.get(), &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

PortPacket receive_packet(const Fd& socket) {
  PortPacket packet;
  iovec part{packet.data.data(), packet.data.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(2 * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = ::recvmsg(socket.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return packet;
  packet.kind = size <= 0 ? PortPacket::Kind::ended : PortPacket::Kind::bytes;
  packet.size = size <= 0 ? 0 : static_cast<std::size_t>(size);
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      Fd owned(fd);
      if (i < packet.memory.size()) packet.memory.at(i) = std::move(owned);
    }
  }
  return packet;
}

}  // namespace hapair::ccm
