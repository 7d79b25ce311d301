#include "ccm/fabric/iwarp/iwarp_port_fabric.h"

#include <sys/epoll.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::ccm {
namespace {

using iwarp::Connection;
using iwarp::PortEnd;

// In epoll: the listener, newcomers, and of each port its own connection (even) and the partner's (odd).
constexpr std::uint64_t kListener = 1000;
constexpr std::uint64_t kFirstNewcomer = 500;
constexpr Duration kSilenceAllowed = std::chrono::seconds(2);
constexpr Duration kLinkCheckEvery = std::chrono::milliseconds(20);
// Never those of an earlier port: what is on its way to that one must not reach this one.
constexpr std::uint32_t kFirstStag = 0x5000'0000;
constexpr std::uint32_t kStagMask = 0x0fff'fffe;

}  // namespace

IwarpPortFabric::IwarpPortFabric(IwarpSettings settings) : settings_(std::move(settings)) {
  for (auto& one : newcomers_) one = std::make_unique<Connection>(iwarp::kPortPayload);
}

IwarpPortFabric::~IwarpPortFabric() = default;

std::expected<void, std::string> IwarpPortFabric::open() {
  HAPAIR_CHECK(!service_, "a fabric is opened once");
  auto service = iwarp::open_service(settings_.address, settings_.partner_address, settings_.service_port, kListener);
  if (!service) return std::unexpected(service.error());
  service_.emplace(std::move(*service));
  return {};
}

// ---- ports -------------------------------------------------------------------------------------------------------

PortEnd* IwarpPortFabric::find(PortId port) {
  for (auto& one : ports_) {
    if (one && !one->removed() && one->id() == port) return one.get();
  }
  return nullptr;
}

std::uint64_t IwarpPortFabric::number_of(const PortEnd& port) const {
  const auto at = std::ranges::find(ports_, &port, [](const auto& one) { return one.get(); });
  return 2 * static_cast<std::uint64_t>(at - ports_.begin());
}

PortEnd::Way IwarpPortFabric::way_of(const PortEnd& port) {
  return {service_->local, service_->partner, settings_.crc, settings_.retry_timeout, service_->epoll, number_of(port)};
}

std::expected<void, std::string> IwarpPortFabric::add(PortId port, const PortToken& own_token,
                                                      const PortExposure& exposure) {
  HAPAIR_CHECK(find(port) == nullptr, "a port is added once");
  if (exposure.memory.size() > std::numeric_limits<std::uint32_t>::max()) {
    return std::unexpected("a port exposes less than 4 GiB over iWARP; this one wants " +
                           std::to_string(exposure.memory.size()) + " bytes");
  }
  const auto free = std::ranges::find_if(ports_, [](const auto& one) { return !one; });
  if (free == ports_.end()) return std::unexpected("all " + std::to_string(kMaxPorts) + " ports are in use");
  *free = std::make_unique<PortEnd>(port, own_token, exposure, kFirstStag | (next_stag_ & kStagMask));
  next_stag_ += 2;
  return {};
}

void IwarpPortFabric::remove(Instant /*now*/, PortId port) {
  if (PortEnd* one = find(port)) one->remove();
}

void IwarpPortFabric::connect(Instant now, PortId port, const PortToken& partner_token) {
  PortEnd* one = find(port);
  HAPAIR_CHECK(one != nullptr && service_.has_value(), "a port is added before it is connected");
  one->connect(now, partner_token, way_of(*one));
}

void IwarpPortFabric::drop(Instant /*now*/, PortId port) {
  if (PortEnd* one = find(port)) one->drop();
}

bool IwarpPortFabric::posted(bool done, PortId port) {
  if (PortEnd* one = done ? find(port) : nullptr) one->flush(way_of(*one));
  return done;
}

bool IwarpPortFabric::post_write(Instant now, PortId port, OperationId id, std::uint64_t offset,
                                 std::span<const std::byte> from) {
  PortEnd* one = find(port);
  return posted(one != nullptr && one->post_write(now, id, offset, from), port);
}

bool IwarpPortFabric::post_read(Instant now, PortId port, OperationId id, std::uint64_t offset,
                                std::span<std::byte> into) {
  PortEnd* one = find(port);
  return posted(one != nullptr && one->post_read(now, id, offset, into), port);
}

bool IwarpPortFabric::post_send(Instant now, PortId port, OperationId id, std::span<const std::byte> message) {
  PortEnd* one = find(port);
  return posted(one != nullptr && one->post_send(now, id, message), port);
}

bool IwarpPortFabric::post_receive(PortId port, OperationId id, std::span<std::byte> into) {
  PortEnd* one = find(port);
  return one != nullptr && one->post_receive(id, into);
}

// ---- the partner's connections -----------------------------------------------------------------------------------

void IwarpPortFabric::accept_all(Instant now) {
  for (int i = 0; i < 16; ++i) {
    auto newcomer = iwarp::accept_one(service_->listener, service_->partner);
    if (!newcomer) return;
    if (!newcomer->partner) {
      ++counters_.refused_strangers;
      continue;
    }
    // A free place, else that of the one that has waited longest.
    const auto place = std::ranges::min_element(newcomers_, {}, [](const auto& one) {
      return std::pair(one->phase() != Connection::Phase::idle, one->since());
    });
    if ((*place)->phase() != Connection::Phase::idle) ++counters_.refused_limit;
    (*place)->take(std::move(newcomer->socket), settings_.crc, settings_.retry_timeout, now);
    (*place)->watch(service_->epoll, kFirstNewcomer + static_cast<std::uint64_t>(place - newcomers_.begin()));
  }
}

void IwarpPortFabric::work_newcomer(Instant now, std::size_t place) {
  Connection& newcomer = *newcomers_.at(place);
  newcomer.work();
  if (newcomer.phase() == Connection::Phase::requested) return let_in(place);
  if (newcomer.phase() == Connection::Phase::ended) {
    if (newcomer.malformed()) ++counters_.refused_malformed;
    newcomer.close();
  } else if (newcomer.phase() == Connection::Phase::awaiting_request && now - newcomer.since() >= kSilenceAllowed) {
    ++counters_.refused_malformed;
    newcomer.close();
  }
}

void IwarpPortFabric::let_in(std::size_t place) {
  Connection& newcomer = *newcomers_.at(place);
  PortEnd* wanted = nullptr;
  for (auto& port : ports_) {
    if (port && newcomer.request().service == ConnectService::port && port->is_token(newcomer.request().token)) {
      wanted = port.get();
    }
  }
  if (wanted == nullptr) {
    ++counters_.refused_tokens;
    newcomer.reject();
    newcomer.close();
    return;
  }
  if (!wanted->takes_partner()) return;  // asked again at the next poll
  wanted->take_partner(newcomers_.at(place));
  work_partner(number_of(*wanted) + 1);
}

void IwarpPortFabric::work_partner(std::uint64_t number) {
  PortEnd* port = ports_.at(number / 2).get();
  if (port == nullptr) return;
  const auto broken = port->work_partner(service_->epoll, number);
  if (broken) ++(iwarp::is_access_error(*broken) ? counters_.refused_access : counters_.broken_rules);
}

// ---- the loop ----------------------------------------------------------------------------------------------------

void IwarpPortFabric::take_ready(Instant now) {
  std::array<epoll_event, 2 * kMaxPorts + kNewcomers + 1> ready{};
  const int count = ::epoll_wait(service_->epoll.get(), ready.data(), static_cast<int>(ready.size()), 0);
  for (int i = 0; i < count; ++i) take_ready(now, ready.at(static_cast<std::size_t>(i)).data.u64);
}

void IwarpPortFabric::take_ready(Instant now, std::uint64_t number) {
  if (number == kListener) return accept_all(now);
  if (number >= kFirstNewcomer) return work_newcomer(now, number - kFirstNewcomer);
  if (number % 2 == 1) return work_partner(number);
  if (PortEnd* port = ports_.at(number / 2).get()) port->work_own(now, way_of(*port), link_up_);
}

void IwarpPortFabric::check_times(Instant now) {
  if (now >= next_link_check_) {
    next_link_check_ = now + kLinkCheckEvery;
    link_up_ = service_->link.up();
  }
  for (auto& port : ports_) {
    if (!port || port->removed()) continue;
    // A post may have met the end of the connection before epoll told of it.
    if (port->own_ended()) port->work_own(now, way_of(*port), link_up_);
    if (!link_up_) port->end_own(FabricError::link_down, FabricError::link_down);
    port->check_time(now, settings_.retry_timeout);
  }
  for (std::size_t i = 0; i < newcomers_.size(); ++i) {
    if (newcomers_.at(i)->phase() != Connection::Phase::idle) work_newcomer(now, i);
  }
}

std::size_t IwarpPortFabric::poll(Instant now, std::span<PortEvent> into) {
  if (std::exchange(polled_at_, now) != now) take_ready(now);
  check_times(now);
  return take_events(ports_, first_to_deliver_, into);
}

}  // namespace hapair::ccm
