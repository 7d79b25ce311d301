#include "ccm/ports/port_host.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::ccm {
namespace {

// A port's number in a fabric: which of its lives, and where it is.
constexpr unsigned kPlaceBits = 8;
constexpr std::uint64_t kPlaceMask = (1U << kPlaceBits) - 1;
constexpr int kRoundsAPoll = 8;  // a fabric that always has more leaves the others their turn
constexpr std::size_t kEventsARound = 64;
// What one fabric can have waiting, every port's operations and messages, and as much again for its connections.
constexpr int kRoundsToDrain =
    2 * PortFabric::kMaxPorts * (PortFabric::kQueueDepth + PortFabric::kMaxReceives) / kEventsARound;

}  // namespace

PortHost::PortHost(std::span<PortFabric* const> fabrics, Random& random, int epoll)
    : fabrics_(fabrics.begin(), fabrics.end()), random_(&random), epoll_(epoll) {}

HostedPort* PortHost::live(PortRef ref) const {
  for (const auto& port : places_) {
    if (port && !port->ended() && port->ref() == ref) return port.get();
  }
  return nullptr;
}

// A command may come late, for a client that was destroyed meanwhile.
HostedPort* PortHost::find(const PortCommand& command) const {
  HostedPort* const port = live(command.port);
  return port != nullptr && port->life() == command.life ? port : nullptr;
}

PortId PortHost::new_id(const HostedPort& port) {
  const auto place = std::ranges::find(places_, &port, [](const auto& one) { return one.get(); }) - places_.begin();
  return PortId(next_serial_++ << kPlaceBits | static_cast<std::uint64_t>(place));
}

void PortHost::tell(PortNews::Kind kind, const HostedPort& port, std::uint32_t exposure, const std::string& text) {
  PortNews& news = news_.emplace_back();
  news.kind = kind;
  news.port = port.ref();
  news.life = port.life();
  news.exposure = exposure;
  put_name(news.text, text);
}

std::optional<PortNews> PortHost::next_news() {
  if (news_.empty()) return std::nullopt;
  const PortNews news = news_.front();
  news_.pop_front();
  return news;
}

void PortHost::carry_out(Instant now, const PortCommand& command) {
  if (command.kind == PortCommand::Kind::create) return create(command);
  if (command.kind == PortCommand::Kind::destroy) return destroy(now, command.port.slot);
  HostedPort* const port = find(command);
  if (port == nullptr) return;
  switch (command.kind) {
    case PortCommand::Kind::expose:
      return expose(command, *port);
    case PortCommand::Kind::conceal:
      return conceal(now, *port);
    case PortCommand::Kind::connect:
      return connect(now, command, *port);
    case PortCommand::Kind::drop:
      return port->drop(now);
    case PortCommand::Kind::tell:
      return port->tell(command.standing);
    case PortCommand::Kind::create:
    case PortCommand::Kind::destroy:
      return;
  }
}

// ---- clients -----------------------------------------------------------------------------------------------------

void PortHost::create(const PortCommand& command) {
  PortNews news;
  news.kind = PortNews::Kind::created;
  news.port = command.port;
  news.life = command.life;
  news.wants = command.wants;
  if (auto made = make_ports(command, news); !made) {
    news.kind = PortNews::Kind::not_created;
    put_name(news.text, made.error());
  }
  news_.push_back(news);
}

std::expected<void, std::string> PortHost::make_ports(const PortCommand& command, PortNews& news) {
  Client& client = clients_.at(command.port.slot);
  HAPAIR_CHECK(client.life == 0, "a slot's ports are destroyed before new ones are made");
  Client made;
  made.life = command.life;
  made.kick = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  made.wake = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!made.kick.valid() || !made.wake.valid()) return std::unexpected(errno_text("eventfd"));
  news.grant.kick = made.kick.get();
  news.grant.wake = made.wake.get();
  std::vector<std::unique_ptr<HostedPort>> ports;
  for (std::uint8_t index = 0; index < command.wants.ports; ++index) {
    auto memory = PortMemory::make(command.wants.memory_bytes, command.staging_bytes);
    if (!memory) return std::unexpected(memory.error());
    news.grant.memory.at(index) = memory->memory_fd().get();
    news.grant.control.at(index) = memory->control_fd().get();
    ports.push_back(std::make_unique<HostedPort>(PortRef{command.port.slot, index}, command.life, command.wants.rights,
                                                 std::move(*memory)));
  }
  const auto is_free = [](const auto& place) { return !place; };
  if (std::ranges::count_if(places_, is_free) < std::ssize(ports)) {
    return std::unexpected("ports of earlier clients still wait for their last operations; try again");
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = made.kick.get();
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, made.kick.get(), &event) != 0) return std::unexpected(errno_text("epoll_ctl"));
  for (auto& port : ports) *std::ranges::find_if(places_, is_free) = std::move(port);
  client = std::move(made);
  return {};
}

void PortHost::destroy(Instant now, std::uint8_t slot) {
  for (auto& port : places_) {
    if (!port || port->ended() || port->ref().slot != slot) continue;
    port->end();
    conceal(now, *port);
    port->drop(now);
  }
  Client& client = clients_.at(slot);
  // The client holds the kick too, so closing it here would leave it in the epoll set, where nobody could quiet it.
  if (client.kick.valid()) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, client.kick.get(), nullptr);
  client = {};
}

void PortHost::close_all(Instant now) {
  for (std::uint8_t slot = 0; slot < kMaxClients; ++slot) destroy(now, slot);
  for (PortFabric* fabric : fabrics_) poll(now, *fabric, kRoundsToDrain);
}

void PortHost::kicked(int fd) {
  std::uint64_t count = 0;
  for (const Client& client : clients_) {
    if (client.kick.get() == fd) (void)!::read(fd, &count, sizeof count);
  }
}

// ---- ports -------------------------------------------------------------------------------------------------------

void PortHost::expose(const PortCommand& command, HostedPort& port) {
  PortFabric& fabric = *fabrics_.at(command.rail.value());
  if (const auto done = port.expose(fabric, new_id(port), command.exposure, command.token); !done) {
    tell(PortNews::Kind::not_exposed, port, command.exposure, done.error());
  }
}

// What had arrived before the memory was closed is still taken: its sender was told that it has.
void PortHost::conceal(Instant now, HostedPort& port) {
  if (!port.open()) return;
  PortFabric& fabric = *port.open()->fabric;
  fabric.remove(now, port.open()->id);
  poll(now, fabric, kRoundsToDrain);
  port.concealed();
}

void PortHost::connect(Instant now, const PortCommand& command, HostedPort& port) {
  // An answer of the connection before may have crossed this command, and let the session think that there is none.
  port.drop(now);
  PortFabric& fabric = *fabrics_.at(command.rail.value());
  const PortId id = new_id(port);
  PortToken unused{};  // nobody is told it: the partner reaches this port's memory over the exposure's own number
  random_->fill(std::as_writable_bytes(std::span(unused)));
  const auto added = fabric.add(id, unused, {.memory = {}, .local = {port.memory().memory(), port.memory().control()}});
  if (!added) return tell(PortNews::Kind::not_connected, port, command.exposure, added.error());
  port.connect(fabric, id, command.exposure, command.token);
}

void PortHost::end_connection(Instant now, HostedPort& port) {
  const std::uint32_t exposure = port.reach()->exposure;
  port.drop(now);
  tell(PortNews::Kind::not_connected, port, exposure);
}

void PortHost::take(Instant now, const PortEvent& event) {
  const auto place = static_cast<std::size_t>(event.port.value() & kPlaceMask);
  HostedPort* const port = place < places_.size() ? places_.at(place).get() : nullptr;
  if (port == nullptr || !port->knows(event.port)) return;
  switch (port->take(now, event)) {
    case HostedPort::News::none:
      return;
    case HostedPort::News::connected:
      return tell(PortNews::Kind::connected, *port, port->reach()->exposure);
    case HostedPort::News::not_connected:
      return end_connection(now, *port);
  }
}

void PortHost::poll(Instant now, PortFabric& fabric, int rounds) {
  std::array<PortEvent, kEventsARound> events;
  for (int round = 0; round < rounds; ++round) {
    const std::size_t count = fabric.poll(now, events);
    for (std::size_t i = 0; i < count; ++i) take(now, events.at(i));
    if (count < events.size()) return;
  }
}

// All of the client's: whoever breaks one does not keep to the rules of the others.
void PortHost::close_broken(Instant now, const HostedPort& broken) {
  for (auto& port : places_) {
    if (!port || port->ended() || port->ref().slot != broken.ref().slot) continue;
    port->turn_away();
    conceal(now, *port);
    port->drop(now);
  }
  Client& client = clients_.at(broken.ref().slot);
  if (!std::exchange(client.told_broken, true)) tell(PortNews::Kind::broken, broken, 0);
}

void PortHost::turn(Instant now) {
  for (PortFabric* fabric : fabrics_) poll(now, *fabric, kRoundsAPoll);
  constexpr std::uint64_t kOne = 1;
  for (auto& port : places_) {
    if (!port) continue;
    port->work(now);
    if (port->ended()) {
      if (!port->outstanding()) port.reset();
      continue;
    }
    if (port->broken()) close_broken(now, *port);
    if (port->take_wake()) (void)!::write(clients_.at(port->ref().slot).wake.get(), &kOne, sizeof kOne);
  }
}

bool PortHost::idle() const {
  return std::ranges::all_of(places_, [](const auto& port) { return !port; });
}

PortTraffic PortHost::traffic(PortRef ref) const {
  const HostedPort* const port = live(ref);
  return port != nullptr ? port->traffic() : PortTraffic{};
}

}  // namespace hapair::ccm
