#include "heartbeat/detector.h"

#include <algorithm>
#include <cmath>

namespace hapair::heartbeat {

std::string_view text_of(LimitReason reason) {
  switch (reason) {
    case LimitReason::floor:
      return "floor";
    case LimitReason::learnt:
      return "learnt";
    case LimitReason::ceiling:
      return "ceiling";
    case LimitReason::widened:
      return "widened";
  }
  return "unknown";
}

Duration Detector::limit() const { return std::max(limit_, std::min(factor_ * limit_, limits_.ceiling)); }

LimitReason Detector::limit_reason() const {
  if (limit() > limit_) return LimitReason::widened;
  if (limit_ <= limits_.floor) return LimitReason::floor;
  return limit_ >= limits_.ceiling ? LimitReason::ceiling : LimitReason::learnt;
}

void Detector::look(Instant now, bool moved) {
  if (!watching_) {
    watching_ = true;
    last_look_ = now;
    last_moved_ = now;
    silence_ = Duration{};
    return;
  }
  const Duration since = std::max(now - last_look_, Duration{});
  const Duration attested = std::min(since, 2 * limits_.look);
  if (since > attested) ++forgiven_;
  last_look_ = now;
  silence_ += attested;
  if (!moved) return;
  // A silence above the ceiling was an outage, not jitter: no limit would have waited for it.
  if (silence_ <= limits_.ceiling) learn(silence_);
  silence_ = Duration{};
  last_moved_ = now;
}

void Detector::learn(Duration arrival) {
  window_[next_] = arrival;
  next_ = (next_ + 1) % kWindow;
  count_ = std::min(count_ + 1, kWindow);

  double sum = 0;
  for (std::size_t i = 0; i < count_; ++i) sum += static_cast<double>(window_[i].count());
  const double mean = sum / static_cast<double>(count_);
  double squares = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    const double off = static_cast<double>(window_[i].count()) - mean;
    squares += off * off;
  }
  const double deviation = std::sqrt(squares / static_cast<double>(count_));
  constexpr double kMargin = 6.0;
  mean_ = Duration(static_cast<Duration::rep>(mean));
  const Duration wanted = Duration(static_cast<Duration::rep>(mean + kMargin * deviation));
  limit_ = std::clamp(wanted, limits_.floor, std::max(limits_.floor, limits_.ceiling));
}

void Detector::reset() {
  const int factor = factor_;
  *this = Detector(limits_);
  factor_ = factor;
}

double Detector::suspicion() const {
  if (!watching_ || limit().count() == 0) return 0;
  return static_cast<double>(silence_.count()) / static_cast<double>(limit().count());
}

}  // namespace hapair::heartbeat
