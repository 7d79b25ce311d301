#include "ccm/fabric/shm/shm_port_fabric.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "ccm/base/check.h"
#include "ccm/fabric/shm/file_lock.h"

namespace hapair::ccm {
namespace {

// In epoll: of each port its own connection (even) and the partner's (odd), newcomers, and these.
constexpr std::uint64_t kFirstNewcomer = 500;
constexpr std::uint64_t kListener = 1000;
constexpr std::uint64_t kWork = 1001;
constexpr Duration kSilenceAllowed = std::chrono::seconds(2);

bool watch(const Fd& epoll, const Fd& fd, std::uint64_t number) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = number;
  return ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd.get(), &event) == 0;
}

}  // namespace

ShmPortFabric::ShmPortFabric(ShmSettings settings)
    : settings_(std::move(settings)),
      own_path_(shm_path(settings_, settings_.node, ".ports")),
      partner_path_(shm_path(settings_, settings_.partner, ".ports")),
      path_(shm_path(settings_, settings_.node, ".port"), shm_path(settings_, settings_.partner, ".port")) {}

ShmPortFabric::~ShmPortFabric() {
  for (auto& port : ports_) {
    if (port && !port->removed()) port->remove();
  }
  if (listener_.valid()) ::unlink(own_path_.c_str());
}

std::expected<void, std::string> ShmPortFabric::open() {
  HAPAIR_CHECK(!listener_.valid(), "a fabric is opened once");
  if (::mkdir(settings_.dir.c_str(), 0700) != 0 && errno != EEXIST) {
    return std::unexpected(errno_text("shm_dir " + settings_.dir + " cannot be made"));
  }
  const std::string lock_path = own_path_ + ".lock";
  Fd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock.valid()) return std::unexpected(errno_text(lock_path));
  if (!lock_whole(lock)) {
    if (errno != EAGAIN && errno != EACCES) return std::unexpected(errno_text(lock_path));
    return std::unexpected("another ccmd of node " + settings_.node.text() + " of pair " + settings_.pair.text() +
                           " has its ports in " + settings_.dir +
                           "; it was not touched. Give each node its own name, or stop the other one first");
  }
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  Fd work(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll.valid() || !work.valid()) return std::unexpected(errno_text("epoll, eventfd"));
  auto listener = listen_at(own_path_);
  if (!listener) return std::unexpected(listener.error());
  if (!watch(epoll, *listener, kListener) || !watch(epoll, work, kWork))
    return std::unexpected(errno_text("epoll_ctl"));
  lock_ = std::move(lock);
  epoll_ = std::move(epoll);
  work_ = std::move(work);
  listener_ = std::move(*listener);
  return {};
}

// ---- ports -------------------------------------------------------------------------------------------------------

ShmPortEnd* ShmPortFabric::find(PortId port) {
  for (auto& one : ports_) {
    if (one && !one->removed() && one->book().id() == port) return one.get();
  }
  return nullptr;
}

std::expected<void, std::string> ShmPortFabric::add(PortId port, const PortToken& own_token,
                                                    const PortExposure& exposure) {
  HAPAIR_CHECK(find(port) == nullptr, "a port is added once");
  if (exposure.memory.size() > std::numeric_limits<std::uint32_t>::max()) {
    return std::unexpected("a port exposes less than 4 GiB over shm; this one wants " +
                           std::to_string(exposure.memory.size()) + " bytes");
  }
  const auto free = std::ranges::find_if(ports_, [](const auto& one) { return !one; });
  if (free == ports_.end()) return std::unexpected("all " + std::to_string(kMaxPorts) + " ports are in use");
  auto end = ShmPortEnd::make(port, own_token, exposure);
  if (!end) return std::unexpected(end.error());
  *free = std::move(*end);
  return {};
}

void ShmPortFabric::remove(Instant /*now*/, PortId port) {
  if (ShmPortEnd* one = find(port)) one->remove();
  set_work(true);
}

void ShmPortFabric::connect(Instant now, PortId port, const PortToken& partner_token) {
  ShmPortEnd* one = find(port);
  HAPAIR_CHECK(one != nullptr && listener_.valid(), "a port is added before it is connected");
  one->connect(now, partner_token);
  set_work(true);
}

void ShmPortFabric::drop(Instant /*now*/, PortId port) {
  if (ShmPortEnd* one = find(port)) one->drop();
  set_work(true);
}

bool ShmPortFabric::posted(bool done) {
  if (done) set_work(true);
  return done;
}

bool ShmPortFabric::post_write(Instant now, PortId port, OperationId id, std::uint64_t offset,
                               std::span<const std::byte> from) {
  ShmPortEnd* one = find(port);
  return posted(one != nullptr && one->post_write(now, id, offset, from));
}

bool ShmPortFabric::post_read(Instant now, PortId port, OperationId id, std::uint64_t offset,
                              std::span<std::byte> into) {
  ShmPortEnd* one = find(port);
  return posted(one != nullptr && one->post_read(now, id, offset, into));
}

bool ShmPortFabric::post_send(Instant now, PortId port, OperationId id, std::span<const std::byte> message) {
  ShmPortEnd* one = find(port);
  return posted(one != nullptr && one->post_send(now, id, message));
}

bool ShmPortFabric::post_receive(PortId port, OperationId id, std::span<std::byte> into) {
  ShmPortEnd* one = find(port);
  return one != nullptr && one->book().post_receive(id, into);
}

// ---- newcomers ---------------------------------------------------------------------------------------------------

void ShmPortFabric::accept_all(Instant now) {
  for (int i = 0; i < 16; ++i) {
    Fd socket = accept_from(listener_);
    if (!socket.valid()) return;
    if (!is_own_user(socket)) {
      ++counters_.refused_strangers;
      continue;
    }
    // A free place, else that of the one that has waited longest.
    const auto place = std::ranges::min_element(
        newcomers_, {}, [](const Newcomer& one) { return std::pair(one.socket.valid(), one.since); });
    if (place->socket.valid()) ++counters_.refused_limit;
    *place = {std::move(socket), now, std::nullopt};
    if (!watch(epoll_, place->socket, kFirstNewcomer + static_cast<std::uint64_t>(place - newcomers_.begin()))) {
      place->socket.reset();
    }
  }
}

void ShmPortFabric::hear_newcomer(Newcomer& newcomer) {
  if (!newcomer.socket.valid()) return;
  const PortPacket packet = receive_packet(newcomer.socket);
  if (packet.kind == PortPacket::Kind::nothing) return;
  const auto request = parse_connect_request(packet.bytes());
  const bool good = packet.size == kConnectDataBytes && request && request->service == ConnectService::port;
  // Its second packet too: it asks once, and then waits for the answer.
  if (!good || newcomer.token) {
    if (packet.kind == PortPacket::Kind::bytes) ++counters_.refused_malformed;
    newcomer.socket.reset();
    return;
  }
  newcomer.token = request->token;
  let_in(newcomer);
}

void ShmPortFabric::let_in(Newcomer& newcomer) {
  ShmPortEnd* wanted = nullptr;
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    if (!ports_.at(i) || !ports_.at(i)->is_token(*newcomer.token)) continue;
    wanted = ports_.at(i).get();
    number = 2 * i + 1;
  }
  if (wanted == nullptr) {
    ++counters_.refused_tokens;
    (void)send_word(newcomer.socket, PortWord::refused);
    newcomer.socket.reset();
    return;
  }
  if (!wanted->book().takes_partner()) return;  // asked again at the next turn
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, newcomer.socket.get(), nullptr);
  if (!wanted->take_partner(std::move(newcomer.socket), epoll_, number)) ++counters_.refused_limit;
}

void ShmPortFabric::check_newcomers(Instant now) {
  for (Newcomer& newcomer : newcomers_) {
    if (!newcomer.socket.valid()) continue;
    if (newcomer.token) {
      let_in(newcomer);
    } else if (now - newcomer.since >= kSilenceAllowed) {
      ++counters_.refused_malformed;
      newcomer.socket.reset();
    }
  }
}

// ---- the loop ----------------------------------------------------------------------------------------------------

void ShmPortFabric::hear(Instant now) {
  std::array<epoll_event, 2 * kMaxPorts + kNewcomers + 2> ready{};
  const int count = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), 0);
  for (int i = 0; i < count; ++i) hear(now, ready.at(static_cast<std::size_t>(i)).data.u64);
}

void ShmPortFabric::hear(Instant now, std::uint64_t number) {
  if (number == kWork) return;
  if (number == kListener) return accept_all(now);
  if (number >= kFirstNewcomer) return hear_newcomer(newcomers_.at(number - kFirstNewcomer));
  ShmPortEnd* port = ports_.at(number / 2).get();
  if (port == nullptr) return;
  if (number % 2 == 0) return port->hear_own();
  switch (port->hear_partner()) {
    case ShmPortEnd::Broken::no:
      break;
    case ShmPortEnd::Broken::right:
      ++counters_.refused_access;
      break;
    case ShmPortEnd::Broken::rule:
      ++counters_.broken_rules;
      break;
  }
}

void ShmPortFabric::turn(Instant now) {
  hear(now);
  const PortPath::State path = path_.look();
  path_open_ = path == PortPath::State::open;
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    ShmPortEnd* port = ports_.at(i).get();
    if (port == nullptr || port->removed()) continue;
    port->work_partner(path);
    port->work(now, {partner_path_, path, settings_.retry_timeout, settings_.answer_timeout, epoll_, 2 * i});
  }
  check_newcomers(now);
}

bool ShmPortFabric::has_events() {
  return std::ranges::any_of(ports_, [](const auto& port) { return port && !port->drained(); });
}

bool ShmPortFabric::has_work() {
  return std::ranges::any_of(ports_, [](const auto& port) { return port && port->has_work(); });
}

void ShmPortFabric::set_work(bool there) {
  if (std::exchange(work_told_, there) == there) return;
  std::uint64_t count = 1;
  if (there) {
    (void)!::write(work_.get(), &count, sizeof count);
  } else {
    (void)!::read(work_.get(), &count, sizeof count);
  }
}

std::size_t ShmPortFabric::poll(Instant now, std::span<PortEvent> into) {
  if (!has_events()) turn(now);
  const std::size_t count = take_events(ports_, first_to_deliver_, into);
  set_work(has_events() || (path_open_ && has_work()));
  return count;
}

}  // namespace hapair::ccm
