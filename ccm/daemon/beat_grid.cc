#include "ccm/daemon/beat_grid.h"

namespace hapair::ccm {
namespace {

constexpr int kTogetherShare = 4;  // of the pace: a beat that is due so soon comes with the partner's look
constexpr int kDrawnShare = 2;     // of the pace: below it this node is the later one
constexpr int kDrawShare = 64;     // of the pace, once a beat
constexpr int kYieldShare = 16;    // of the pace: the one that follows waits this much longer for the look it follows

}  // namespace

bool BeatGrid::take(Instant now) {
  if (now < next_) return false;
  drawn_ = false;
  if (together_) {
    late_ = {};
    next_ = now + pace_ + pace_ / kYieldShare;
    together_ = false;
    return true;
  }
  late_ = now - next_;
  next_ += pace_;
  if (next_ <= now) next_ = now + pace_;
  return true;
}

void BeatGrid::partner_looks(Instant now) {
  const Duration left = next_ - now;
  if (left <= Duration{}) return;
  if (left <= pace_ / kTogetherShare) {
    next_ = now;
    together_ = true;
  } else if (left < pace_ / kDrawnShare && !drawn_) {
    next_ -= pace_ / kDrawShare;
    drawn_ = true;
  }
}

}  // namespace hapair::ccm
