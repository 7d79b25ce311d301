// How a look at Corosync's ring is taken (agent/core/quorum_lease.h): three messages of this process to itself, each
// sent when the one before has come back, and nothing of another ring between them. Without clock, thread or
// descriptor.
//
// Why it is a look. Corosync tells a process of a new ring in the same stream as its messages (cpg_model_initialize(3),
// CPG_MODEL_V1), but only when all of its services agree about that ring, and a message that was waiting may be
// delivered in the new ring before. It takes no message of a process meanwhile. So:
//   - That it took the third means that no newer ring had begun then: the two before were delivered in the ring that
//   was
//     told of last.
//   - A message is sent when this node has the token, and comes back to it at once. Between the first and the second
//   the
//     token left this node and came back, through the hands of every member, all of that after the first was sent. (One
//     alone proves nothing: a machine that was stopped may find an old token waiting for it.)
// What votequorum says between the second and the third is of that ring too.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ccm/base/time.h"

namespace hapair::agent {

struct RingId {
  std::uint32_t node = 0;
  std::uint64_t sequence = 0;
  bool operator==(const RingId&) const = default;
};

class RingLook {
 public:
  static constexpr int kMessages = 3;

  // A message that does not come back in `patience` was lost: the look begins anew.
  explicit RingLook(Duration patience) : patience_(patience) {}

  // Corosync tells of a ring, another one or the same: what is under way begins anew.
  void entered(RingId ring, std::vector<std::uint32_t> members);
  void disconnected();
  // A look is wanted; nothing where one is under way.
  void begin();

  // The number of the message that is to be sent; nothing: none is.
  [[nodiscard]] std::optional<std::uint64_t> to_send() const;
  void sending(Instant now);  // that one, now; called before it is handed to Corosync
  void refused();             // it was not taken
  enum class Came : std::uint8_t { nothing, second, third };
  // One of this process's own came back. Second: votequorum is to be asked now. Third: the look is complete.
  Came came(std::uint64_t number);
  void tick(Instant now);
  // What it rested on is no longer so: it begins anew.
  void restart();

  [[nodiscard]] bool under_way() const { return message_ != 0; }
  // Of the look that is under way or was completed last: when its first message was sent.
  [[nodiscard]] Instant began() const { return began_; }
  // When the look that is under way is given up; nothing: none is, or its next message is still to be sent.
  [[nodiscard]] std::optional<Instant> patience_ends() const;
  [[nodiscard]] RingId ring() const { return ring_; }
  [[nodiscard]] bool in_ring() const { return !members_.empty(); }
  [[nodiscard]] bool has_member(std::uint32_t node) const;

 private:
  Duration patience_;
  RingId ring_;
  std::vector<std::uint32_t> members_;  // empty: not told yet
  int message_ = 0;                     // the one that is to be sent or to come back, from 1; 0: no look is under way
  bool sent_ = false;
  std::uint64_t number_ = 0;  // of that one; never used twice
  Instant began_;
  Instant sent_at_;
};

}  // namespace hapair::agent
