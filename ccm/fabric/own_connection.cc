#include "ccm/fabric/own_connection.h"

#include <algorithm>

#include "ccm/base/check.h"

namespace hapair::ccm {

std::optional<Instant> OwnConnection::waiting_since() {
  if (attempting()) return since_;
  if (posted_.empty()) return std::nullopt;
  return posted_.front().when;
}

void OwnConnection::begin(Instant now) {
  HAPAIR_CHECK(none(), "one attempt or connection at a time");
  link_ = Link::attempt;
  since_ = now;
}

void OwnConnection::established() {
  HAPAIR_CHECK(attempting(), "only an attempt succeeds");
  link_ = Link::up;
  events_.push({FabricEvent::Kind::connected, {}, FabricError::none});
}

void OwnConnection::complete(FabricError error) {
  const Posted& one = posted_.front();
  events_.push({one.read ? FabricEvent::Kind::read_done : FabricEvent::Kind::write_done, one.id, error});
  posted_.pop();
}

void OwnConnection::complete_oldest(Instant now) {
  last_round_trip_ = std::max(now - posted_.front().when, Duration(1));
  complete(FabricError::none);
}

void OwnConnection::end(FabricError why) {
  const bool attempt = attempting();
  link_ = Link::none;
  if (!posted_.empty()) complete(why);
  while (!posted_.empty()) complete(FabricError::disconnected);
  events_.push({attempt ? FabricEvent::Kind::not_connected : FabricEvent::Kind::lost, {}, why});
}

void OwnConnection::drop() {
  const std::size_t waiting = events_.size();
  bool owes_answer = attempting();
  for (std::size_t i = 0; i < waiting; ++i) {
    const FabricEvent event = events_.front();
    events_.pop();
    if (event.kind == FabricEvent::Kind::connected) {
      owes_answer = true;
    } else if (event.kind != FabricEvent::Kind::lost) {
      events_.push(event);
    }
  }
  while (!posted_.empty()) complete(FabricError::disconnected);
  if (owes_answer) events_.push({FabricEvent::Kind::not_connected, {}, FabricError::disconnected});
  link_ = Link::none;
}

std::size_t OwnConnection::take(std::span<FabricEvent> into) {
  std::size_t count = 0;
  while (count < into.size() && !events_.empty()) {
    into[count++] = events_.front();
    events_.pop();
  }
  return count;
}

}  // namespace hapair::ccm
