// Owners for sd-event's handles, so that a handler never outlives what it points to.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <memory>

#include "ccm/base/time.h"

namespace hapair::agent {

struct EventSourceDisable {
  void operator()(sd_event_source* source) const { sd_event_source_disable_unref(source); }
};
// Disabled and released with its owner; its handler does not run afterwards.
using EventSource = std::unique_ptr<sd_event_source, EventSourceDisable>;

// These cannot fail but for want of memory or a wrong argument, which HAPAIR_CHECK ends.
EventSource watch_fd(sd_event* loop, int fd, std::uint32_t events, sd_event_io_handler_t handler, void* context);
// Runs `handler` once, in the loop's next turn.
EventSource call_soon(sd_event* loop, sd_event_handler_t handler, void* context);
// Runs `handler` once, at `when` or as soon after as the loop can.
EventSource call_at(sd_event* loop, Instant when, sd_event_time_handler_t handler, void* context);
// Runs the handler of such a source once more, at `when`; where it had not run yet, then instead.
void call_again_at(const EventSource& source, Instant when);

}  // namespace hapair::agent
