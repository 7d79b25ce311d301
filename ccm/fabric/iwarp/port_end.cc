#include "ccm/fabric/iwarp/port_end.h"

#include <algorithm>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::ccm::iwarp {
namespace {

using Kind = PortEvent::Kind;

// The offset of an operation counts from here, in every port alike.
constexpr std::uint64_t kPortAddress = 0;

bool is_link_event(Kind kind) { return kind == Kind::connected || kind == Kind::not_connected || kind == Kind::lost; }

}  // namespace

PortEnd::PortEnd(PortId id, const PortToken& token, const PortExposure& exposure, std::uint32_t first_stag)
    : id_(id),
      token_(token),
      regions_{{{.stag = first_stag,
                 .base = kPortAddress,
                 .memory = exposure.memory,
                 .remote_read = exposure.partner_reads,
                 .remote_write = exposure.partner_writes},
                {.stag = first_stag + 1, .base = kPortAddress, .memory = control_, .remote_read = true}}},
      own_(std::make_unique<Connection>(kPortPayload)),
      partners_(std::make_unique<Connection>(kPortPayload)) {}

bool PortEnd::is_token(const PortToken& shown) const {
  std::uint8_t differs = 0;
  for (std::size_t i = 0; i < token_.size(); ++i) {
    differs = static_cast<std::uint8_t>(differs | (token_.at(i) ^ shown.at(i)));
  }
  return differs == 0 && !removed_;
}

// ---- own connection ----------------------------------------------------------------------------------------------

void PortEnd::connect(Instant now, const PortToken& partner_token, const Way& way) {
  HAPAIR_CHECK(link_ == Link::none && !removed_, "one attempt or connection of a port at a time");
  HAPAIR_CHECK(link_events_ <= 1, "the answer to an attempt is polled before the next one");
  link_ = Link::attempt;
  progress_ = now;
  moved_ = 0;
  if (own_->dial(way.local, way.partner, {ConnectService::port, partner_token}, way.crc, way.retry_timeout, now)) {
    own_->watch(way.epoll, way.number);
  } else {
    end_own(own_->error(), own_->error());
  }
}

// The operation that met the error tells it; those behind it are flushed.
void PortEnd::end_own(FabricError first, FabricError why) {
  if (link_ == Link::none) return;
  const bool attempt = std::exchange(link_, Link::none) == Link::attempt;
  own_->close();
  if (!operations_.empty()) complete_front(first);
  while (!operations_.empty()) complete_front(FabricError::disconnected);
  push(attempt ? Kind::not_connected : Kind::lost, {}, why);
}

// An unheard "connected" becomes the answer that its attempt ended; an unheard "lost" is no news.
void PortEnd::drop() {
  bool owes_answer = link_ == Link::attempt;
  const std::size_t waiting = events_.size();
  for (std::size_t i = 0; i < waiting; ++i) {
    const PortEvent event = events_.front();
    events_.pop();
    if (event.kind == Kind::connected || event.kind == Kind::lost) {
      owes_answer = owes_answer || event.kind == Kind::connected;
      --link_events_;
    } else {
      events_.push(event);
    }
  }
  own_->close();
  link_ = Link::none;
  while (!operations_.empty()) complete_front(FabricError::disconnected);
  if (owes_answer) push(Kind::not_connected, {}, FabricError::disconnected);
}

bool PortEnd::within(std::uint64_t offset, std::size_t bytes) const {
  const std::uint32_t length = own_->answer().regions[0].length;
  return offset <= length && bytes <= length - offset;
}

bool PortEnd::room_for_operation() const {
  return link_ == Link::up && operations_.size() + done_events_ < PortFabric::kQueueDepth;
}

RemoteBuffer PortEnd::probe() const {
  const RemoteRegion& control = own_->answer().regions[1];
  return {control.key, control.address};
}

bool PortEnd::posted(Instant now, OperationId id) {
  if (operations_.empty()) progress_ = now;
  operations_.push(id);
  return true;
}

bool PortEnd::post_write(Instant now, OperationId id, std::uint64_t offset, std::span<const std::byte> from) {
  if (!room_for_operation() || !within(offset, from.size())) return false;
  const RemoteRegion& memory = own_->answer().regions[0];
  const RemoteBuffer to{memory.key, memory.address + offset};
  return own_->stream().post_write(id, to, probe(), from) && posted(now, id);
}

bool PortEnd::post_read(Instant now, OperationId id, std::uint64_t offset, std::span<std::byte> into) {
  if (!room_for_operation() || !within(offset, into.size())) return false;
  const RemoteRegion& memory = own_->answer().regions[0];
  return own_->stream().post_read(id, {memory.key, memory.address + offset}, into) && posted(now, id);
}

bool PortEnd::post_send(Instant now, OperationId id, std::span<const std::byte> message) {
  if (!room_for_operation() || message.size() > PortFabric::kMaxMessage) return false;
  return own_->stream().post_send(id, probe(), message) && posted(now, id);
}

void PortEnd::flush(const Way& way) {
  own_->flush();
  own_->watch(way.epoll, way.number);
}

void PortEnd::work_own(Instant now, const Way& way, bool link_up) {
  if (link_ == Link::none) return;
  own_->work();
  if (link_ == Link::attempt && own_->phase() == Connection::Phase::up) {
    link_ = Link::up;
    push(Kind::connected, {}, FabricError::none, own_->answer().regions[0].length);
  }
  own_->watch(way.epoll, way.number);
  collect(now, link_up);
}

void PortEnd::collect(Instant now, bool link_up) {
  while (link_ == Link::up) {
    const auto done = own_->stream().next_event();
    if (!done || done->error != OperationError::none) break;
    HAPAIR_CHECK(!operations_.empty() && operations_.front() == done->operation, "completions come in their order");
    progress_ = now;
    complete_front(FabricError::none);
  }
  if (link_ == Link::none || !own_ended()) return;
  FabricError error = own_->error();
  if (link_ == Link::attempt && own_->malformed()) error = FabricError::refused;
  if (!link_up) error = FabricError::link_down;
  end_own(error, error);
}

// Bulk data may take as long as it needs, while bytes move.
void PortEnd::check_time(Instant now, Duration retry_timeout) {
  if (link_ == Link::none) return;
  if (std::exchange(moved_, own_->moved()) != own_->moved()) progress_ = now;
  const bool waiting = link_ == Link::attempt || !operations_.empty();
  if (waiting && now - progress_ >= retry_timeout) end_own(FabricError::retry_exceeded, FabricError::retry_exceeded);
}

// ---- the partner's connection ------------------------------------------------------------------------------------

bool PortEnd::post_receive(OperationId id, std::span<std::byte> into) {
  if (removed_ || into.size() < PortFabric::kMaxMessage) return false;
  if (receives_.size() + received_events_ >= PortFabric::kMaxReceives) return false;
  receives_.push({id, into});
  if (partner_in_) (void)partners_->stream().post_receive(id, into);
  return true;
}

void PortEnd::take_partner(std::unique_ptr<Connection>& requested) {
  HAPAIR_CHECK(requested->phase() == Connection::Phase::requested && takes_partner(), "one request, one answer");
  std::swap(partners_, requested);
  requested->close();
  if (std::exchange(partner_in_, true)) push(Kind::partner_out, {}, FabricError::disconnected);
  const auto memory = static_cast<std::uint32_t>(regions_[0].memory.size());
  partners_->accept({ConnectService::port,
                     {{{kPortAddress, memory, regions_[0].stag},
                       {kPortAddress, static_cast<std::uint32_t>(control_.size()), regions_[1].stag}}}},
                    regions_);
  for (std::size_t i = 0; i < receives_.size(); ++i) {
    (void)partners_->stream().post_receive(receives_.at(i).id, receives_.at(i).into);
  }
  push(Kind::partner_in, {}, FabricError::none);
}

std::optional<TerminateCode> PortEnd::work_partner(const Fd& epoll, std::uint64_t number) {
  if (!partner_in_) return std::nullopt;
  partners_->work();
  while (const auto event = partners_->stream().next_event()) {
    if (event->kind != StreamEvent::Kind::received) continue;
    HAPAIR_CHECK(!receives_.empty() && receives_.front().id == event->operation, "buffers fill in their order");
    receives_.pop();
    push(Kind::received, event->operation, FabricError::none, event->bytes);
  }
  if (partners_->phase() != Connection::Phase::ended) {
    partners_->watch(epoll, number);
    return std::nullopt;
  }
  const std::optional<TerminateCode> code = partners_->stream().terminate_sent();
  partners_->close();
  partner_in_ = false;
  push(Kind::partner_out, {}, FabricError::disconnected);
  return code;
}

// ---- both --------------------------------------------------------------------------------------------------------

void PortEnd::remove() {
  drop();
  partners_->close();
  partner_in_ = false;
  receives_.clear();
  regions_ = {};
  removed_ = true;
}

void PortEnd::push(Kind kind, OperationId operation, FabricError error, std::uint32_t bytes) {
  if (kind == Kind::done) ++done_events_;
  if (kind == Kind::received) ++received_events_;
  if (kind == Kind::partner_in || kind == Kind::partner_out) ++partner_events_;
  if (is_link_event(kind)) ++link_events_;
  events_.push({kind, id_, operation, error, bytes});
}

void PortEnd::complete_front(FabricError error) {
  push(Kind::done, operations_.front(), error);
  operations_.pop();
}

std::optional<PortEvent> PortEnd::next_event() {
  if (events_.empty()) return std::nullopt;
  const PortEvent event = events_.front();
  events_.pop();
  if (event.kind == Kind::done) --done_events_;
  if (event.kind == Kind::received) --received_events_;
  if (event.kind == Kind::partner_in || event.kind == Kind::partner_out) --partner_events_;
  if (is_link_event(event.kind)) --link_events_;
  return event;
}

}  // namespace hapair::ccm::iwarp
