// What carries the beats of one channel between the two nodes: a UDP socket, a mailbox disk. Nothing here waits.
#pragma once

#include <cstddef>
#include <span>

#include "ccm/base/time.h"

namespace hapair::ccm {

struct Datagram {
  // Over an IP network what is longer than a beat is cut to one byte more, so that it can be told from one; of a disk,
  // the partner's whole block, which begins with its beat.
  std::span<const std::byte> bytes;
  Duration age{};  // since it came, by a clock that may be set: never trusted for more than the time between two looks
};

inline constexpr std::size_t kBeatBatch = 16;

class BeatCarrier {
 public:
  virtual ~BeatCarrier() = default;
  // A beat; on a disk the whole of this node's block, zeros where it is shorter. False where it cannot go out; error()
  // says why.
  virtual bool send(std::span<const std::byte> datagram) = 0;
  // What has come, in the order in which it came; less than kBeatBatch where that is all. Valid until the next call.
  virtual std::span<const Datagram> receive() = 0;
  // errno of the last that was to go out, 0 where it did.
  [[nodiscard]] virtual int error() const = 0;
};

}  // namespace hapair::ccm
