#include "ccm/daemon/client_registry.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include "ccm/base/shared_memory.h"
#include "ccm/daemon/say.h"

namespace hapair::ccm {
namespace {

// A client that has so many of the ring's observations still to read is woken, however slow its pace is.
constexpr std::uint64_t kUnreadSlots = kObservationSlots / 4;

std::expected<void, std::string> watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) return std::unexpected(errno_text("epoll_ctl"));
  return {};
}

bool send_packet(int socket, const ClientPacket& packet, std::span<const int> fds) {
  ClientPacket copy = packet;
  iovec part{&copy, sizeof copy};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(3 * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(sizeof copy);
}

// Before the agent's block is read: the agent asks after it has published why.
PoisonWords words_of(ClientBlock& block) {
  const auto word = [](std::uint64_t& shared) {
    return std::atomic_ref<std::uint64_t>(shared).load(std::memory_order_acquire);
  };
  return {word(block.poison_asked), word(block.poison_stopped), word(block.poison_cannot)};
}

ClientPacket answer(ClientMessage message) {
  ClientPacket packet{};
  packet.message = static_cast<std::uint32_t>(message);
  packet.protocol = kClientProtocol;
  return packet;
}

}  // namespace

ClientRegistry::ClientRegistry(Incarnation incarnation, Random& random, PhaseSetter& phases, PortRequests& ports,
                               FedUntilTaker& watchdog)
    : incarnation_(incarnation), random_(&random), phases_(&phases), ports_(&ports), watchdog_(&watchdog) {}

std::expected<void, std::string> ClientRegistry::open(const std::string& path, int epoll) {
  epoll_ = epoll;
  auto ring = sealed_memory("hapair-observations", sizeof(ObservationRing));
  if (!ring) return std::unexpected(ring.error());
  ring_fd_ = std::move(*ring);
  // A description of its own, so that clients cannot map it for writing.
  ring_read_only_ = Fd(::open(("/proc/self/fd/" + std::to_string(ring_fd_.get())).c_str(), O_RDONLY | O_CLOEXEC));
  if (!ring_read_only_.valid()) return std::unexpected(errno_text("/proc/self/fd (is /proc mounted?)"));
  auto mapping = Mapping::map(ring_fd_, sizeof(ObservationRing), true);
  if (!mapping) return std::unexpected(mapping.error());
  ring_memory_ = std::move(*mapping);
  writer_.emplace(*reinterpret_cast<ObservationRing*>(ring_memory_.bytes().data()));

  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return std::unexpected(path + ": longer than a socket's path may be");
  std::memcpy(address.sun_path, path.data(), path.size());
  listener_ = Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_.valid()) return std::unexpected(errno_text("socket"));
  ::unlink(path.c_str());
  if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0660) != 0 || ::listen(listener_.get(), 8) != 0) {
    return std::unexpected(errno_text(path));
  }
  return watch(epoll_, listener_.get());
}

bool ClientRegistry::handle(int fd, std::uint32_t /*events*/) {
  if (fd == listener_.get()) {
    accept_one();
    return true;
  }
  const auto it = std::ranges::find_if(connections_, [fd](const Connection& c) { return c.socket.get() == fd; });
  if (it == connections_.end()) return false;
  read_packet(*it);
  return true;
}

void ClientRegistry::accept_one() {
  Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) return;
  const auto free = std::ranges::find_if(connections_, [](const Connection& c) { return !c.socket.valid(); });
  if (free == connections_.end()) return;  // closed at once: as many as can be were accepted
  if (!watch(epoll_, socket.get())) return;
  free->socket = std::move(socket);
  free->slot = -1;
}

bool ClientRegistry::permitted(const Connection& connection) const {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(connection.socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid();
}

void ClientRegistry::read_packet(Connection& connection) {
  std::array<std::byte, sizeof(ClientPacket) + 1> bytes{};
  const ssize_t n = ::recv(connection.socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return close(connection, ClientState::gone);
  if (n != static_cast<ssize_t>(sizeof(ClientPacket))) return refuse(connection, ClientRefusal::malformed);
  ClientPacket packet;
  std::memcpy(&packet, bytes.data(), sizeof packet);
  if (!permitted(connection)) return refuse(connection, ClientRefusal::not_permitted);
  if (packet.protocol != kClientProtocol) return refuse(connection, ClientRefusal::version);
  const bool registered = connection.slot >= 0;
  if (packet.message == static_cast<std::uint32_t>(ClientMessage::hello) && !registered)
    return hello(connection, packet);
  if (packet.message == static_cast<std::uint32_t>(ClientMessage::phase) && registered)
    return set_phase(connection, packet);
  if (packet.message == static_cast<std::uint32_t>(ClientMessage::ports) && registered)
    return request_ports(connection, packet);
  if (packet.message == static_cast<std::uint32_t>(ClientMessage::goodbye) && registered) {
    return close(connection, ClientState::left);
  }
  refuse(connection, ClientRefusal::malformed);
}

void ClientRegistry::refuse(Connection& connection, ClientRefusal refusal) {
  ClientPacket packet = answer(ClientMessage::refuse);
  packet.refusal = static_cast<std::uint32_t>(refusal);
  (void)send_packet(connection.socket.get(), packet, {});
  close(connection, ClientState::gone);
}

int ClientRegistry::slot_for(const std::array<char, 24>& name, ClientRefusal& refusal) {
  int free = -1;
  int ended = -1;
  for (int i = 0; i < static_cast<int>(slots_.size()); ++i) {
    const Slot& slot = slots_[static_cast<std::size_t>(i)];
    if (slot.state == ClientState::registered && name_in(slot.name) == name_in(name)) {
      refusal = ClientRefusal::name_taken;
      return -1;
    }
    if (slot.state != ClientState::none && slot.state != ClientState::registered) {
      if (name_in(slot.name) == name_in(name)) return i;  // its earlier life's place
      // Whoever left needs no place any more; that another is gone is still news to the partner.
      if (ended < 0 ||
          (slot.state == ClientState::left && slots_[static_cast<std::size_t>(ended)].state == ClientState::gone)) {
        ended = i;
      }
    }
    if (slot.state == ClientState::none && free < 0) free = i;
  }
  if (free >= 0) return free;
  if (ended < 0) refusal = ClientRefusal::no_slot;
  return ended;
}

void ClientRegistry::hello(Connection& connection, const ClientPacket& packet) {
  const std::string_view name = name_in(packet.name);
  const bool printable = std::ranges::all_of(name, [](char c) { return c > ' ' && c < 127; });
  if (name.empty() || name.size() >= packet.name.size() || !printable)
    return refuse(connection, ClientRefusal::malformed);
  ClientRefusal refusal = ClientRefusal::none;
  const int place = slot_for(packet.name, refusal);
  if (place < 0) return refuse(connection, refusal);

  auto memory = sealed_memory("hapair-client", sizeof(ClientBlock));
  if (!memory) return refuse(connection, ClientRefusal::no_slot);
  auto block = Mapping::map(*memory, sizeof(ClientBlock), true);
  Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!block || !event.valid()) return refuse(connection, ClientRefusal::no_slot);
  reinterpret_cast<ClientBlock*>(block->bytes().data())->magic = kClientBlockMagic;

  Slot& slot = slots_[static_cast<std::size_t>(place)];
  slot.name = packet.name;
  slot.pace_us = packet.pace_us;
  slot.beat = slot.completed = 0;
  slot.outstanding = slot.stall_limit_ms = 0;
  random_->fill(std::as_writable_bytes(std::span(&slot.life, 1)));
  slot.block = std::move(*block);
  slot.event = std::move(event);
  slot.woken_at = Instant();
  slot.woken_for = writer_->newest();
  slot.state = ClientState::registered;
  auto& told = *reinterpret_cast<ClientBlock*>(slot.block.bytes().data());
  std::atomic_ref<std::int64_t>(told.fed_until_taken_ns)
      .store(watchdog_->standing(slot.name), std::memory_order_release);
  connection.slot = place;

  ClientPacket welcome = answer(ClientMessage::welcome);
  welcome.slot = static_cast<std::uint32_t>(place);
  welcome.incarnation = incarnation_.value();
  welcome.life = slot.life;
  const std::array<int, 3> fds{ring_read_only_.get(), memory->get(), slot.event.get()};
  if (!send_packet(connection.socket.get(), welcome, fds)) close(connection, ClientState::gone);
}

void ClientRegistry::set_phase(Connection& connection, const ClientPacket& packet) {
  const bool known = packet.phase <= static_cast<std::uint32_t>(BootPhase::panicked);
  const ClientRefusal refusal =
      known ? phases_->set_phase(static_cast<BootPhase>(packet.phase)) : ClientRefusal::malformed;
  ClientPacket reply = answer(refusal == ClientRefusal::none ? ClientMessage::phase_set : ClientMessage::refuse);
  reply.refusal = static_cast<std::uint32_t>(refusal);
  if (!send_packet(connection.socket.get(), reply, {})) close(connection, ClientState::gone);
}

// ---- ports -------------------------------------------------------------------------------------------------------

void ClientRegistry::request_ports(Connection& connection, const ClientPacket& packet) {
  const Slot& slot = slots_[static_cast<std::size_t>(connection.slot)];
  PortLimits limits;
  const ClientRefusal refusal = ports_->request({.slot = static_cast<std::uint8_t>(connection.slot),
                                                 .name = slot.name,
                                                 .life = slot.life,
                                                 .ports = packet.ports,
                                                 .rights = packet.rights,
                                                 .memory_bytes = packet.memory_bytes,
                                                 .staging_bytes = packet.staging_bytes},
                                                limits);
  if (refusal == ClientRefusal::none) return;
  ClientPacket reply = answer(ClientMessage::refuse);
  reply.refusal = static_cast<std::uint32_t>(refusal);
  reply.ports = limits.ports;
  reply.memory_bytes = limits.memory_bytes;
  if (!send_packet(connection.socket.get(), reply, {})) close(connection, ClientState::gone);
}

ClientRegistry::Connection* ClientRegistry::connection_of(std::uint8_t slot, std::uint64_t life) {
  if (slots_.at(slot).life != life) return nullptr;
  const auto it = std::ranges::find_if(connections_, [slot](const Connection& c) { return c.slot == slot; });
  return it == connections_.end() ? nullptr : &*it;
}

void ClientRegistry::ports_made(std::uint8_t slot, std::uint64_t life, const PortGrant& grant) {
  Connection* const connection = connection_of(slot, life);
  if (connection == nullptr) return;
  ClientPacket made = answer(ClientMessage::ports_made);
  made.ports = grant.ports;
  bool sent = send_packet(connection->socket.get(), made, std::array{grant.kick, grant.wake});
  for (std::uint32_t i = 0; sent && i < grant.ports; ++i) {
    ClientPacket one = answer(ClientMessage::port);
    one.port = i;
    sent = send_packet(connection->socket.get(), one, std::array{grant.memory.at(i), grant.channel.at(i)});
  }
  if (!sent) close(*connection, ClientState::gone);
}

void ClientRegistry::ports_refused(std::uint8_t slot, std::uint64_t life, ClientRefusal refusal) {
  Connection* const connection = connection_of(slot, life);
  if (connection == nullptr) return;
  ClientPacket reply = answer(ClientMessage::refuse);
  reply.refusal = static_cast<std::uint32_t>(refusal);
  if (!send_packet(connection->socket.get(), reply, {})) close(*connection, ClientState::gone);
}

void ClientRegistry::expel(std::uint8_t slot, std::uint64_t life) {
  if (Connection* const connection = connection_of(slot, life)) refuse(*connection, ClientRefusal::malformed);
}

void ClientRegistry::close(Connection& connection, ClientState end) {
  if (connection.slot >= 0) {
    ports_->ended(static_cast<std::uint8_t>(connection.slot));
    Slot& slot = slots_[static_cast<std::size_t>(connection.slot)];
    slot.state = end;
    take_fed_until(slot);  // its last word: it may have said since the last beat that it has stopped all that it serves
    // As is what it said of an order against this node; it asks for none any more.
    if (name_in(slot.name) == kAgentClientName && !slot.block.bytes().empty()) {
      const PoisonWords last = words_of(*reinterpret_cast<ClientBlock*>(slot.block.bytes().data()));
      poison_words_ = {.asked = 0, .stopped = last.stopped, .cannot = last.cannot};
    }
    slot.block = Mapping();
    slot.event.reset();
    connection.slot = -1;
  }
  connection.socket.reset();  // which takes it out of the epoll set
}

void ClientRegistry::wake_clients(Instant now, Duration turn, bool news) {
  constexpr std::uint64_t kOne = 1;
  const std::uint64_t newest = writer_->newest();
  for (Slot& slot : slots_) {
    if (!slot.event.valid() || slot.woken_for == newest) continue;
    const bool due = now - slot.woken_at >= std::chrono::microseconds(slot.pace_us) - turn / 2;
    if (!news && !due && newest - slot.woken_for < kUnreadSlots) continue;
    slot.woken_at = now;
    slot.woken_for = newest;
    (void)!::write(slot.event.get(), &kOne, sizeof kOne);
  }
}

void ClientRegistry::take_fed_until(Slot& slot) {
  if (!slot.block.valid()) return;
  auto& block = *reinterpret_cast<ClientBlock*>(slot.block.bytes().data());
  const std::int64_t until_ns = std::atomic_ref<std::int64_t>(block.fed_until_ns).load(std::memory_order_acquire);
  const bool taken = until_ns >= 0 && watchdog_->take(slot.name, until_ns);
  if (taken == slot.fed_until_refused) {
    slot.fed_until_refused = !taken;
    if (!taken) {
      say(4, "ccmd: the time until which client " + std::string(name_in(slot.name)) +
                 " wants the watchdog fed cannot be taken: it is none, or " + std::to_string(kMaxClients) +
                 " clients, living or dead, have one; it must not serve by it");
    }
  }
  if (!taken || until_ns == kSaysNothing) return;
  std::atomic_ref<std::int64_t>(block.fed_until_taken_ns).store(until_ns, std::memory_order_release);
}

void ClientRegistry::take_fed_until() {
  for (Slot& slot : slots_) take_fed_until(slot);
}

void ClientRegistry::copy_to(StatusPageLayout& page) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (slot.block.valid()) {
      auto& block = *reinterpret_cast<ClientBlock*>(slot.block.bytes().data());
      slot.beat = std::atomic_ref<std::uint64_t>(block.beat).load(std::memory_order_acquire);
      slot.completed = std::atomic_ref<std::uint64_t>(block.completed).load(std::memory_order_acquire);
      slot.outstanding = std::atomic_ref<std::uint32_t>(block.outstanding).load(std::memory_order_relaxed);
      slot.stall_limit_ms = std::atomic_ref<std::uint32_t>(block.stall_limit_ms).load(std::memory_order_relaxed);
      if (name_in(slot.name) == kAgentClientName) {
        const PoisonWords words = words_of(block);
        // An agent that died in the middle of writing leaves its last whole block standing.
        if (const auto agent = sequence_read(block.agent_sequence, block.agent)) {
          if (agent->serial != 0) agent_ = *agent;
          poison_words_ = words;
        }
      }
    }
    ClientSlotLayout& out = page.clients[i];
    out.name = slot.name;
    out.beat = slot.beat;
    out.life = slot.life;
    out.pace_us = slot.pace_us;
    out.completed = slot.completed;
    out.outstanding = slot.outstanding;
    out.stall_limit_ms = slot.stall_limit_ms;
    out.state = static_cast<std::uint8_t>(slot.state);
  }
  page.agent = agent_;
}

}  // namespace hapair::ccm
