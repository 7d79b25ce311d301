#include "ccm/ports/hosted_port.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <span>
#include <utility>

#include "ccm/base/check.h"
#include "ccm/wire/observation.h"

namespace hapair::ccm {
namespace {

std::uint32_t load(std::uint32_t& word) { return std::atomic_ref(word).load(std::memory_order_acquire); }
void store(std::uint32_t& word, std::uint32_t value) { std::atomic_ref(word).store(value, std::memory_order_release); }

}  // namespace

HostedPort::HostedPort(PortRef ref, std::uint64_t life, std::uint8_t rights, PortMemory memory)
    : ref_(ref), life_(life), rights_(rights), memory_(std::move(memory)) {}

bool HostedPort::knows(PortId id) const {
  return (open_ && open_->id == id) || (reach_ && reach_->id == id) || dropped_ == id;
}

// ---- exposure ----------------------------------------------------------------------------------------------------

std::expected<void, std::string> HostedPort::expose(PortFabric& fabric, PortId id, std::uint32_t exposure,
                                                    const PortToken& token) {
  HAPAIR_CHECK(!open_, "a port is open over one rail at a time");
  const auto added = fabric.add(id, token,
                                {.memory = memory_.memory(),
                                 .partner_reads = (rights_ & kPartnerReads) != 0,
                                 .partner_writes = (rights_ & kPartnerWrites) != 0,
                                 .memory_fd = memory_.memory_fd().get(),
                                 .local = {memory_.memory(), memory_.control()}});
  if (!added) return added;
  open_ = Way{&fabric, id, exposure, true};
  grants_.opened(exposure);
  post_free_slots();
  return {};
}

void HostedPort::concealed() {
  open_.reset();
  grants_.closed();
  std::ranges::replace(slots_, Slot::posted, Slot::free);
  posted_slots_ = 0;
}

void HostedPort::post_free_slots() {
  if (!open_) return;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_.at(i) != Slot::free) continue;
    if (!open_->fabric->post_receive(open_->id, OperationId(i), memory_.channel().received.at(i))) return;
    slots_.at(i) = Slot::posted;
    ++posted_slots_;
    grants_.buffer_posted();
  }
}

// The partner's bytes; nothing in them is believed beyond what it costs the partner itself.
void HostedPort::received(const PortEvent& event) {
  const auto slot = static_cast<std::size_t>(event.operation.value());
  HAPAIR_CHECK(slot < slots_.size() && slots_.at(slot) == Slot::posted, "a message fills a posted buffer");
  slots_.at(slot) = Slot::free;
  --posted_slots_;
  const MessageSlot& bytes = memory_.channel().received.at(slot);
  MessageHeader header{};
  const bool whole = event.bytes >= sizeof header;
  if (whole) std::memcpy(&header, bytes.data(), sizeof header);
  const bool data = whole && header.kind == static_cast<std::uint32_t>(MessageKind::data);
  grants_.buffer_filled();
  if (whole) {
    grants_.heard(header.sent);
    grants_.granted({header.exposure, header.granted});
  }
  if (data && !ended_) {
    slots_.at(slot) = Slot::client;
    ++traffic_.messages;
    arrived_.push({static_cast<std::uint32_t>(slot), event.bytes - sizeof header});
    push_messages();
  }
  post_free_slots();
}

// ---- connection --------------------------------------------------------------------------------------------------

void HostedPort::connect(PortFabric& fabric, PortId id, std::uint32_t exposure, const PortToken& token) {
  HAPAIR_CHECK(!reach_ && !wish_, "one connection of a port at a time");
  wish_ = Wish{{&fabric, id, exposure, false}, token};
}

void HostedPort::begin_wish(Instant now) {
  if (!wish_ || outstanding()) return;
  const Wish wish = *std::exchange(wish_, std::nullopt);
  dropped_.reset();
  reach_ = wish.way;
  partner_memory_ = 0;
  grants_.reaches(wish.way.exposure);
  grants_.untold();
  wish.way.fabric->connect(now, wish.way.id, wish.token);
}

void HostedPort::drop(Instant now) {
  if (wish_) wish_->way.fabric->remove(now, wish_->way.id);
  wish_.reset();
  if (!reach_) return;
  dropped_ = reach_->id;
  reach_->fabric->drop(now, reach_->id);
  reach_->fabric->remove(now, reach_->id);
  reach_.reset();
}

HostedPort::News HostedPort::take(Instant now, const PortEvent& event) {
  switch (event.kind) {
    case PortEvent::Kind::connected:
      if (!reach_ || reach_->id != event.port) return News::none;
      reach_->up = true;
      partner_memory_ = event.bytes;
      return News::connected;
    case PortEvent::Kind::not_connected:
    case PortEvent::Kind::lost:
      if (!reach_ || reach_->id != event.port) return News::none;
      return News::not_connected;
    case PortEvent::Kind::done: {
      HAPAIR_CHECK(!outstanding_.empty(), "what completes was posted");
      const Outstanding operation = outstanding_.front();
      outstanding_.pop();
      if (!operation.of_client) {
        grant_outstanding_ = false;
      } else if (event.error == FabricError::none) {
        ++traffic_.operations;
        traffic_.bytes += operation.bytes;
        complete(operation.id, PortResult::done);
      } else {
        ++traffic_.failed;
        complete(operation.id, PortResult::failed, event.error);
      }
      begin_wish(now);
      return News::none;
    }
    case PortEvent::Kind::received:
      if (open_ && open_->id == event.port) received(event);
      return News::none;
    case PortEvent::Kind::partner_in:
    case PortEvent::Kind::partner_out:
      return News::none;  // that the partner reaches this memory is told by its page
  }
  return News::none;
}

// ---- the client --------------------------------------------------------------------------------------------------

void HostedPort::tell(const PortStanding& standing) {
  // What a partner had sent that its client never knew of goes with it.
  if (standing.state == PortStandingState::waiting || standing.partner_life != standing_.partner_life) {
    for (; !arrived_.empty(); arrived_.pop()) slots_.at(arrived_.front().slot) = Slot::free;
    post_free_slots();
  }
  standing_ = standing;
  ++standing_serial_;
  standing_waits_ = true;
  push_standing();
}

void HostedPort::push_standing() {
  if (!standing_waits_ || !room_for_completion()) return;
  standing_waits_ = false;
  push({.id = standing_.partner_life,
        .bytes = standing_.partner_memory,
        .kind = static_cast<std::uint32_t>(PortCompletionKind::standing),
        .result = static_cast<std::uint32_t>(standing_.state),
        .error = 0,
        .slot = 0,
        .standing = standing_serial_,
        .rail = static_cast<std::uint32_t>(standing_.rail.value()),
        .rights = standing_.partner_rights,
        .zero = 0});
  push_messages();
}

// Behind the standing that says whose they are.
void HostedPort::push_messages() {
  if (standing_waits_ || standing_.state != PortStandingState::ready) return;
  for (; !arrived_.empty(); arrived_.pop()) {
    const Arrived& message = arrived_.front();
    delivered_.push(message.slot);
    push({.id = 0,
          .bytes = message.bytes,
          .kind = static_cast<std::uint32_t>(PortCompletionKind::message),
          .result = 0,
          .error = 0,
          .slot = message.slot,
          .standing = 0,
          .rail = 0,
          .rights = 0,
          .zero = 0});
  }
}

bool HostedPort::take_wake() { return std::exchange(wake_, false); }

std::uint32_t HostedPort::completions_waiting() const { return completed_ - load(memory_.channel().consumed); }

// For this one, for those that are outstanding, and for a message in every buffer that is posted or has arrived.
bool HostedPort::room_for_completion() const {
  return completions_waiting() + outstanding_.size() + posted_slots_ + arrived_.size() < kCompletionSlots;
}

void HostedPort::push(const PortCompletion& completion) {
  if (ended_ || broken_) return;
  if (completions_waiting() >= kCompletionSlots) {
    broken_ = true;  // its count of what it has read runs ahead of what was written
    return;
  }
  PortChannel& channel = memory_.channel();
  channel.completions.at(completed_ % kCompletionSlots) = completion;
  store(channel.completed, ++completed_);
  wake_ = true;
}

void HostedPort::complete(std::uint64_t id, PortResult result, FabricError error) {
  push({.id = id,
        .bytes = 0,
        .kind = static_cast<std::uint32_t>(PortCompletionKind::operation),
        .result = static_cast<std::uint32_t>(result),
        .error = static_cast<std::uint32_t>(error),
        .slot = 0,
        .standing = 0,
        .rail = 0,
        .rights = 0,
        .zero = 0});
}

bool HostedPort::ready(const PortSubmission& submission) const {
  return reach_ && reach_->up && standing_.state == PortStandingState::ready && standing_serial_ == submission.standing;
}

bool HostedPort::refuse(const PortSubmission& submission, PortResult result) {
  ++traffic_.refused;
  complete(submission.id, result);
  return true;
}

bool HostedPort::posted(const PortSubmission& submission) {
  outstanding_.push({submission.id, submission.bytes, true});
  return true;
}

bool HostedPort::reach_memory(Instant now, const PortSubmission& submission) {
  const bool writes = submission.operation == static_cast<std::uint32_t>(PortOperation::write);
  const std::span<std::byte> local = memory_.local(submission.local, submission.bytes);
  if (local.empty() || submission.remote > partner_memory_ || submission.bytes > partner_memory_ - submission.remote) {
    return refuse(submission, PortResult::outside);
  }
  if ((standing_.partner_rights & (writes ? kPartnerWrites : kPartnerReads)) == 0) {
    return refuse(submission, PortResult::no_right);
  }
  const OperationId id(submission.id);
  const bool taken = writes ? reach_->fabric->post_write(now, reach_->id, id, submission.remote, local)
                            : reach_->fabric->post_read(now, reach_->id, id, submission.remote, local);
  return taken && posted(submission);
}

bool HostedPort::send(Instant now, const PortSubmission& submission) {
  if (submission.slot >= kMessageSlots || submission.bytes > kMaxMessageBytes) {
    return refuse(submission, PortResult::outside);
  }
  if (!grants_.may_send()) return false;
  const auto grant = grants_.grant();
  const MessageHeader header{static_cast<std::uint32_t>(MessageKind::data), grant.exposure, grant.total,
                             grants_.total_sent() + 1};
  MessageSlot& slot = memory_.channel().sent.at(submission.slot);
  std::memcpy(slot.data(), &header, sizeof header);
  const std::span<const std::byte> message = std::span(slot).first(sizeof header + submission.bytes);
  if (!reach_->fabric->post_send(now, reach_->id, OperationId(submission.id), message)) return false;
  grants_.sent();
  grants_.told(grant);
  return posted(submission);
}

void HostedPort::take_releases() {
  const std::uint32_t released = load(memory_.channel().released);
  if (released - released_ > delivered_.size()) {
    broken_ = true;
    return;
  }
  if (released == released_) return;
  for (; released_ != released; ++released_) {
    slots_.at(delivered_.front()) = Slot::free;
    delivered_.pop();
  }
  post_free_slots();
}

bool HostedPort::carry_out(Instant now, const PortSubmission& submission) {
  if (!room_for_completion() || outstanding_.full()) return false;
  if (!ready(submission)) return refuse(submission, PortResult::not_ready);
  switch (submission.operation) {
    case static_cast<std::uint32_t>(PortOperation::write):
    case static_cast<std::uint32_t>(PortOperation::read):
      return reach_memory(now, submission);
    case static_cast<std::uint32_t>(PortOperation::send):
      return send(now, submission);
    default:
      broken_ = true;
      return true;
  }
}

void HostedPort::take_submissions(Instant now) {
  PortChannel& channel = memory_.channel();
  const std::uint32_t submitted = load(channel.submitted);
  if (submitted - taken_ > kSubmissionSlots || completions_waiting() > kCompletionSlots) broken_ = true;
  while (!broken_ && taken_ != submitted) {
    PortSubmission submission;  // copied before it is checked: the client could change it
    std::memcpy(&submission, &channel.submissions.at(taken_ % kSubmissionSlots), sizeof submission);
    if (!carry_out(now, submission)) return;
    store(channel.taken, ++taken_);
  }
}

void HostedPort::grant(Instant now) {
  if (!reach_ || !reach_->up || grant_outstanding_ || outstanding_.full() || !grants_.worth_telling()) return;
  const auto grant = grants_.grant();
  const MessageHeader header{static_cast<std::uint32_t>(MessageKind::grant), grant.exposure, grant.total,
                             grants_.total_sent()};
  std::memcpy(grant_message_.data(), &header, sizeof header);
  if (!reach_->fabric->post_send(now, reach_->id, OperationId(0), grant_message_)) return;
  outstanding_.push({0, 0, false});
  grant_outstanding_ = true;
  grants_.told(grant);
}

void HostedPort::work(Instant now) {
  begin_wish(now);
  if (!ended_ && !broken_) take_releases();
  push_standing();
  grant(now);
  if (!ended_ && !broken_) take_submissions(now);
}

}  // namespace hapair::ccm
