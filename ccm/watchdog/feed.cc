#include "ccm/watchdog/feed.h"

#include <algorithm>
#include <atomic>

namespace hapair::ccm {
namespace {

constexpr int kFeedsPerTimeout = 4;

bool is_free(const FedUntilEntry& entry) { return entry.until_ns == kSaysNothing; }

// An entry counts from its time on, and that is written last.
void set_time(FedUntilEntry& entry, std::int64_t until_ns) {
  std::atomic_ref<std::int64_t>(entry.until_ns).store(until_ns, std::memory_order_release);
}

}  // namespace

bool WatchdogFeed::take(const ClientName& name, std::int64_t until_ns) {
  if (until_ns == kSaysNothing) return true;
  const auto own = std::ranges::find_if(
      table_, [&](const FedUntilEntry& e) { return !is_free(e) && name_in(e.name) == name_in(name); });
  if (until_ns == kFedFreely) {
    if (own != table_.end()) set_time(*own, kSaysNothing);
    return true;
  }
  if (own != table_.end()) {
    if (own->until_ns != until_ns) set_time(*own, until_ns);
    return true;
  }
  const auto place = std::ranges::find_if(table_, is_free);
  if (place == table_.end()) return false;
  place->name = name;
  set_time(*place, until_ns);
  return true;
}

std::int64_t WatchdogFeed::standing(const ClientName& name) const {
  const auto own = std::ranges::find_if(
      table_, [&](const FedUntilEntry& e) { return !is_free(e) && name_in(e.name) == name_in(name); });
  return own == table_.end() ? kSaysNothing : own->until_ns;
}

void WatchdogFeed::device_is_held(Duration timeout, Instant now) {
  timeout_ = timeout;
  fed_at_ = now;
}

Feeding WatchdogFeed::at(Instant now) const {
  if (!timeout_) return Feeding::no_device;
  if (overdue(now)) return Feeding::overdue;
  return now - fed_at_ < *timeout_ / kFeedsPerTimeout ? Feeding::not_yet : Feeding::due;
}

bool WatchdogFeed::overdue(Instant now) const {
  return std::ranges::any_of(table_, [now](const FedUntilEntry& e) { return !is_free(e) && ns_of(now) >= e.until_ns; });
}

std::optional<FedUntilEntry> WatchdogFeed::first() const {
  std::optional<FedUntilEntry> first;
  for (const FedUntilEntry& entry : table_) {
    if (!is_free(entry) && (!first || entry.until_ns < first->until_ns)) first = entry;
  }
  return first;
}

}  // namespace hapair::ccm
