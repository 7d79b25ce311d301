// The clients of the CCM: a few sockets to the registry as it is shipped, over which anything comes, and the blocks of
// memory that they write. A program of steps; afterwards an honest client is served as if nothing had been.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ccm/base/fd.h"
#include "ccm/daemon/client_registry.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace hapair;
using namespace hapair::ccm;

class Counting final : public Random {
 public:
  void fill(std::span<std::byte> bytes) override { std::ranges::fill(bytes, std::byte{++count_}); }

 private:
  std::uint8_t count_ = 0;
};

class Phases final : public PhaseSetter {
 public:
  ClientRefusal set_phase(BootPhase phase) override {
    FUZZ_CHECK(phase <= BootPhase::panicked);
    return ClientRefusal::none;
  }
};

// Takes every second request and answers it later, as the ports' own thread does.
class Ports final : public PortRequests {
 public:
  ClientRefusal request(const PortRequest& request, PortLimits& limits) override {
    FUZZ_CHECK(request.slot < kMaxClients && request.name[0] != '\0');
    limits = {.ports = 1, .memory_bytes = 4096};
    if (request.memory_bytes % 2 == 1) return ClientRefusal::malformed;
    taken_ = request;
    return ClientRefusal::none;
  }
  void ended(std::uint8_t slot) override { FUZZ_CHECK(slot < kMaxClients); }
  // Also of a client that is gone meanwhile.
  void answer(ClientRegistry& registry) {
    const auto request = std::exchange(taken_, std::nullopt);
    if (!request) return;
    if (request->staging_bytes % 2 == 1) return registry.expel(request->slot, request->life);
    registry.ports_refused(request->slot, request->life, ClientRefusal::malformed);
  }

 private:
  std::optional<PortRequest> taken_;
};

// Refuses every third, as a table that is full.
class Times final : public FedUntilTaker {
 public:
  [[nodiscard]] std::int64_t standing(const ClientName&) const override { return 0; }
  bool take(const ClientName& name, std::int64_t) override {
    FUZZ_CHECK(!name_in(name).empty() && name_in(name).size() < name.size());
    return ++asked_ % 3 != 0;
  }

 private:
  std::uint64_t asked_ = 0;
};

struct Client {
  Fd socket;
  Mapping block;
};

class World {
 public:
  World() : path_("/tmp/hapair-fuzz-" + std::to_string(::getpid()) + ".sock"), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    FUZZ_CHECK(registry_.open(path_, epoll_.get()).has_value());
  }
  ~World() { ::unlink(path_.c_str()); }
  void turn() {
    std::array<epoll_event, 8> events{};
    for (int count = 1; count > 0;) {
      count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
      for (int i = 0; i < count; ++i) {
        const epoll_event& one = events.at(static_cast<std::size_t>(i));
        (void)registry_.handle(one.data.fd, one.events);
      }
    }
    if (++turns_ % 2 == 0) ports_.answer(registry_);
    registry_.wake_clients(SystemClock().now(), std::chrono::milliseconds(10), turns_ % 3 == 0);
    registry_.copy_to(page_);
    registry_.take_fed_until();
  }
  Fd dial() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.size());
    Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
    turn();
    return socket;
  }
  // Reads what came; a block that came with it is mapped.
  static std::optional<ClientPacket> take(Client& client) {
    ClientPacket packet{};
    iovec part{&packet, sizeof packet};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(8 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(client.socket.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof packet) return std::nullopt;
    const cmsghdr* rights = CMSG_FIRSTHDR(&message);
    if (rights == nullptr) return packet;
    std::vector<Fd> fds;
    for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= rights->cmsg_len; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, reinterpret_cast<const std::byte*>(rights) + at, sizeof fd);
      fds.emplace_back(fd);
    }
    if (fds.size() >= 2) {
      if (auto block = Mapping::map(fds[1], sizeof(ClientBlock), true)) client.block = std::move(*block);
    }
    return packet;
  }

 private:
  std::string path_;
  Fd epoll_;
  Counting random_;
  Phases phases_;
  Ports ports_;
  Times times_;
  std::uint64_t turns_ = 0;
  ClientRegistry registry_{Incarnation(5), random_, phases_, ports_, times_};
  StatusPageLayout page_{};
};

void send(const Client& client, std::span<const std::byte> bytes) {
  if (client.socket.valid()) (void)::send(client.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

// Opened once: an earlier run's clients are gone, and what they left in the registry is part of the game.
World& world() {
  static World one;
  return one;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  std::array<Client, 3> clients;
  World& ccm = world();
  while (!input.empty()) {
    const std::uint8_t step = input.byte();
    Client& client = clients.at(step / 8 % clients.size());
    switch (step % 8) {
      case 0:
        client = {ccm.dial(), {}};
        break;
      case 1:
      case 2:  // as it came
        send(client, input.bytes(input.byte()));
        break;
      case 3:
      case 4: {  // of the right length and version
        ClientPacket packet{};
        const auto bytes = input.bytes(sizeof packet - sizeof(std::uint32_t));
        packet.message = input.byte() % 11;
        std::memcpy(&packet.protocol, bytes.data(), bytes.size());
        packet.protocol = kClientProtocol;
        send(client, std::as_bytes(std::span(&packet, 1)));
        break;
      }
      case 5:  // the memory that it shares
        if (client.block.valid()) {
          const auto bytes = input.bytes(input.byte());
          const std::size_t at = std::min<std::size_t>(input.two(), client.block.bytes().size() - bytes.size());
          std::ranges::copy(bytes, client.block.bytes().begin() + static_cast<std::ptrdiff_t>(at));
        }
        break;
      case 6:
        (void)World::take(client);
        break;
      default:
        client = {};
    }
    ccm.turn();
  }
  clients = {};
  ccm.turn();
  Client honest{ccm.dial(), {}};
  FUZZ_CHECK(honest.socket.valid());
  ClientPacket hello{};
  hello.message = static_cast<std::uint32_t>(ClientMessage::hello);
  hello.protocol = kClientProtocol;
  put_name(hello.name, "honest");
  send(honest, std::as_bytes(std::span(&hello, 1)));
  ccm.turn();
  const auto welcome = World::take(honest);
  FUZZ_CHECK(welcome && welcome->message == static_cast<std::uint32_t>(ClientMessage::welcome));
  FUZZ_CHECK(honest.block.valid());
  honest = {};
  ccm.turn();
  return 0;
}
