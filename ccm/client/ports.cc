#include "ccm/client/ports.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "ccm/client/port_state.h"
#include "ccm/wire/observation.h"
#include "ccm/wire/session_block.h"

namespace hapair::ccm {
namespace {

constexpr std::uint32_t kNoSlot = 0xffff'ffff;

std::uint32_t load(std::uint32_t& word) { return std::atomic_ref(word).load(std::memory_order_acquire); }
void store(std::uint32_t& word, std::uint32_t value) { std::atomic_ref(word).store(value, std::memory_order_release); }

std::expected<std::uint64_t, std::string> size_of(const Fd& fd) {
  struct stat st{};
  if (::fstat(fd.get(), &st) != 0) return std::unexpected(errno_text("fstat"));
  return static_cast<std::uint64_t>(st.st_size);
}

}  // namespace

std::string_view text_of(PostError error) {
  switch (error) {
    case PostError::queue_full:
      return "as many operations as can be are outstanding";
    case PostError::not_ready:
      return "the partner's port is not ready";
    case PostError::outside:
      return "the bytes do not lie within the port's memory, here or there";
    case PostError::no_right:
      return "the partner does not allow it";
    case PostError::too_long:
      return "the message is too long";
  }
  return "unknown";
}

// ---- one port ----------------------------------------------------------------------------------------------------

std::expected<std::unique_ptr<Port::State>, std::string> Port::State::map(const Fd& memory, const Fd& channel) {
  auto made = std::make_unique<State>();
  const auto memory_size = size_of(memory);
  const auto control_size = size_of(channel);
  if (!memory_size || !control_size || *control_size < kStagingOffset || *memory_size == 0) {
    return std::unexpected("ccmd gave memory that is no port's; restart both after the upgrade");
  }
  auto memory_map = Mapping::map(memory, *memory_size, true);
  auto control_map = Mapping::map(channel, *control_size, true);
  if (!memory_map) return std::unexpected(memory_map.error());
  if (!control_map) return std::unexpected(control_map.error());
  made->memory = std::move(*memory_map);
  made->control = std::move(*control_map);
  made->staging = made->control.bytes().subspan(kStagingOffset);
  const PortChannel& words = made->channel();
  if (words.magic != kPortChannelMagic || words.memory_bytes != *memory_size ||
      words.staging_bytes != made->staging.size()) {
    return std::unexpected("ccmd gave memory that is no port's; restart both after the upgrade");
  }
  return made;
}

std::optional<std::uint64_t> Port::State::address_of(std::span<const std::byte> local) const {
  const auto within = [&](std::span<std::byte> area, std::uint64_t base) -> std::optional<std::uint64_t> {
    if (local.data() < area.data() || local.data() > area.data() + area.size()) return std::nullopt;
    const auto offset = static_cast<std::uint64_t>(local.data() - area.data());
    if (local.size() > area.size() - offset) return std::nullopt;
    return base + offset;
  };
  if (const auto address = within(memory.bytes(), 0)) return address;
  return within(staging, memory.bytes().size());
}

void Port::State::submit(const PortSubmission& submission) {
  PortChannel& words = channel();
  words.submissions.at(submitted % kSubmissionSlots) = submission;
  store(words.submitted, ++submitted);
  unflushed = true;
}

std::expected<void, PostError> Port::State::post(PortSubmission submission) {
  if (!partner.ready) return std::unexpected(PostError::not_ready);
  if (outstanding >= kSubmissionSlots) return std::unexpected(PostError::queue_full);
  submission.standing = standing;
  const bool message = submission.operation == static_cast<std::uint32_t>(PortOperation::send);
  send_slots.at((first_outstanding + outstanding) % kSubmissionSlots) = message ? submission.slot : kNoSlot;
  ++outstanding;
  submit(submission);
  return {};
}

std::expected<void, PostError> Port::State::reach(PortOperation operation, std::uint64_t id,
                                                  std::span<const std::byte> local, std::uint64_t remote,
                                                  bool allowed) {
  if (!partner.ready) return std::unexpected(PostError::not_ready);
  const auto address = address_of(local);
  const bool inside = remote <= partner.memory_bytes && local.size() <= partner.memory_bytes - remote;
  if (!address || local.empty() || !inside) return std::unexpected(PostError::outside);
  if (!allowed) return std::unexpected(PostError::no_right);
  return post({.id = id,
               .operation = static_cast<std::uint32_t>(operation),
               .slot = 0,
               .local = *address,
               .remote = remote,
               .bytes = local.size(),
               .standing = 0,
               .zero = 0});
}

void Port::State::take_message(std::size_t number, const PortCompletion& completion, PortHandler& handler) {
  if (completion.slot >= kMessageSlots || completion.bytes > kMaxMessageBytes) return;  // not of our CCM
  const MessageSlot& slot = channel().received.at(completion.slot);
  handler.received(number, std::span(slot).subspan(sizeof(MessageHeader), completion.bytes));
  store(channel().released, ++released);
  unflushed = true;
}

void Port::State::take_operation(std::size_t number, const PortCompletion& completion, PortHandler& handler) {
  if (outstanding == 0) return;
  const std::uint32_t slot = send_slots.at(first_outstanding % kSubmissionSlots);
  if (slot != kNoSlot) slot_used.at(slot) = false;
  first_outstanding = (first_outstanding + 1) % kSubmissionSlots;
  --outstanding;
  handler.completed(
      number, {completion.id, static_cast<PortResult>(completion.result), static_cast<FabricError>(completion.error)});
}

void Port::State::take_standing(std::size_t number, const PortCompletion& completion, PortHandler& handler) {
  const bool was_ready = partner.ready;
  const auto state = static_cast<PortStandingState>(completion.result);
  standing = completion.standing;
  partner = {.ready = state == PortStandingState::ready,
             .memory_bytes = completion.bytes,
             .reads = (completion.rights & kPartnerReads) != 0,
             .writes = (completion.rights & kPartnerWrites) != 0,
             .rail = completion.rail};
  if (partner.ready) {
    const bool same_client = std::exchange(last_ready_life, completion.id) == completion.id;
    if (same_client) {
      handler.port_moved(number);
    } else {
      handler.partner_ready(number);
    }
    return;
  }
  const bool left = state == PortStandingState::waiting;
  if (!was_ready && !(left && last_ready_life != 0)) return;
  if (left) last_ready_life = 0;
  handler.partner_gone(number, left);
}

void Port::State::complete(std::size_t number, const PortCompletion& completion, PortHandler& handler) {
  switch (static_cast<PortCompletionKind>(completion.kind)) {
    case PortCompletionKind::operation:
      return take_operation(number, completion, handler);
    case PortCompletionKind::message:
      return take_message(number, completion, handler);
    case PortCompletionKind::standing:
      return take_standing(number, completion, handler);
  }
}

std::size_t Port::State::dispatch(std::size_t number, PortHandler& handler) {
  std::size_t entries = 0;
  PortChannel& words = channel();
  const std::uint32_t completed = load(words.completed);
  for (; consumed != completed; ++entries) {
    const PortCompletion completion = words.completions.at(consumed % kCompletionSlots);
    store(words.consumed, ++consumed);
    complete(number, completion, handler);
  }
  // The CCM may hold back what did not fit.
  if (entries > 0) unflushed = true;
  return entries;
}

Port::Port(std::unique_ptr<State> state) : state_(std::move(state)) {}
Port::Port(Port&&) noexcept = default;
Port& Port::operator=(Port&&) noexcept = default;
Port::~Port() = default;

std::span<std::byte> Port::memory() const { return state_->memory.bytes(); }
std::span<std::byte> Port::staging() const { return state_->staging; }
const PartnerPort& Port::partner() const { return state_->partner; }
std::size_t Port::outstanding() const { return state_->outstanding; }

std::expected<void, PostError> Port::write(std::uint64_t id, std::span<const std::byte> local, std::uint64_t remote) {
  return state_->reach(PortOperation::write, id, local, remote, state_->partner.writes);
}

std::expected<void, PostError> Port::read(std::uint64_t id, std::span<std::byte> local, std::uint64_t remote) {
  return state_->reach(PortOperation::read, id, local, remote, state_->partner.reads);
}

std::expected<void, PostError> Port::send(std::uint64_t id, std::span<const std::byte> message) {
  if (message.size() > kMaxMessageBytes) return std::unexpected(PostError::too_long);
  const auto free = std::ranges::find(state_->slot_used, false);
  if (free == state_->slot_used.end()) return std::unexpected(PostError::queue_full);
  const auto slot = static_cast<std::uint32_t>(free - state_->slot_used.begin());
  MessageSlot& bytes = state_->channel().sent.at(slot);
  std::ranges::copy(message, bytes.begin() + sizeof(MessageHeader));
  auto posted = state_->post({.id = id,
                              .operation = static_cast<std::uint32_t>(PortOperation::send),
                              .slot = slot,
                              .local = 0,
                              .remote = 0,
                              .bytes = message.size(),
                              .standing = 0,
                              .zero = 0});
  if (posted) *free = true;
  return posted;
}

// ---- all of a client ---------------------------------------------------------------------------------------------

std::size_t Ports::dispatch(PortHandler& handler) {
  std::uint64_t count = 0;
  (void)!::read(wake_.get(), &count, sizeof count);
  std::size_t calls = 0;
  for (std::size_t i = 0; i < ports_.size(); ++i) calls += ports_[i].state_->dispatch(i, handler);
  flush();
  return calls;
}

void Ports::flush() {
  bool any = false;
  for (Port& port : ports_) any |= std::exchange(port.state_->unflushed, false);
  constexpr std::uint64_t kOne = 1;
  if (any) (void)!::write(kick_.get(), &kOne, sizeof kOne);
}

}  // namespace hapair::ccm
