// Whether the watchdog is to be fed now. Pure.
//
// It is fed every quarter of its time-out, by the CCM's one loop, so a loop that stands feeds it no more. And it is fed
// only while every client that has given a time T still has it before it: "should I not have said more by T, this node
// must not run on". When T has passed the feeding stops, and only that client makes it go on, by a later T or by saying
// that it has stopped all that it serves. A client that dies leaves its T standing, for what it served may still run;
// another life of it, known by its name, takes over with its first word. What that means in time:
// ccm/wire/watchdog_layout.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "ccm/base/time.h"
#include "ccm/wire/status_page.h"
#include "ccm/wire/watchdog_layout.h"

namespace hapair::ccm {

using FedUntilTable = std::span<FedUntilEntry, kMaxClients>;

enum class Feeding : std::uint8_t {
  due,
  not_yet,  // less than a quarter of the time-out has gone by
  overdue,  // the time of a client has passed
  no_device,
};

class WatchdogFeed {
 public:
  // `table` outlives this; what stands in it already is what the clients of an earlier CCM said. A process that is
  // ended in the middle of any call leaves a table that says what it said before or after.
  explicit WatchdogFeed(FedUntilTable table) : table_(table) {}

  // What the client said last, as often as it is looked at. False where it is not in force: as many others as there are
  // places have a time that stands.
  bool take(const ClientName& name, std::int64_t until_ns);
  // What stands for that name; kSaysNothing: nothing.
  [[nodiscard]] std::int64_t standing(const ClientName& name) const;

  // The device runs with this time-out, and was fed at `now` or later.
  void device_is_held(Duration timeout, Instant now);
  void device_is_lost() { timeout_.reset(); }
  void fed(Instant now) { fed_at_ = now; }

  [[nodiscard]] Feeding at(Instant now) const;
  [[nodiscard]] bool overdue(Instant now) const;
  // The client whose time comes first.
  [[nodiscard]] std::optional<FedUntilEntry> first() const;

 private:
  FedUntilTable table_;
  std::optional<Duration> timeout_;
  Instant fed_at_;
};

}  // namespace hapair::ccm
