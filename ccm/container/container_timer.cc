#include "ccm/container/container_timer.h"

#include <algorithm>

namespace hapair::ccm {

void ContainerTimer::start(Duration timeout, Instant fed_at, Instant now) {
  // Nobody was told of one that does not run: a wish that lay unread must not end the container as it is read.
  if (!running_) {
    running_ = Running{.timeout = timeout, .fed_at = now};
    return;
  }
  fed_at = std::min(fed_at, now);
  if (fed_at >= *ends_at()) return;
  running_->fed_at = std::max(running_->fed_at, fed_at);
  running_->timeout = timeout;
}

// A feed that was decided after the end came too late, even where the end was not acted upon yet.
void ContainerTimer::feed(Instant at, Instant now) {
  at = std::min(at, now);
  if (!running_ || at >= *ends_at()) return;
  running_->fed_at = std::max(running_->fed_at, at);
}

bool ContainerTimer::stop(Instant now) {
  if (nowayout_ || over(now)) return false;
  running_.reset();
  return true;
}

std::optional<Instant> ContainerTimer::ends_at() const {
  if (!running_) return std::nullopt;
  return running_->fed_at + running_->timeout;
}

}  // namespace hapair::ccm
