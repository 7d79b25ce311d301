#include "ccm/fabric/verbs/verbs_port_fabric.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::ccm {
namespace {

using verbs::CmEvent;
using verbs::PortDevice;
using verbs::PortEnd;

constexpr Duration kDeviceLookEvery = std::chrono::milliseconds(200);
constexpr Duration kLinkCheckEvery = std::chrono::milliseconds(20);
constexpr int kBacklog = 64;

}  // namespace

VerbsPortFabric::VerbsPortFabric(VerbsSettings settings) : settings_(std::move(settings)) {}

VerbsPortFabric::~VerbsPortFabric() {
  for (auto& port : ports_) port.reset();
  if (listener_) slow_.release({.id = std::move(listener_)});
}

std::expected<void, std::string> VerbsPortFabric::open() {
  HAPAIR_CHECK(!epoll_.valid(), "a fabric is opened once");
  const auto local = Endpoint::make(settings_.address, settings_.service_port);
  const auto partner = Endpoint::make(settings_.partner_address, settings_.service_port);
  if (!local) return std::unexpected(local.error());
  if (!partner) return std::unexpected(partner.error());
  local_ = *local;
  partner_ = *partner;
  interface_.emplace(*local_);
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return std::unexpected(errno_text("epoll_create1"));
  if (auto taken = take_up_device(); !taken) trouble_ = taken.error();
  look_at_link();
  return {};
}

// ---- the device --------------------------------------------------------------------------------------------------

void VerbsPortFabric::watch(int fd) const {
  (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

std::expected<void, std::string> VerbsPortFabric::take_up_device() {
  if (!channel_) {
    channel_.reset(::rdma_create_event_channel());
    if (!channel_) {
      return std::unexpected(
          errno_text("there is no RDMA device, or no module rdma_ucm, yet (rdma_create_event_channel") + ")");
    }
    watch(channel_->fd);
  }
  auto anchor = verbs::make_bound(*channel_, *local_, verbs::Port::any, settings_.address);
  if (!anchor) return std::unexpected(anchor.error());
  auto listener = verbs::make_bound(*channel_, *local_, verbs::Port::own, settings_.address);
  if (!listener) return std::unexpected(listener.error());
  auto device = PortDevice::open(std::move(*anchor));
  if (!device) return std::unexpected(device.error());
  if ((*listener)->verbs != (*device)->context()) return std::unexpected("the RDMA device changed meanwhile");
  for (auto& port : ports_) {
    if (!port || port->removed()) continue;
    if (auto attached = port->attach(*device); !attached) return std::unexpected(attached.error());
  }
  if (::rdma_listen(listener->get(), kBacklog) != 0) return std::unexpected(errno_text("rdma_listen"));
  device_ = std::move(*device);
  listener_ = std::move(*listener);
  watch(device_->channel->fd);
  trouble_.clear();
  return {};
}

void VerbsPortFabric::lose_device(const std::string& why) {
  slow_.hold(false);
  for (auto& port : ports_) {
    if (port) port->detach();
  }
  if (listener_) slow_.release({.id = std::move(listener_)});
  if (device_) {
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, device_->channel->fd, nullptr);
    slow_.release({.device = std::move(device_), .removed = true});
  }
  trouble_ = why;
}

void VerbsPortFabric::look_for_device(Instant now) {
  if (device_ || now < next_device_look_) return;
  next_device_look_ = now + kDeviceLookEvery;
  if (auto taken = take_up_device(); !taken) {
    trouble_ = taken.error();
    for (auto& port : ports_) {
      if (port) port->detach();
    }
  }
}

// ---- ports -------------------------------------------------------------------------------------------------------

PortEnd* VerbsPortFabric::find(PortId port) {
  for (auto& one : ports_) {
    if (one && !one->removed() && one->id() == port) return one.get();
  }
  return nullptr;
}

PortEnd::Way VerbsPortFabric::way() {
  return {device_ ? channel_.get() : nullptr,
          *local_,
          *partner_,
          settings_.retry_timeout,
          settings_.ack_timeout_exponent,
          settings_.retry_count,
          link_up_};
}

std::expected<void, std::string> VerbsPortFabric::add(PortId port, const PortToken& own_token,
                                                      const PortExposure& exposure) {
  HAPAIR_CHECK(find(port) == nullptr, "a port is added once");
  if (exposure.memory.size() > std::numeric_limits<std::uint32_t>::max()) {
    return std::unexpected("a port exposes less than 4 GiB over verbs; this one wants " +
                           std::to_string(exposure.memory.size()) + " bytes");
  }
  const auto free = std::ranges::find_if(ports_, [](const auto& one) { return !one; });
  if (free == ports_.end()) return std::unexpected("all " + std::to_string(kMaxPorts) + " ports are in use");
  auto made = std::make_unique<PortEnd>(port, own_token, exposure, *interface_, slow_);
  if (device_) {
    if (auto attached = made->attach(device_); !attached) return attached;
  }
  *free = std::move(made);
  return {};
}

void VerbsPortFabric::remove(Instant /*now*/, PortId port) {
  if (PortEnd* one = find(port)) one->remove();
}

void VerbsPortFabric::connect(Instant now, PortId port, const PortToken& partner_token) {
  PortEnd* one = find(port);
  HAPAIR_CHECK(one != nullptr && epoll_.valid(), "a port is added before it is connected");
  look_at_link();
  one->connect(now, partner_token, way());
}

void VerbsPortFabric::drop(Instant /*now*/, PortId port) {
  if (PortEnd* one = find(port)) one->drop();
}

bool VerbsPortFabric::post_write(Instant now, PortId port, OperationId id, std::uint64_t offset,
                                 std::span<const std::byte> from) {
  PortEnd* one = find(port);
  return one != nullptr && one->post_write(now, id, offset, from);
}

bool VerbsPortFabric::post_read(Instant now, PortId port, OperationId id, std::uint64_t offset,
                                std::span<std::byte> into) {
  PortEnd* one = find(port);
  return one != nullptr && one->post_read(now, id, offset, into);
}

bool VerbsPortFabric::post_send(Instant now, PortId port, OperationId id, std::span<const std::byte> message) {
  PortEnd* one = find(port);
  return one != nullptr && one->post_send(now, id, message);
}

bool VerbsPortFabric::post_receive(PortId port, OperationId id, std::span<std::byte> into) {
  PortEnd* one = find(port);
  return one != nullptr && one->post_receive(id, into);
}

// ---- events ------------------------------------------------------------------------------------------------------

void VerbsPortFabric::take_cm_events(Instant now) {
  CmEvent event;
  while (slow_.has_room() && verbs::next_event(*channel_, event)) {
    if (event.type == RDMA_CM_EVENT_DEVICE_REMOVAL) {
      return lose_device("the RDMA device of " + settings_.address + " was removed");
    }
    if (event.type == RDMA_CM_EVENT_CONNECT_REQUEST) {
      take_request(now, event);
      continue;
    }
    for (auto& port : ports_) {
      if (!port) continue;
      if (port->owns(event.id)) {
        port->take_own_event(now, event, way());
      } else if (port->is_partners(event.id) && port->take_partner_event(now, event)) {
        ++counters_.refused_access;
      }
    }
  }
}

void VerbsPortFabric::take_request(Instant now, const CmEvent& event) {
  verbs::Handle<rdma_cm_id> id(event.id);
  sockaddr_storage from{};
  const sockaddr* const peer = ::rdma_get_peer_addr(event.id);
  std::memcpy(&from, peer, peer->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
  const auto request = parse_connect_request(event.private_data());
  PortEnd* wanted = nullptr;
  if (!partner_->same_host(from)) {
    ++counters_.refused_strangers;
  } else if (!request) {
    ++counters_.refused_malformed;
  } else {
    for (auto& port : ports_) {
      if (port && request->service == ConnectService::port && port->is_token(request->token)) wanted = port.get();
    }
    if (wanted == nullptr) ++counters_.refused_tokens;
    if (wanted != nullptr && !wanted->takes_partner()) {
      ++counters_.refused_limit;
      wanted = nullptr;
    }
  }
  if (wanted != nullptr) {
    (void)wanted->take_partner(now, std::move(id));
    return;
  }
  (void)::rdma_reject(id.get(), nullptr, 0);
  slow_.release({.id = std::move(id)});
}

// Every queue of completions tells over the one channel.
void VerbsPortFabric::rearm() const {
  ibv_cq* queue = nullptr;
  void* context = nullptr;
  while (::ibv_get_cq_event(device_->channel.get(), &queue, &context) == 0) {
    (void)::ibv_req_notify_cq(queue, 0);
    ::ibv_ack_cq_events(queue, 1);  // last: from here on the queue may be released
  }
}

void VerbsPortFabric::take_ready(Instant now) {
  std::array<epoll_event, 4> ready{};
  const int count = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), 0);
  for (int i = 0; i < count; ++i) {
    const int fd = ready.at(static_cast<std::size_t>(i)).data.fd;
    if (channel_ && fd == channel_->fd) {
      take_cm_events(now);
    } else if (device_ && fd == device_->channel->fd) {
      rearm();
    }
  }
  for (auto& port : ports_) {
    if (port) port->take_completions(now);
  }
}

void VerbsPortFabric::look_at_link() {
  link_up_ = interface_->up();
  slow_.hold(!link_up_);
}

void VerbsPortFabric::check_times(Instant now) {
  if (now >= next_link_check_) {
    next_link_check_ = now + kLinkCheckEvery;
    look_at_link();
  }
  for (auto& port : ports_) {
    if (port && !port->removed()) port->check_time(now, way());
  }
}

// By turns, so that a busy port does not keep the others waiting.
std::size_t VerbsPortFabric::deliver(std::span<PortEvent> into) {
  std::size_t count = 0;
  bool any = true;
  while (any && count < into.size()) {
    any = false;
    for (std::size_t i = 0; i < kMaxPorts && count < into.size(); ++i) {
      auto& port = ports_.at((first_to_deliver_ + i) % kMaxPorts);
      const auto event = port ? port->next_event() : std::nullopt;
      if (!event) continue;
      into[count++] = *event;
      any = true;
    }
    ++first_to_deliver_;
  }
  for (auto& port : ports_) {
    if (port && port->removed() && port->drained()) port.reset();
  }
  return count;
}

std::size_t VerbsPortFabric::poll(Instant now, std::span<PortEvent> into) {
  if (std::exchange(polled_at_, now) != now) {
    look_for_device(now);
    take_ready(now);
  }
  check_times(now);
  return deliver(into);
}

}  // namespace hapair::ccm
