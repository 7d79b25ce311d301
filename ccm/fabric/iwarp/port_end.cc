#include "ccm/fabric/iwarp/port_end.h"

#include <algorithm>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::ccm::iwarp {
namespace {

// The offset of an operation counts from here, in every port alike.
constexpr std::uint64_t kPortAddress = 0;

}  // namespace

PortEnd::PortEnd(PortId id, const PortToken& token, const PortExposure& exposure, std::uint32_t first_stag)
    : book_(id),
      token_(token),
      regions_{{{.stag = first_stag,
                 .base = kPortAddress,
                 .memory = exposure.memory,
                 .remote_read = exposure.partner_reads,
                 .remote_write = exposure.partner_writes},
                {.stag = first_stag + 1, .base = kPortAddress, .memory = control_, .remote_read = true}}},
      own_(std::make_unique<Connection>(kPortPayload)),
      partners_(std::make_unique<Connection>(kPortPayload)) {}

// ---- own connection ----------------------------------------------------------------------------------------------

void PortEnd::connect(Instant now, const PortToken& partner_token, const Way& way) {
  book_.begin();
  progress_ = now;
  moved_ = 0;
  if (own_->dial(way.local, way.partner, {ConnectService::port, partner_token}, way.crc, way.retry_timeout, now)) {
    own_->watch(way.epoll, way.number);
  } else {
    end_own(own_->error(), own_->error());
  }
}

void PortEnd::end_own(FabricError first, FabricError why) {
  if (book_.none()) return;
  own_->close();
  book_.end(first, why);
}

void PortEnd::drop() {
  own_->close();
  book_.drop();
}

bool PortEnd::within(std::uint64_t offset, std::size_t bytes) const {
  const std::uint32_t length = own_->answer().regions[0].length;
  return offset <= length && bytes <= length - offset;
}

RemoteBuffer PortEnd::probe() const {
  const RemoteRegion& control = own_->answer().regions[1];
  return {control.key, control.address};
}

bool PortEnd::posted(Instant now, OperationId id) {
  if (!book_.outstanding()) progress_ = now;
  book_.post(id);
  return true;
}

bool PortEnd::post_write(Instant now, OperationId id, std::uint64_t offset, std::span<const std::byte> from) {
  if (!book_.room_for_operation() || !within(offset, from.size())) return false;
  const RemoteRegion& memory = own_->answer().regions[0];
  const RemoteBuffer to{memory.key, memory.address + offset};
  return own_->stream().post_write(id, to, probe(), from) && posted(now, id);
}

bool PortEnd::post_read(Instant now, OperationId id, std::uint64_t offset, std::span<std::byte> into) {
  if (!book_.room_for_operation() || !within(offset, into.size())) return false;
  const RemoteRegion& memory = own_->answer().regions[0];
  return own_->stream().post_read(id, {memory.key, memory.address + offset}, into) && posted(now, id);
}

bool PortEnd::post_send(Instant now, OperationId id, std::span<const std::byte> message) {
  if (!book_.room_for_operation() || message.size() > PortFabric::kMaxMessage) return false;
  return own_->stream().post_send(id, probe(), message) && posted(now, id);
}

void PortEnd::flush(const Way& way) {
  own_->flush();
  own_->watch(way.epoll, way.number);
}

void PortEnd::work_own(Instant now, const Way& way, bool link_up) {
  if (book_.none()) return;
  own_->work();
  if (book_.attempting() && own_->phase() == Connection::Phase::up) {
    book_.established(own_->answer().regions[0].length);
  }
  own_->watch(way.epoll, way.number);
  collect(now, link_up);
}

void PortEnd::collect(Instant now, bool link_up) {
  while (book_.up()) {
    const auto done = own_->stream().next_event();
    if (!done || done->error != OperationError::none) break;
    HAPAIR_CHECK(book_.outstanding() && book_.oldest() == done->operation, "completions come in their order");
    progress_ = now;
    book_.complete_oldest(FabricError::none);
  }
  if (book_.none() || !own_ended()) return;
  FabricError error = own_->error();
  if (book_.attempting() && own_->malformed()) error = FabricError::refused;
  if (!link_up) error = FabricError::link_down;
  end_own(error, error);
}

// Bulk data may take as long as it needs, while bytes move.
void PortEnd::check_time(Instant now, Duration retry_timeout) {
  if (book_.none()) return;
  if (std::exchange(moved_, own_->moved()) != own_->moved()) progress_ = now;
  const bool waiting = book_.attempting() || book_.outstanding();
  if (waiting && now - progress_ >= retry_timeout) end_own(FabricError::retry_exceeded, FabricError::retry_exceeded);
}

// ---- the partner's connection ------------------------------------------------------------------------------------

bool PortEnd::post_receive(OperationId id, std::span<std::byte> into) {
  if (!book_.post_receive(id, into)) return false;
  if (book_.partner_in()) (void)partners_->stream().post_receive(id, into);
  return true;
}

void PortEnd::take_partner(std::unique_ptr<Connection>& requested) {
  HAPAIR_CHECK(requested->phase() == Connection::Phase::requested && takes_partner(), "one request, one answer");
  std::swap(partners_, requested);
  requested->close();
  const auto memory = static_cast<std::uint32_t>(regions_[0].memory.size());
  partners_->accept({ConnectService::port,
                     {{{kPortAddress, memory, regions_[0].stag},
                       {kPortAddress, static_cast<std::uint32_t>(control_.size()), regions_[1].stag}}}},
                    regions_);
  for (std::size_t i = 0; i < book_.receives(); ++i) {
    (void)partners_->stream().post_receive(book_.receive(i).id, book_.receive(i).into);
  }
  book_.partner_came();
}

std::optional<TerminateCode> PortEnd::work_partner(const Fd& epoll, std::uint64_t number) {
  if (!book_.partner_in()) return std::nullopt;
  partners_->work();
  while (const auto event = partners_->stream().next_event()) {
    if (event->kind != StreamEvent::Kind::received) continue;
    HAPAIR_CHECK(book_.receives() > 0 && book_.receive(0).id == event->operation, "buffers fill in their order");
    book_.received(event->bytes);
  }
  if (partners_->phase() != Connection::Phase::ended) {
    partners_->watch(epoll, number);
    return std::nullopt;
  }
  const std::optional<TerminateCode> code = partners_->stream().terminate_sent();
  partners_->close();
  book_.partner_left();
  return code;
}

void PortEnd::remove() {
  own_->close();
  partners_->close();
  regions_ = {};
  book_.remove();
}

}  // namespace hapair::ccm::iwarp
