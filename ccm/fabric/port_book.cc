#include "ccm/fabric/port_book.h"

#include <utility>

#include "ccm/base/check.h"

namespace hapair::ccm {
namespace {

using Kind = PortEvent::Kind;

bool is_link_event(Kind kind) { return kind == Kind::connected || kind == Kind::not_connected || kind == Kind::lost; }

}  // namespace

// ---- own connection ----------------------------------------------------------------------------------------------

bool PortBook::room_for_operation() const {
  return up() && operations_.size() + done_events_ < PortFabric::kQueueDepth;
}

void PortBook::begin() {
  HAPAIR_CHECK(none() && !removed_, "one attempt or connection of a port at a time");
  HAPAIR_CHECK(link_events_ <= 1, "the answer to an attempt is polled before the next one");
  link_ = Link::attempt;
}

void PortBook::established(std::uint32_t partner_bytes) {
  HAPAIR_CHECK(attempting(), "only an attempt succeeds");
  link_ = Link::up;
  push(Kind::connected, {}, FabricError::none, partner_bytes);
}

void PortBook::complete_oldest(FabricError error) {
  push(Kind::done, operations_.front(), error);
  operations_.pop();
}

void PortBook::end(FabricError first, FabricError why) {
  if (none()) return;
  const bool attempt = std::exchange(link_, Link::none) == Link::attempt;
  if (outstanding()) complete_oldest(first);
  while (outstanding()) complete_oldest(FabricError::disconnected);
  push(attempt ? Kind::not_connected : Kind::lost, {}, why);
}

void PortBook::drop() {
  bool owes_answer = attempting();
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
  link_ = Link::none;
  while (outstanding()) complete_oldest(FabricError::disconnected);
  if (owes_answer) push(Kind::not_connected, {}, FabricError::disconnected);
}

// ---- the partner's connection ------------------------------------------------------------------------------------

void PortBook::partner_came() {
  HAPAIR_CHECK(takes_partner(), "the caller asked whether one may come");
  partner_left();
  partner_in_ = true;
  push(Kind::partner_in, {}, FabricError::none);
}

void PortBook::partner_left() {
  if (std::exchange(partner_in_, false)) push(Kind::partner_out, {}, FabricError::disconnected);
}

bool PortBook::post_receive(OperationId id, std::span<std::byte> into) {
  if (removed_ || into.size() < PortFabric::kMaxMessage) return false;
  if (receives_.size() + received_events_ >= PortFabric::kMaxReceives) return false;
  receives_.push({id, into});
  return true;
}

void PortBook::received(std::uint32_t bytes) {
  push(Kind::received, receives_.front().id, FabricError::none, bytes);
  receives_.pop();
}

// ---- both --------------------------------------------------------------------------------------------------------

void PortBook::remove() {
  drop();
  partner_in_ = false;
  receives_.clear();
  removed_ = true;
}

void PortBook::push(Kind kind, OperationId operation, FabricError error, std::uint32_t bytes) {
  if (kind == Kind::done) ++done_events_;
  if (kind == Kind::received) ++received_events_;
  if (kind == Kind::partner_in || kind == Kind::partner_out) ++partner_events_;
  if (is_link_event(kind)) ++link_events_;
  events_.push({kind, id_, operation, error, bytes});
}

std::optional<PortEvent> PortBook::next_event() {
  if (events_.empty()) return std::nullopt;
  const PortEvent event = events_.front();
  events_.pop();
  if (event.kind == Kind::done) --done_events_;
  if (event.kind == Kind::received) --received_events_;
  if (event.kind == Kind::partner_in || event.kind == Kind::partner_out) --partner_events_;
  if (is_link_event(event.kind)) --link_events_;
  return event;
}

bool same_token(const PortToken& one, const PortToken& other) {
  std::uint8_t differs = 0;
  for (std::size_t i = 0; i < one.size(); ++i) differs = static_cast<std::uint8_t>(differs | (one.at(i) ^ other.at(i)));
  return differs == 0;
}

}  // namespace hapair::ccm
