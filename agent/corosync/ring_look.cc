#include "agent/corosync/ring_look.h"

#include <algorithm>
#include <utility>

namespace hapair::agent {

void RingLook::entered(RingId ring, std::vector<std::uint32_t> members) {
  ring_ = ring;
  members_ = std::move(members);
  if (under_way()) restart();
}

void RingLook::disconnected() {
  members_.clear();
  message_ = 0;
  sent_ = false;
}

void RingLook::begin() {
  if (!under_way()) restart();
}

void RingLook::restart() {
  message_ = 1;
  sent_ = false;
  ++number_;
}

std::optional<std::uint64_t> RingLook::to_send() const {
  if (!under_way() || sent_ || !in_ring()) return std::nullopt;
  return number_;
}

void RingLook::sending(Instant now) {
  if (message_ == 1) began_ = now;
  sent_ = true;
  sent_at_ = now;
}

void RingLook::refused() { sent_ = false; }

RingLook::Came RingLook::came(std::uint64_t number) {
  if (!under_way() || !sent_ || number != number_) return Came::nothing;
  ++number_;
  sent_ = false;
  switch (message_++) {
    case 1:
      return Came::nothing;
    case 2:
      return Came::second;
    default:
      message_ = 0;
      return Came::third;
  }
}

void RingLook::tick(Instant now) {
  if (const auto ends = patience_ends(); ends && now >= *ends) restart();
}

std::optional<Instant> RingLook::patience_ends() const {
  if (!under_way() || !sent_) return std::nullopt;
  return sent_at_ + patience_;
}

bool RingLook::has_member(std::uint32_t node) const { return std::ranges::count(members_, node) > 0; }

}  // namespace hapair::agent
