// The client's end of one port's shared memory; only the library itself looks at it.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>

#include "ccm/base/fd.h"
#include "ccm/client/ports.h"
#include "ccm/wire/port_channel.h"

namespace hapair::ccm {

struct Port::State {
  // The error: the memory is not what this version expects.
  static std::expected<std::unique_ptr<State>, std::string> map(const Fd& memory, const Fd& channel);
  static Port port_of(std::unique_ptr<State> state) { return Port(std::move(state)); }

  [[nodiscard]] PortChannel& channel() const { return *reinterpret_cast<PortChannel*>(control.bytes().data()); }
  // The address by which the CCM knows these bytes; nothing where they are not the port's.
  [[nodiscard]] std::optional<std::uint64_t> address_of(std::span<const std::byte> local) const;
  std::expected<void, PostError> post(PortSubmission submission);
  std::expected<void, PostError> reach(PortOperation operation, std::uint64_t id, std::span<const std::byte> local,
                                       std::uint64_t remote, bool allowed);
  void submit(const PortSubmission& submission);

  std::size_t dispatch(std::size_t number, PortHandler& handler);
  void complete(std::size_t number, const PortCompletion& completion, PortHandler& handler);
  void take_message(std::size_t number, const PortCompletion& completion, PortHandler& handler);
  void take_operation(std::size_t number, const PortCompletion& completion, PortHandler& handler);
  void take_standing(std::size_t number, const PortCompletion& completion, PortHandler& handler);

  Mapping memory;
  Mapping control;
  std::span<std::byte> staging;
  PartnerPort partner;
  std::uint32_t standing = 0;         // the serial of the newest that was dispatched
  std::uint64_t last_ready_life = 0;  // of the partner's client
  std::uint32_t submitted = 0;
  std::uint32_t consumed = 0;
  std::uint32_t released = 0;
  std::size_t outstanding = 0;
  std::array<bool, kMessageSlots> slot_used{};
  std::array<std::uint32_t, kSubmissionSlots> send_slots{};  // of outstanding operations in order; kNoSlot: no message
  std::size_t first_outstanding = 0;
  bool unflushed = false;
};

}  // namespace hapair::ccm
