#include "heartbeat/detector.h"

#include <algorithm>
#include <cmath>

namespace hapair::heartbeat {

namespace {

constexpr Duration kFlapsWithin = std::chrono::minutes(1);
constexpr int kFlapsAllowed = 2;

}  // namespace

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
    case LimitReason::flapped:
      return "flapped";
  }
  return "unknown";
}

Duration Detector::undamped_limit() const { return std::max(limit_, std::min(factor_ * limit_, limits_.ceiling)); }

Duration Detector::limit() const {
  const bool flaps = flaps_ > kFlapsAllowed && last_look_ - last_flap_ < kFlapsWithin;
  const Duration damped = flaps ? longest_flap_ + longest_flap_ / 2 : Duration{};
  return std::max(undamped_limit(), std::min(damped, limits_.ceiling));
}

LimitReason Detector::limit_reason() const {
  if (limit() > undamped_limit()) return LimitReason::flapped;
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
  last_look_ = std::max(last_look_, now);
  silence_ += attested;
  if (!moved) return;
  // A silence above the ceiling was an outage, not jitter: no limit would have waited for it.
  if (silence_ <= limits_.ceiling) {
    // By the limit without the damping: what goes on as before goes on to be damped.
    if (silence_ >= undamped_limit()) note_flap(now, silence_);
    learn(silence_);
  }
  silence_ = Duration{};
  last_moved_ = now;
}

void Detector::note_flap(Instant now, Duration silence) {
  const bool goes_on = flaps_ > 0 && now - last_flap_ < kFlapsWithin;
  flaps_ = goes_on ? flaps_ + 1 : 1;
  longest_flap_ = goes_on ? std::max(longest_flap_, silence) : silence;
  last_flap_ = now;
}

void Detector::learn(Duration arrival) {
  const bool learnt = count_ == kWindow && window_[next_] == arrival;  // the window is what it was
  window_[next_] = arrival;
  next_ = (next_ + 1) % kWindow;
  count_ = std::min(count_ + 1, kWindow);
  if (learnt) return;

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

void Detector::reset() { begin(limits_); }

void Detector::begin(const DetectorLimits& limits) {
  Detector fresh(limits);
  fresh.factor_ = factor_;
  fresh.flaps_ = flaps_;
  fresh.longest_flap_ = longest_flap_;
  fresh.last_flap_ = last_flap_;
  *this = fresh;
}

double Detector::suspicion() const {
  if (!watching_ || limit().count() == 0) return 0;
  return static_cast<double>(silence_.count()) / static_cast<double>(limit().count());
}

}  // namespace hapair::heartbeat
