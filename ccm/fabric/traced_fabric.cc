#include "ccm/fabric/traced_fabric.h"

#include <array>
#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <utility>

#include "ccm/base/log_line.h"
#include "ccm/wire/names.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {
namespace {

std::string microseconds(Duration duration) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f us",
                static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count()) / 1000);
  return text.data();
}

std::string ending(FabricError error, Duration took) {
  if (error == FabricError::none) return "done after " + microseconds(took);
  return std::string(text_of(error)) + " after " + microseconds(took);
}

}  // namespace

TracedFabric::TracedFabric(std::unique_ptr<Fabric> real, std::string rail, std::string partner)
    : real_(std::move(real)), rail_(std::move(rail)), partner_(std::move(partner)) {}

// Seconds on the clock of everything in hapair, that since the kernel's start.
void TracedFabric::tell(Instant now, const std::string& what) const {
  std::array<char, 32> when{};
  std::snprintf(when.data(), when.size(), "%.6f", ms_of(now - Instant()) / 1000);
  log_line(7, std::string("trace ") + when.data() + " rail " + rail_ + ": " + what);
}

void TracedFabric::connect(Instant now) {
  attempt_ = now;
  tell(now, "connect to " + partner_);
  real_->connect(now);
}

void TracedFabric::drop(Instant now) {
  tell(now, "drop");
  real_->drop(now);
}

bool TracedFabric::post_read(Instant now, OperationId id, RemotePage page, std::size_t offset,
                             std::span<std::byte> into) {
  if (!real_->post_read(now, id, page, offset, into)) return false;
  if (!reads_.full()) reads_.push({id, page, offset, into.size(), real_->remote_address(page), now, into});
  return true;
}

bool TracedFabric::post_write(Instant now, OperationId id, RemotePage page, std::size_t offset,
                              std::span<const std::byte> from) {
  if (!real_->post_write(now, id, page, offset, from)) return false;
  if (!writes_.full()) writes_.push({id, page, offset, from.size(), real_->remote_address(page), now});
  return true;
}

void TracedFabric::tell_done(Instant now, const FabricEvent& event, const char* what, Operations& operations) {
  while (!operations.empty() && operations.front().id != event.operation) operations.pop();
  if (operations.empty()) return;
  const Operation one = operations.front();
  operations.pop();
  std::array<char, 128> text{};
  const char* const page = one.page == RemotePage::status ? "status" : "mailbox";
  std::snprintf(text.data(), text.size(), "%-5s 0x%012" PRIx64 "+%zu (%s page), %zu bytes: ", what, one.address,
                one.offset, page, one.bytes);
  std::string line = text.data() + ending(event.error, now - one.when);
  // What a look at the partner is for: how far its boot is, and a counter that moves, or stands.
  if (event.error == FabricError::none && one.page == RemotePage::status && one.into.size() >= kStillFrom) {
    StatusPageLayout seen{};
    std::memcpy(&seen, one.into.data(), one.into.size());
    line += ", phase " + std::string(text_of(static_cast<BootPhase>(seen.phase))) + " of incarnation " +
            std::to_string(seen.incarnation);
    if (seen.trouble != 0) line += ", trouble " + std::string(text_of_trouble(seen.trouble));
    line += ", beat " + std::to_string(seen.ccm_beat);
  }
  tell(now, line);
}

void TracedFabric::tell(Instant now, const FabricEvent& event) {
  switch (event.kind) {
    case FabricEvent::Kind::connected:
      return tell(now, "connected: " + ending(FabricError::none, now - attempt_));
    case FabricEvent::Kind::not_connected:
      return tell(now, "not connected: " + ending(event.error, now - attempt_));
    case FabricEvent::Kind::lost:
      return tell(now, "connection lost: " + std::string(text_of(event.error)));
    case FabricEvent::Kind::read_done:
      return tell_done(now, event, "read", reads_);
    case FabricEvent::Kind::write_done:
      return tell_done(now, event, "write", writes_);
  }
}

std::size_t TracedFabric::poll(Instant now, std::span<FabricEvent> into) {
  const std::size_t count = real_->poll(now, into);
  for (const FabricEvent& event : into.first(count)) tell(now, event);
  return count;
}

}  // namespace hapair::ccm
