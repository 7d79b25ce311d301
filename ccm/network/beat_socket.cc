#include "ccm/network/beat_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

namespace hapair::ccm {
namespace {

// Some hundred beats: whoever floods the port fills this and nothing else.
constexpr int kReceiveBytes = 128 * 1024;
// Class selector 6, network control (RFC 2474, RFC 4594): a busy network drops others' packets first.
constexpr int kClass = 48 << 2;

struct Control {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(timespec))> bytes;
};

// Zero where the kernel did not say when it came.
Duration age_of(msghdr& header, const timespec& now) {
  for (cmsghdr* one = CMSG_FIRSTHDR(&header); one != nullptr; one = CMSG_NXTHDR(&header, one)) {
    if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_TIMESTAMPNS) continue;
    timespec came{};
    std::memcpy(&came, CMSG_DATA(one), sizeof came);
    return std::chrono::seconds(now.tv_sec - came.tv_sec) + Duration(now.tv_nsec - came.tv_nsec);
  }
  return Duration{};
}

void set(const Fd& socket, int level, int name, int value) {
  (void)::setsockopt(socket.get(), level, name, &value, sizeof value);
}

}  // namespace

std::expected<BeatSocket, std::string> BeatSocket::open(const Endpoint& local, const Endpoint& partner) {
  Fd socket(::socket(local.family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return std::unexpected(errno_text("socket"));
  const bool v4 = local.family() == AF_INET;
  set(socket, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_FREEBIND : IPV6_FREEBIND, 1);
  set(socket, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, kClass);
  if (!v4) set(socket, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  set(socket, SOL_SOCKET, SO_RCVBUF, kReceiveBytes);
  set(socket, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  if (::bind(socket.get(), local.address(), local.length()) != 0) return std::unexpected(errno_text("bind"));
  return BeatSocket(std::move(socket), partner);
}

bool BeatSocket::send(std::span<const std::byte> datagram) {
  const ssize_t sent =
      ::sendto(socket_.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL, partner_.address(), partner_.length());
  error_ = sent < 0 ? errno : 0;
  return sent == static_cast<ssize_t>(datagram.size());
}

std::span<const Datagram> BeatSocket::receive() {
  std::array<mmsghdr, kBeatBatch> headers{};
  std::array<iovec, kBeatBatch> pieces{};
  std::array<Control, kBeatBatch> controls{};
  for (std::size_t i = 0; i < kBeatBatch; ++i) {
    pieces[i] = {buffers_[i].data(), buffers_[i].size()};
    headers[i].msg_hdr.msg_iov = &pieces[i];
    headers[i].msg_hdr.msg_iovlen = 1;
    headers[i].msg_hdr.msg_control = controls[i].bytes.data();
    headers[i].msg_hdr.msg_controllen = controls[i].bytes.size();
  }
  const int count = ::recvmmsg(socket_.get(), headers.data(), kBeatBatch, MSG_DONTWAIT, nullptr);
  if (count <= 0) return {};
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const auto came = static_cast<std::size_t>(count);
  for (std::size_t i = 0; i < came; ++i) {
    came_[i] = {std::span(buffers_[i]).first(headers[i].msg_len), age_of(headers[i].msg_hdr, now)};
  }
  return std::span(came_).first(came);
}

}  // namespace hapair::ccm
