#include "ccm/fabric/verbs/verbs_fabric.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ccm/base/check.h"
#include "ccm/wire/observation.h"

namespace hapair::ccm {
namespace {

using verbs::CmEvent;
using verbs::Device;
using verbs::Handle;
using verbs::Inbound;

constexpr Duration kDeviceLookEvery = std::chrono::milliseconds(200);
constexpr Duration kLinkCheckEvery = std::chrono::milliseconds(20);
constexpr int kConnectPatience = 10;  // times retry_timeout
constexpr int kBacklog = 16;
// The addresses are constants of the layout; only the keys are the device's to draw.
bool lies_where_expected(const ConnectAnswer& answer) {
  const std::uint64_t stride = answer.regions[0].address - kStatusAddress;
  return stride % kRailStride == 0 && stride / kRailStride < kMaxRails &&
         answer.regions[1].address == kMailboxAddress + stride && answer.regions[0].length == kPageBytes &&
         answer.regions[1].length == kPageBytes;
}

}  // namespace

VerbsFabric::Pages::~Pages() {
  for (const auto& page : {status, mailbox}) {
    if (!page.empty()) (void)::munmap(page.data(), page.size());
  }
}

VerbsFabric::VerbsFabric(VerbsSettings settings) : settings_(std::move(settings)) {}

VerbsFabric::~VerbsFabric() {
  bury_outbound();
  for (auto& one : inbound_) bury(one);
  if (listener_) slow_.release({.id = std::move(listener_)});
  device_.reset();
}

void VerbsFabric::bury_outbound() {
  if (!outbound_) return;
  request_waits_ = false;
  slow_.interrupt_connect(outbound_.get());
  slow_.hold(!link_up());
  slow_.release({.device = device_, .id = std::move(outbound_)});
}

void VerbsFabric::bury(std::optional<Inbound>& inbound) {
  if (inbound) slow_.release(inbound->take_apart());
  inbound.reset();
}

// ---- the device --------------------------------------------------------------------------------------------------

std::expected<void, std::string> VerbsFabric::map_page(std::uint64_t address, std::span<std::byte>& page) {
  void* const wanted = reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): it is predetermined
  void* const got = ::mmap(wanted, kPageBytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);
  if (got == MAP_FAILED) return std::unexpected(errno_text("mmap of a page at its predetermined address"));
  page = {static_cast<std::byte*>(got), kPageBytes};
  return {};
}

std::expected<void, std::string> VerbsFabric::open() {
  HAPAIR_CHECK(!epoll_.valid(), "a fabric is opened once");
  const auto local = Endpoint::make(settings_.address, settings_.service_port);
  const auto partner = Endpoint::make(settings_.partner_address, settings_.service_port);
  if (!local) return std::unexpected(local.error());
  if (!partner) return std::unexpected(partner.error());
  local_ = *local;
  partner_ = *partner;
  interface_.emplace(*local_);
  const std::uint64_t stride = kRailStride * settings_.rail;
  if (auto mapped = map_page(kStatusAddress + stride, pages_.status); !mapped) return mapped;
  if (auto mapped = map_page(kMailboxAddress + stride, pages_.mailbox); !mapped) return mapped;
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return std::unexpected(errno_text("epoll_create1"));
  if (auto taken = take_up_device(); !taken) lose_device(taken.error());
  return {};
}

void VerbsFabric::watch(int fd) const {
  (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

std::expected<void, std::string> VerbsFabric::take_up_device() {
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
  auto device = Device::open(std::move(*anchor), pages_.status, pages_.mailbox);
  if (!device) return std::unexpected(device.error());
  if ((*listener)->verbs != (*device)->context()) return std::unexpected("the RDMA device changed meanwhile");
  if (::rdma_listen(listener->get(), kBacklog) != 0) return std::unexpected(errno_text("rdma_listen"));
  device_ = std::move(*device);
  listener_ = std::move(*listener);
  watch(device_->completion_fd());
  watch(device_->async_fd());
  port_down_ = !device_->port_active();
  trouble_.clear();
  ++counters_.devices;
  return {};
}

void VerbsFabric::lose_device(const std::string& why) {
  if (!own_.none()) end_own(FabricError::link_down);
  slow_.hold(false);
  for (auto& one : inbound_) bury(one);
  if (listener_) slow_.release({.id = std::move(listener_)});
  if (device_) {
    for (const int fd : {device_->completion_fd(), device_->async_fd()}) {
      (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    }
    slow_.release({.device = std::move(device_), .removed = true});
  }
  trouble_ = why;
}

void VerbsFabric::look_for_device(Instant now) {
  if (device_ || now < next_device_look_) return;
  next_device_look_ = now + kDeviceLookEvery;
  if (auto taken = take_up_device(); !taken) trouble_ = taken.error();
}

bool VerbsFabric::link_up() { return device_ && !port_down_ && interface_->up(); }

// ---- own connection ----------------------------------------------------------------------------------------------

void VerbsFabric::connect(Instant now) {
  HAPAIR_CHECK(epoll_.valid(), "it is open");
  own_.begin(now);
  next_link_check_ = now + kLinkCheckEvery;
  if (device_) port_down_ = !device_->port_active();
  if (!link_up()) return end_own(FabricError::link_down);
  slow_.hold(false);
  auto id = verbs::begin_to_resolve(*channel_, *local_, *partner_, settings_.retry_timeout * kConnectPatience);
  if (!id) return end_own(verbs::error_of_errno(id.error()));
  outbound_ = std::move(*id);
  ++generation_;
}

void VerbsFabric::drop(Instant /*now*/) {
  bury_outbound();
  reads_.clear();
  own_.drop();
}

void VerbsFabric::end_own(FabricError why) {
  bury_outbound();
  reads_.clear();
  own_.end(why);
}

void VerbsFabric::begin_route() {
  if (outbound_->verbs != device_->context()) return end_own(FabricError::link_down);
  const auto begun =
      verbs::resolve_route(*outbound_, settings_.ack_timeout_exponent, settings_.retry_timeout * kConnectPatience);
  if (!begun) end_own(verbs::error_of_errno(begun.error()));
}

void VerbsFabric::begin_connection() {
  ibv_qp_init_attr wanted = device_->pair_attributes();
  if (::rdma_create_qp(outbound_.get(), device_->domain(), &wanted) != 0) return end_own(FabricError::link_down);
  send_request();
}

// On iWARP the call may make the whole TCP connection.
void VerbsFabric::send_request() {
  const ConnectBytes request = encode(ConnectRequest{ConnectService::early_channel, {}});
  rdma_conn_param parameters{};
  parameters.private_data = request.data();
  parameters.private_data_len = request.size();
  parameters.responder_resources = parameters.initiator_depth = device_->reads();
  parameters.retry_count = settings_.retry_count;
  parameters.rnr_retry_count = 6;
  if (!device_->is_iwarp()) {
    if (::rdma_connect(outbound_.get(), &parameters) != 0) end_own(verbs::error_of_errno(errno));
    return;
  }
  request_waits_ = slow_.connecting();
  if (request_waits_) {
    slow_.interrupt_abandoned();
  } else {
    slow_.connect(outbound_.get(), parameters, request);
  }
}

void VerbsFabric::look_after_request() {
  if (!device_ || !device_->is_iwarp() || !own_.attempting()) return;
  if (request_waits_) return send_request();
  if (const auto error = slow_.take_connect_error(outbound_.get()))
    end_own(link_up() ? verbs::error_of_errno(*error) : FabricError::link_down);
}

void VerbsFabric::finish_connection(const CmEvent& event) {
  const auto answer = parse_connect_answer(event.private_data());
  if (!answer || answer->service != ConnectService::early_channel || !lies_where_expected(*answer)) {
    return end_own(FabricError::refused);
  }
  answer_ = *answer;
  own_.established();
}

ibv_send_wr VerbsFabric::work_on(RemotePage page, std::size_t offset) const {
  const RemoteRegion& region = answer_.regions.at(page == RemotePage::status ? 0 : 1);
  ibv_send_wr work{};
  work.send_flags = IBV_SEND_SIGNALED;
  work.wr.rdma.remote_addr = region.address + offset;
  work.wr.rdma.rkey = region.key;
  return work;
}

bool VerbsFabric::post(Instant now, OperationId id, ibv_send_wr& work, std::size_t bytes, std::span<std::byte> into) {
  const std::size_t slot = next_work_ % OwnConnection::kQueueDepth;
  ibv_sge piece = device_->piece(slot, bytes);
  work.wr_id = generation_;
  work.sg_list = &piece;
  work.num_sge = 1;
  // On iWARP a write is followed by a read, whose answer tells that the write was placed.
  ibv_sge probe = device_->piece(slot, sizeof(std::uint64_t));
  ibv_send_wr read = work_on(RemotePage::status, 0);
  if (device_->is_iwarp() && into.empty()) {
    work.send_flags = 0;
    work.next = &read;
    read.wr_id = generation_;
    read.opcode = IBV_WR_RDMA_READ;
    read.send_flags = IBV_SEND_SIGNALED;
    read.sg_list = &probe;
    read.num_sge = 1;
  }
  ibv_send_wr* refused = nullptr;
  if (::ibv_post_send(outbound_->qp, &work, &refused) != 0) return false;
  ++next_work_;
  own_.post({id, now, !into.empty()});
  reads_.push({into, slot});
  return true;
}

bool VerbsFabric::post_read(Instant now, OperationId id, RemotePage page, std::size_t offset,
                            std::span<std::byte> into) {
  HAPAIR_CHECK(!into.empty() && offset + into.size() <= kPageBytes, "an operation lies within its page");
  if (!own_.room_for_operation()) return false;
  ibv_send_wr work = work_on(page, offset);
  work.opcode = IBV_WR_RDMA_READ;
  return post(now, id, work, into.size(), into);
}

bool VerbsFabric::post_write(Instant now, OperationId id, RemotePage page, std::size_t offset,
                             std::span<const std::byte> from) {
  HAPAIR_CHECK(!from.empty() && offset + from.size() <= kPageBytes, "an operation lies within its page");
  if (!own_.room_for_operation()) return false;
  std::ranges::copy(from, device_->buffer(next_work_ % OwnConnection::kQueueDepth).begin());
  ibv_send_wr work = work_on(page, offset);
  work.opcode = IBV_WR_RDMA_WRITE;
  return post(now, id, work, from.size(), {});
}

void VerbsFabric::take_bound(const ibv_wc& completion) {
  const auto one =
      std::ranges::find_if(inbound_, [&](auto& inbound) { return inbound && inbound->take_bound(completion); });
  if (one == inbound_.end()) return;  // it has gone meanwhile
  if (completion.status == IBV_WC_SUCCESS && (*one)->answer_when_bound()) return;
  ++counters_.refused_device;
  bury(*one);
}

void VerbsFabric::take_completions(Instant now) {
  while (device_) {
    const auto completion = device_->next_completion();
    if (!completion) return;
    if (completion->wr_id == verbs::kBindWork) {
      take_bound(*completion);
      continue;
    }
    // Of an earlier connection.
    if (completion->wr_id != generation_ || !own_.up() || !own_.outstanding()) continue;
    if (completion->status != IBV_WC_SUCCESS) {
      const FabricError error = verbs::error_of(completion->status);
      end_own(link_up() ? error : FabricError::link_down);
      continue;
    }
    const Read read = reads_.front();
    reads_.pop();
    const auto bytes = device_->buffer(read.slot).first(read.into.size());
    std::ranges::copy(bytes, read.into.begin());
    own_.complete_oldest(now);
  }
}

// ---- events ------------------------------------------------------------------------------------------------------

void VerbsFabric::take_cm_events(Instant now) {
  CmEvent event;
  while (channel_ && slow_.has_room() && verbs::next_event(*channel_, event)) {
    if (event.type == RDMA_CM_EVENT_DEVICE_REMOVAL) {
      lose_device("the RDMA device of " + settings_.address + " was removed");
      return;
    }
    if (event.type == RDMA_CM_EVENT_CONNECT_REQUEST) {
      take_request(now, event);
    } else if (outbound_ && event.id == outbound_.get()) {
      take_own_event(event);
    } else {
      take_inbound_event(event);
    }
  }
}

void VerbsFabric::take_own_event(const CmEvent& event) {
  if (event.type == RDMA_CM_EVENT_ADDR_RESOLVED) return begin_route();
  if (event.type == RDMA_CM_EVENT_ROUTE_RESOLVED) return begin_connection();
  if (event.type == RDMA_CM_EVENT_ESTABLISHED) return finish_connection(event);
  if (const auto error = verbs::error_of(event)) end_own(link_up() ? *error : FabricError::link_down);
}

// A free place; else that of the oldest connection, which the partner has left behind: it opens one at a time.
void VerbsFabric::take_request(Instant now, const CmEvent& event) {
  Handle<rdma_cm_id> id(event.id);
  sockaddr_storage from{};
  const sockaddr* const peer = ::rdma_get_peer_addr(event.id);
  std::memcpy(&from, peer, peer->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
  const auto request = parse_connect_request(event.private_data());
  const bool stranger = !partner_->same_host(from);
  if (stranger || !request || request->service != ConnectService::early_channel || !device_ ||
      id->verbs != device_->context()) {
    ++(stranger ? counters_.refused_address : counters_.refused_malformed);
    (void)::rdma_reject(id.get(), nullptr, 0);
    return slow_.release({.id = std::move(id)});
  }
  const auto place = std::ranges::min_element(inbound_, {}, [](const std::optional<Inbound>& one) {
    return std::pair(one.has_value(), one ? one->since() : Instant());
  });
  if (place->has_value()) ++counters_.replaced;
  bury(*place);
  place->emplace(device_, std::move(id), now);
  if (!(*place)->begin()) {
    ++counters_.refused_device;
    bury(*place);
  }
}

void VerbsFabric::take_inbound_event(const CmEvent& event) {
  if (!verbs::ends_inbound(event)) return;
  for (auto& one : inbound_) {
    if (one && one->id() == event.id) bury(one);
  }
}

void VerbsFabric::take_async_events() {
  ibv_async_event event{};
  while (device_ && ::ibv_get_async_event(device_->context(), &event) == 0) {
    const ibv_event_type type = event.event_type;
    ::ibv_ack_async_event(&event);
    if (type == IBV_EVENT_DEVICE_FATAL) return lose_device("the RDMA device of " + settings_.address + " failed");
    if (type == IBV_EVENT_PORT_ERR || type == IBV_EVENT_PORT_ACTIVE) port_down_ = !device_->port_active();
    if (type == IBV_EVENT_PORT_ERR && port_down_ && !own_.none()) end_own(FabricError::link_down);
  }
}

void VerbsFabric::check_times(Instant now) {
  if (own_.none()) return;
  look_after_request();
  if (own_.none()) return;
  if (now >= next_link_check_) {
    next_link_check_ = now + kLinkCheckEvery;
    if (!link_up()) return end_own(FabricError::link_down);
  }
  const std::optional<Instant> since = own_.waiting_since();
  const Duration allowed = settings_.retry_timeout * (own_.attempting() ? kConnectPatience : 1);
  if (since && now - *since >= allowed) end_own(FabricError::retry_exceeded);
}

void VerbsFabric::take_ready(Instant now) {
  std::array<epoll_event, 4> ready{};
  const int count = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), 0);
  for (int i = 0; i < count; ++i) {
    const int fd = ready.at(static_cast<std::size_t>(i)).data.fd;
    if (channel_ && fd == channel_->fd) {
      take_cm_events(now);
    } else if (device_ && fd == device_->completion_fd()) {
      device_->rearm();
    } else if (device_ && fd == device_->async_fd()) {
      take_async_events();
    }
  }
  take_completions(now);
}

std::size_t VerbsFabric::poll(Instant now, std::span<FabricEvent> into) {
  if (std::exchange(polled_at_, now) != now) {
    look_for_device(now);
    take_ready(now);
  }
  check_times(now);
  return own_.take(into);
}

}  // namespace hapair::ccm
