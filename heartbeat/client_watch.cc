#include "heartbeat/client_watch.h"

#include <algorithm>
#include <utility>

#include "ccm/wire/observation.h"

namespace hapair::heartbeat {
namespace {

constexpr int kClientBeats = 3;

bool is_watched(const ccm::ClientView& client) {
  return client.state == ccm::ClientState::registered && client.name != ccm::kAgentClientName;
}

}  // namespace

WatchedClient ClientWatch::begin(const ccm::ClientView& seen) const {
  WatchedClient watched;
  watched.name = seen.name;
  watched.life = seen.life;
  watched.beat = seen.beat;
  watched.completed = seen.completed;
  if (seen.pace.count() > 0) {
    const Duration floor = std::max(beat_floor_, kClientBeats * seen.pace);
    watched.beats.emplace(DetectorLimits{.floor = floor, .ceiling = 2 * floor, .look = look_});
  }
  return watched;
}

void ClientWatch::look_at_work(Instant now, WatchedClient& watched, const ccm::ClientView& seen) const {
  const Duration limit = std::max(seen.stall_limit, beat_floor_);
  // Another limit than before is another watch.
  if (!watched.work || watched.work->limit() != limit) {
    watched.work.emplace(DetectorLimits{.floor = limit, .ceiling = limit, .look = look_});
  }
  watched.work->look(now, seen.outstanding == 0 || seen.completed != watched.completed);
  if (watched.work->silent()) watched.stalled = true;
  if (watched.work->silence() >= limit / 2) watched.stood_last = now;
  if (watched.stalled && now - watched.stood_last >= limit) watched.stalled = false;
}

void ClientWatch::look(Instant now, std::span<const ccm::ClientView> clients) {
  std::vector<WatchedClient> next;
  next.reserve(clients.size());
  for (const ccm::ClientView& seen : clients) {
    if (!is_watched(seen)) continue;
    const auto known = std::ranges::find(watched_, seen.life, &WatchedClient::life);
    WatchedClient watched = known == watched_.end() ? begin(seen) : std::move(*known);
    if (watched.beats) watched.beats->look(now, seen.beat != watched.beat);
    if (seen.stall_limit.count() > 0) {
      look_at_work(now, watched, seen);
    } else {
      watched.work.reset();
      watched.stalled = false;
    }
    watched.beat = seen.beat;
    watched.completed = seen.completed;
    watched.outstanding = seen.outstanding;
    next.push_back(std::move(watched));
  }
  watched_ = std::move(next);
}

const WatchedClient* ClientWatch::stalled() const {
  const auto found = std::ranges::find_if(watched_, &WatchedClient::stalled);
  return found == watched_.end() ? nullptr : &*found;
}

std::string ClientWatch::hung(const std::string& told) const {
  const auto still = std::ranges::find(watched_, told, &WatchedClient::name);
  if (still != watched_.end() && still->hung()) return told;
  const auto found = std::ranges::find_if(watched_, &WatchedClient::hung);
  return found == watched_.end() ? std::string() : found->name;
}

}  // namespace hapair::heartbeat
