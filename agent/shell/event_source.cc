#include "agent/shell/event_source.h"

#include <ctime>

#include "ccm/base/check.h"

namespace hapair::agent {
namespace {

std::uint64_t us_of(Instant when) { return static_cast<std::uint64_t>(ns_of(when) / 1000); }

}  // namespace

EventSource watch_fd(sd_event* loop, int fd, std::uint32_t events, sd_event_io_handler_t handler, void* context) {
  sd_event_source* source = nullptr;
  HAPAIR_CHECK(sd_event_add_io(loop, &source, fd, events, handler, context) >= 0, "watching a descriptor that is open");
  return EventSource(source);
}

EventSource call_soon(sd_event* loop, sd_event_handler_t handler, void* context) {
  sd_event_source* source = nullptr;
  HAPAIR_CHECK(sd_event_add_defer(loop, &source, handler, context) >= 0, "a handler for the next turn");
  return EventSource(source);
}

EventSource call_at(sd_event* loop, Instant when, sd_event_time_handler_t handler, void* context) {
  sd_event_source* source = nullptr;
  constexpr std::uint64_t kAccuracyUs = 1000;
  HAPAIR_CHECK(sd_event_add_time(loop, &source, CLOCK_BOOTTIME, us_of(when), kAccuracyUs, handler, context) >= 0,
               "every Linux that runs this has timers on CLOCK_BOOTTIME");
  return EventSource(source);
}

void call_again_at(const EventSource& source, Instant when) {
  HAPAIR_CHECK(sd_event_source_set_time(source.get(), us_of(when)) >= 0 &&
                   sd_event_source_set_enabled(source.get(), SD_EVENT_ONESHOT) >= 0,
               "it is a timer of this loop");
}

}  // namespace hapair::agent
