#include "tests/vm/verbs/remote_ports.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <utility>

#include "ccm/fabric/ip/endpoint.h"

namespace hapair::ccm {

RemotePorts::RemotePorts(std::string control_address) : control_address_(std::move(control_address)) {}

std::expected<void, std::string> RemotePorts::open() {
  link_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto end = Endpoint::make(control_address_, kPortPartnerProgramPort);
  if (!end || ::connect(link_.get(), end->address(), end->length()) != 0) {
    return std::unexpected(errno_text("verbs_port_partner does not run"));
  }
  if (!restart()) return std::unexpected("verbs_port_partner has no device");
  return {};
}

bool RemotePorts::order(const PortOrder& what, std::span<const std::byte> payload) {
  char answer = 0;
  const bool told = send_all(link_.get(), &what, sizeof what) &&
                    send_all(link_.get(), payload.data(), payload.size()) && receive_all(link_.get(), &answer, 1);
  EXPECT_TRUE(told) << "the partner's program has gone";
  return answer == 'y';
}

bool RemotePorts::restart() {
  memory_.clear();
  receives_.clear();
  return order({.command = PortCommand::restart});
}

bool RemotePorts::set_link(bool up) { return order({.command = up ? PortCommand::link_up : PortCommand::link_down}); }

std::expected<void, std::string> RemotePorts::add(PortId port, const PortToken& own_token,
                                                  const PortExposure& exposure) {
  memory_[port.value()] = exposure.memory;
  const PortOrder what{.command = PortCommand::add,
                       .reads = exposure.partner_reads,
                       .writes = exposure.partner_writes,
                       .port = port.value(),
                       .bytes = exposure.memory.size(),
                       .token = own_token};
  if (!order(what, exposure.memory)) return std::unexpected("it was refused there");
  return {};
}

void RemotePorts::remove(Instant /*now*/, PortId port) {
  memory_.erase(port.value());
  EXPECT_TRUE(order({.command = PortCommand::remove, .port = port.value()}));
}

void RemotePorts::connect(Instant /*now*/, PortId port, const PortToken& partner_token) {
  EXPECT_TRUE(order({.command = PortCommand::connect, .port = port.value(), .token = partner_token}));
}

void RemotePorts::drop(Instant /*now*/, PortId port) {
  EXPECT_TRUE(order({.command = PortCommand::drop, .port = port.value()}));
}

bool RemotePorts::post_write(Instant /*now*/, PortId port, OperationId id, std::uint64_t offset,
                             std::span<const std::byte> from) {
  return order({.command = PortCommand::post_write,
                .port = port.value(),
                .operation = id.value(),
                .offset = offset,
                .bytes = from.size()},
               from);
}

bool RemotePorts::post_read(Instant /*now*/, PortId /*port*/, OperationId /*id*/, std::uint64_t /*offset*/,
                            std::span<std::byte> /*into*/) {
  ADD_FAILURE() << "the contract's partner reads nothing";
  return false;
}

bool RemotePorts::post_send(Instant /*now*/, PortId /*port*/, OperationId /*id*/,
                            std::span<const std::byte> /*message*/) {
  ADD_FAILURE() << "the contract's partner sends nothing";
  return false;
}

bool RemotePorts::post_receive(PortId port, OperationId id, std::span<std::byte> into) {
  const bool done = order(
      {.command = PortCommand::post_receive, .port = port.value(), .operation = id.value(), .bytes = into.size()});
  if (done) receives_[{port.value(), id.value()}] = into;
  return done;
}

const PortFabricCounters& RemotePorts::counters() const { return counters_; }

std::size_t RemotePorts::poll(Instant /*now*/, std::span<PortEvent> into) {
  const PortOrder what{.command = PortCommand::poll, .bytes = into.size()};
  PolledHead head;
  if (!send_all(link_.get(), &what, sizeof what) || !receive_all(link_.get(), &head, sizeof head)) return 0;
  counters_ = head.counters;
  for (std::uint64_t i = 0; i < head.events; ++i) {
    PortEvent& event = into[i];
    EXPECT_TRUE(receive_all(link_.get(), &event, sizeof event));
    if (event.kind != PortEvent::Kind::received) continue;
    const auto buffer = receives_.extract({event.port.value(), event.operation.value()});
    EXPECT_TRUE(buffer && receive_all(link_.get(), buffer.mapped().data(), event.bytes));
  }
  std::array<std::byte, kMirroredBytes> bytes;
  for (std::uint64_t i = 0; i < head.changes; ++i) {
    ChangedHead change;
    EXPECT_TRUE(receive_all(link_.get(), &change, sizeof change) &&
                receive_all(link_.get(), bytes.data(), change.bytes));
    if (const auto memory = memory_.find(change.port); memory != memory_.end()) {
      std::copy_n(bytes.begin(), change.bytes, memory->second.subspan(change.offset).begin());
    }
  }
  return head.events;
}

}  // namespace hapair::ccm
