// Who may send how many messages on a port. A message without a receive buffer at the other end would end the
// connection, so an end sends only what the other has granted. Grants are running totals of one exposure: a later one
// contains all before it. They count from what the sender says it has sent, not from what has arrived: what went down
// with a connection takes up no buffer, and the next connection into the same exposure goes on counting. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "ccm/wire/port_channel.h"

namespace hapair::ccm {

class MessageGrants {
 public:
  struct Grant {
    std::uint32_t exposure = 0;
    std::uint64_t total = 0;
  };

  // ---- what this end grants, over its own exposure
  // Buffers that are never granted: grants themselves arrive in them.
  static constexpr std::uint32_t kReserved = 4;
  // So much more than was told last is worth a message of its own.
  static constexpr std::uint64_t kWorthTelling = 8;

  void opened(std::uint32_t exposure) {
    closed();
    exposure_ = exposure;
    heard_ = 0;
    posted_ = 0;
    untold();
  }
  // What was granted came in over this exposure, from a partner that may be another one when the next is open.
  void closed() {
    exposure_ = 0;
    allowed_ = {};
  }
  void buffer_posted() { ++posted_; }
  void buffer_filled() { --posted_; }
  // What the partner says it has sent so far. One that lies harms its own messages only.
  void heard(std::uint64_t sent) { heard_ = sent; }
  // The way to the other end is a new one: what was told over the old one may not have arrived.
  void untold() { told_.reset(); }
  [[nodiscard]] Grant grant() const { return {exposure_, heard_ + (posted_ > kReserved ? posted_ - kReserved : 0)}; }
  [[nodiscard]] bool worth_telling() const {
    if (exposure_ == 0) return false;
    return !told_ || grant().total >= *told_ + kWorthTelling;
  }
  void told(const Grant& grant) {
    if (grant.exposure == exposure_) told_ = grant.total;
  }

  // ---- what this end was granted, for the partner's exposure
  void granted(const Grant& grant) {
    if (grant.exposure != allowed_.exposure) {
      allowed_ = grant;
    } else {
      allowed_.total = std::max(allowed_.total, grant.total);
    }
  }
  // A new connection into it; it may be the one of before, whose count goes on.
  void reaches(std::uint32_t exposure) {
    if (std::exchange(reached_, exposure) != exposure) sent_ = 0;
  }
  [[nodiscard]] bool may_send() const { return allowed_.exposure == reached_ && sent_ < allowed_.total; }
  void sent() { ++sent_; }
  [[nodiscard]] std::uint64_t total_sent() const { return sent_; }

 private:
  std::uint32_t exposure_ = 0;
  std::uint64_t heard_ = 0;
  std::uint64_t posted_ = 0;
  std::optional<std::uint64_t> told_;
  Grant allowed_;
  std::uint32_t reached_ = 0;
  std::uint64_t sent_ = 0;
};

}  // namespace hapair::ccm
