#include "ccm/client/client.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "ccm/client/port_state.h"
#include "ccm/wire/observation_ring.h"
#include "ccm/wire/session_block.h"

namespace hapair::ccm {
namespace {

ClientError broken(const std::string& text) { return {ClientError::Kind::broken, ClientRefusal::none, text}; }

std::expected<Fd, ClientError> connect_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return std::unexpected(broken(path + ": longer than a socket's path may be"));
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return std::unexpected(broken(errno_text("socket")));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const bool absent = errno == ENOENT || errno == ECONNREFUSED;
    return std::unexpected(ClientError{
        absent ? ClientError::Kind::not_running : ClientError::Kind::broken, ClientRefusal::none,
        errno_text("ccmd cannot be reached at " + path) + (absent ? "; start it: systemctl start ccmd" : "")});
  }
  return socket;
}

struct Answer {
  ClientPacket packet{};
  std::array<Fd, 3> fds;
  std::size_t fd_count = 0;
};

// One packet, with the descriptors that came along. Extra descriptors are closed.
std::expected<Answer, ClientError> receive(int socket, Duration patience) {
  pollfd waiting{socket, POLLIN, 0};
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(patience).count();
  if (::poll(&waiting, 1, static_cast<int>(ms)) <= 0) {
    return std::unexpected(broken("ccmd accepted the connection but did not answer: it hangs or is overloaded"));
  }
  Answer answer;
  iovec part{&answer.packet, sizeof answer.packet};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(8 * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n == 0) return std::unexpected(broken("ccmd closed the connection: it stopped"));
  for (cmsghdr* part_of = CMSG_FIRSTHDR(&message); part_of != nullptr; part_of = CMSG_NXTHDR(&message, part_of)) {
    if (part_of->cmsg_level != SOL_SOCKET || part_of->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part_of->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part_of) + i * sizeof(int), sizeof fd);
      Fd owned(fd);
      if (answer.fd_count < answer.fds.size()) answer.fds[answer.fd_count++] = std::move(owned);
    }
  }
  if (n != static_cast<ssize_t>(sizeof answer.packet)) {
    return std::unexpected(broken("ccmd's answer is not of this protocol; restart both after the upgrade"));
  }
  return answer;
}

std::expected<void, ClientError> send(int socket, const ClientPacket& packet) {
  const ssize_t n = ::send(socket, &packet, sizeof packet, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n == static_cast<ssize_t>(sizeof packet)) return {};
  return std::unexpected(broken(errno_text("ccmd does not take a packet")));
}

std::expected<Mapping, ClientError> map_checked(const Fd& fd, std::size_t size, bool writable) {
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0 || st.st_size < static_cast<off_t>(size)) {
    return std::unexpected(broken("ccmd gave memory of another size; restart both after the upgrade"));
  }
  auto mapping = Mapping::map(fd, size, writable);
  if (!mapping) return std::unexpected(broken(mapping.error()));
  return std::move(*mapping);
}

ClientError refusal_of(const ClientPacket& packet) {
  const auto refusal = static_cast<ClientRefusal>(packet.refusal);
  std::string text = "ccmd refuses: " + std::string(text_of(refusal));
  if (refusal == ClientRefusal::port_count) {
    text += "; allowed now: 1 to " + std::to_string(packet.ports);
  } else if (refusal == ClientRefusal::port_memory) {
    text += "; allowed now: 4096 to " + std::to_string(packet.memory_bytes) +
            " bytes a port, staging included (ccm.port_memory_mib is the limit of all ports together)";
  }
  return {ClientError::Kind::refused, refusal, text};
}

constexpr std::uint64_t whole_pages(std::uint64_t bytes) { return (bytes + 4095) / 4096 * 4096; }

}  // namespace

struct Client::State {
  Fd socket;
  Fd event;
  Mapping ring_memory;
  Mapping block_memory;
  std::optional<ObservationReader> reader;
  Incarnation incarnation;
  std::uint64_t life = 0;
  std::uint64_t beat = 0;
  std::uint64_t poison_asked = 0;

  ObservationRing& ring() const { return *reinterpret_cast<ObservationRing*>(ring_memory.bytes().data()); }
  ClientBlock& block() const { return *reinterpret_cast<ClientBlock*>(block_memory.bytes().data()); }
};

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

std::expected<Client, ClientError> Client::connect(const std::string& socket_path, std::string_view name, Duration pace,
                                                   Duration patience) {
  auto socket = connect_socket(socket_path);
  if (!socket) return std::unexpected(socket.error());
  ClientPacket hello{};
  hello.message = static_cast<std::uint32_t>(ClientMessage::hello);
  hello.protocol = kClientProtocol;
  hello.pace_us = static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(pace).count());
  put_name(hello.name, name);
  if (auto sent = send(socket->get(), hello); !sent) return std::unexpected(sent.error());
  auto answer = receive(socket->get(), patience);
  if (!answer) return std::unexpected(answer.error());
  if (answer->packet.message == static_cast<std::uint32_t>(ClientMessage::refuse)) {
    return std::unexpected(refusal_of(answer->packet));
  }
  if (answer->packet.message != static_cast<std::uint32_t>(ClientMessage::welcome) || answer->fd_count != 3) {
    return std::unexpected(broken("ccmd's answer is not of this protocol; restart both after the upgrade"));
  }
  auto ring = map_checked(answer->fds[0], sizeof(ObservationRing), false);
  if (!ring) return std::unexpected(ring.error());
  auto block = map_checked(answer->fds[1], sizeof(ClientBlock), true);
  if (!block) return std::unexpected(block.error());

  auto state = std::make_unique<State>();
  state->socket = std::move(*socket);
  state->event = std::move(answer->fds[2]);
  state->ring_memory = std::move(*ring);
  state->block_memory = std::move(*block);
  state->incarnation = Incarnation(answer->packet.incarnation);
  state->life = answer->packet.life;
  if (state->ring().magic != kRingMagic)
    return std::unexpected(broken("ccmd gave memory that is no ring of observations"));
  state->reader.emplace(state->ring());
  return Client(std::move(state));
}

int Client::event_fd() const { return state_->event.get(); }

void Client::acknowledge_events() {
  std::uint64_t count = 0;
  (void)!::read(state_->event.get(), &count, sizeof count);
}

int Client::socket_fd() const { return state_->socket.get(); }

bool Client::alive() {
  char byte = 0;
  const ssize_t n = ::recv(state_->socket.get(), &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

bool Client::next(ObservationLayout& into) { return state_->reader->next(into); }
std::uint64_t Client::missed() const { return state_->reader->missed(); }

std::optional<CcmSelfLayout> Client::self() const {
  return sequence_read(state_->ring().self_sequence, state_->ring().self);
}

Incarnation Client::incarnation() const { return state_->incarnation; }
std::uint64_t Client::life() const { return state_->life; }

void Client::beat() {
  std::atomic_ref<std::uint64_t>(state_->block().beat).store(++state_->beat, std::memory_order_release);
}

void Client::progress(const Progress& now) {
  ClientBlock& block = state_->block();
  constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
  const auto limit_ms = std::chrono::ceil<std::chrono::milliseconds>(now.stall_limit).count();
  std::atomic_ref<std::uint32_t>(block.stall_limit_ms)
      .store(static_cast<std::uint32_t>(std::clamp<std::int64_t>(limit_ms, 0, kMost)), std::memory_order_relaxed);
  std::atomic_ref<std::uint32_t>(block.outstanding).store(now.outstanding, std::memory_order_relaxed);
  std::atomic_ref<std::uint64_t>(block.completed).store(now.completed, std::memory_order_release);
}

void Client::fed_until(Instant until) {
  // Between the two values that mean something else.
  const std::int64_t until_ns = std::clamp(ns_of(until), kSaysNothing + 1, kFedFreely - 1);
  std::atomic_ref<std::int64_t>(state_->block().fed_until_ns).store(until_ns, std::memory_order_release);
}

void Client::fed_freely() {
  std::atomic_ref<std::int64_t>(state_->block().fed_until_ns).store(kFedFreely, std::memory_order_release);
}

std::optional<Instant> Client::fed_until_taken() const {
  const std::int64_t taken_ns =
      std::atomic_ref<std::int64_t>(state_->block().fed_until_taken_ns).load(std::memory_order_acquire);
  if (taken_ns == kSaysNothing || taken_ns == kFedFreely) return std::nullopt;
  return instant_of_ns(taken_ns);
}

std::optional<WatchdogStanding> Client::watchdog() const {
  const auto told = self();
  if (!told) return std::nullopt;
  const Duration timeout = std::chrono::milliseconds(told->watchdog.timeout_ms);
  return WatchdogStanding{.armed = told->watchdog.state == static_cast<std::uint8_t>(WatchdogState::armed),
                          .timeout = timeout,
                          .bound = reset_bound_of(timeout)};
}

void Client::publish(const AgentBlockLayout& agent) {
  sequence_write(state_->block().agent_sequence, state_->block().agent, agent);
}

std::uint64_t Client::ask_for_poison(bool resets) {
  const std::uint64_t number = ++state_->poison_asked | (resets ? kPoisonResets : 0);
  std::atomic_ref<std::uint64_t>(state_->block().poison_asked).store(number, std::memory_order_release);
  return number;
}

void Client::withdraw_poison() {
  std::atomic_ref<std::uint64_t>(state_->block().poison_asked).store(0, std::memory_order_release);
}

void Client::poison_obeyed(std::uint64_t number) {
  std::atomic_ref<std::uint64_t>(state_->block().poison_stopped).store(number, std::memory_order_release);
}

void Client::poison_not_obeyed(std::uint64_t number) {
  std::atomic_ref<std::uint64_t>(state_->block().poison_cannot).store(number, std::memory_order_release);
}

std::expected<void, ClientError> Client::set_phase(BootPhase phase, Duration patience) {
  ClientPacket packet{};
  packet.message = static_cast<std::uint32_t>(ClientMessage::phase);
  packet.protocol = kClientProtocol;
  packet.phase = static_cast<std::uint32_t>(phase);
  if (auto sent = send(state_->socket.get(), packet); !sent) return sent;
  const auto answer = receive(state_->socket.get(), patience);
  if (!answer) return std::unexpected(answer.error());
  if (answer->packet.message == static_cast<std::uint32_t>(ClientMessage::phase_set)) return {};
  return std::unexpected(refusal_of(answer->packet));
}

std::expected<Ports, ClientError> Client::request_ports(const PortsRequest& request, Duration patience) {
  ClientPacket packet{};
  packet.message = static_cast<std::uint32_t>(ClientMessage::ports);
  packet.protocol = kClientProtocol;
  packet.ports = request.ports;
  packet.memory_bytes = whole_pages(request.memory_bytes);
  packet.staging_bytes = whole_pages(request.staging_bytes);
  packet.rights = (request.partner_reads ? kPartnerReads : 0U) | (request.partner_writes ? kPartnerWrites : 0U);
  if (auto sent = send(state_->socket.get(), packet); !sent) return std::unexpected(sent.error());
  auto made = receive(state_->socket.get(), patience);
  if (!made) return std::unexpected(made.error());
  if (made->packet.message == static_cast<std::uint32_t>(ClientMessage::refuse)) {
    return std::unexpected(refusal_of(made->packet));
  }
  const ClientError strange = broken("ccmd's answer is not of this protocol; restart both after the upgrade");
  if (made->packet.message != static_cast<std::uint32_t>(ClientMessage::ports_made) || made->fd_count != 2 ||
      made->packet.ports != request.ports) {
    return std::unexpected(strange);
  }
  Ports ports;
  ports.kick_ = std::move(made->fds[0]);
  ports.wake_ = std::move(made->fds[1]);
  for (std::uint32_t i = 0; i < request.ports; ++i) {
    auto one = receive(state_->socket.get(), patience);
    if (!one) return std::unexpected(one.error());
    if (one->packet.message != static_cast<std::uint32_t>(ClientMessage::port) || one->fd_count != 2 ||
        one->packet.port != i) {
      return std::unexpected(strange);
    }
    auto state = Port::State::map(one->fds[0], one->fds[1]);
    if (!state) return std::unexpected(broken(state.error()));
    ports.ports_.push_back(Port::State::port_of(std::move(*state)));
  }
  return ports;
}

void Client::leave() {
  ClientPacket packet{};
  packet.message = static_cast<std::uint32_t>(ClientMessage::goodbye);
  packet.protocol = kClientProtocol;
  (void)send(state_->socket.get(), packet);
  state_->socket.reset();
}

}  // namespace hapair::ccm
