// What a fabric keeps of its own connection, whatever it is made of: the attempt or connection, the operations that
// were posted, and the events that were not polled yet; so that each operation completes exactly once and each attempt
// is answered exactly once (fabric.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "ccm/base/fixed_ring.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/fabric/fabric.h"

namespace hapair::ccm {

class OwnConnection {
 public:
  static constexpr std::size_t kQueueDepth = 16;

  struct Posted {
    OperationId id;
    Instant when;
    bool read = false;
  };

  [[nodiscard]] bool none() const { return link_ == Link::none; }
  [[nodiscard]] bool attempting() const { return link_ == Link::attempt; }
  [[nodiscard]] bool up() const { return link_ == Link::up; }
  // Since when the other end owes something: the answer to the attempt, or to the oldest operation.
  [[nodiscard]] std::optional<Instant> waiting_since();
  [[nodiscard]] bool room_for_operation() const { return up() && posted_.size() + events_.size() < kQueueDepth; }
  [[nodiscard]] const Posted& oldest() { return posted_.front(); }
  [[nodiscard]] bool outstanding() const { return !posted_.empty(); }
  [[nodiscard]] Duration last_round_trip() const { return last_round_trip_; }

  void begin(Instant now);  // an attempt
  void established();       // it succeeded
  void post(const Posted& operation) { posted_.push(operation); }
  void complete_oldest(Instant now);
  // It ended by itself. The operation that met the error tells it; those behind it are flushed.
  void end(FabricError why);
  // It is no longer wanted: an unheard "connected" becomes the answer that its attempt ended, an unheard "lost" is no
  // news.
  void drop();
  std::size_t take(std::span<FabricEvent> into);

 private:
  enum class Link : std::uint8_t { none, attempt, up };
  void complete(FabricError error);

  Link link_ = Link::none;
  Instant since_;
  FixedRing<Posted, kQueueDepth> posted_;
  FixedRing<FabricEvent, 2 * kQueueDepth + 4> events_;
  Duration last_round_trip_{};
};

}  // namespace hapair::ccm
