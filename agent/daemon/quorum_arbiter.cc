#include "agent/daemon/quorum_arbiter.h"

#include <sys/epoll.h>

#include <utility>

namespace hapair::agent {

QuorumArbiter::QuorumArbiter(sd_event* loop, const Clock& clock, const AgentConfig& config, std::uint64_t life,
                             Events events)
    : clock_(&clock),
      events_(std::move(events)),
      watch_({.group = config.corosync.group,
              .sides = {.self = config.pair.node.text(),
                        .partner = config.pair.partner.text(),
                        .lease = config.lease.duration},
              .life = life}) {
  if (!QuorumWatch::is_built()) {
    ground_.problem =
        "this hapaird was built without Corosync's libraries: install libcpg-dev, libcmap-dev and libvotequorum-dev, "
        "and "
        "build it anew";
    return;
  }
  news_ = watch_fd(
      loop, watch_.fd(), EPOLLIN,
      [](sd_event_source*, int, std::uint32_t, void* self) {
        static_cast<QuorumArbiter*>(self)->take();
        return 0;
      },
      this);
}

void QuorumArbiter::take() {
  QuorumNews news = watch_.take(clock_->now());
  // What decides is what it was while Corosync is away: only another Corosync could have another.
  const bool known = news.look.has_value();
  if (known && (news.digest != ground_.mailbox || news.problem != ground_.problem)) {
    ground_.mailbox = news.digest;
    ground_.problem = news.problem;
    events_.step(ground_);
  }
  text_ = std::move(news.text);
  if (std::exchange(trouble_, news.trouble) != news.trouble) events_.trouble(trouble_);
  if (news.look) events_.step(QuorumSeen{std::move(*news.look)});
}

void QuorumArbiter::watchdog_changed(const ccm::WatchdogStanding& standing, const std::optional<Instant>& fed_until) {
  ground_.watchdog = standing.armed;
  ground_.bound = standing.bound;
  ground_.fed_until = fed_until;
  events_.step(ground_);
}

std::vector<std::string> QuorumArbiter::troubles() const {
  std::vector<std::string> all;
  if (!ground_.problem.empty()) all.push_back("no leases: " + ground_.problem);
  if (!trouble_.empty()) all.push_back(trouble_);
  return all;
}

}  // namespace hapair::agent
