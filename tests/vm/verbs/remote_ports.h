// The partner's ports of the contract test, in the other machine: what the test does to this fabric happens there, over
// TCP on the second link. Memory that was added is kept as it is there, turn by turn.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "ccm/base/fd.h"
#include "ccm/fabric/port_fabric.h"

namespace hapair::ccm {

inline constexpr std::uint16_t kPortPartnerProgramPort = 7998;
inline constexpr std::size_t kMirroredBytes = 4096;  // of the memory, at a time

enum class PortCommand : char {
  restart = 'r',
  add = 'a',  // followed by what is in the memory
  remove = 'x',
  connect = 'c',
  drop = 'd',
  post_write = 'w',  // followed by the bytes
  post_receive = 'v',
  poll = 'p',  // answered by a PolledHead, its events, received messages and changed memory
  link_down = '-',
  link_up = '+',
};

// Both machines are alike: their structures are.
struct PortOrder {
  PortCommand command = PortCommand::poll;
  bool reads = false;
  bool writes = false;
  std::uint64_t port = 0;
  std::uint64_t operation = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  PortToken token{};
};
struct PolledHead {
  std::uint64_t events = 0;
  std::uint64_t changes = 0;
  PortFabricCounters counters{};
};
struct ChangedHead {
  std::uint64_t port = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

// The whole of it, or false.
inline bool send_all(int socket, const void* bytes, std::size_t count) {
  const auto* at = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t sent = ::send(socket, at, count, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += sent;
    count -= static_cast<std::size_t>(sent);
  }
  return true;
}
inline bool receive_all(int socket, void* into, std::size_t count) {
  return count == 0 || ::recv(socket, into, count, MSG_WAITALL) == static_cast<ssize_t>(count);
}

class RemotePorts final : public PortFabric {
 public:
  explicit RemotePorts(std::string control_address);

  std::expected<void, std::string> open() override;
  std::expected<void, std::string> add(PortId port, const PortToken& own_token, const PortExposure& exposure) override;
  void remove(Instant now, PortId port) override;
  void connect(Instant now, PortId port, const PortToken& partner_token) override;
  void drop(Instant now, PortId port) override;
  bool post_write(Instant now, PortId port, OperationId id, std::uint64_t offset,
                  std::span<const std::byte> from) override;
  bool post_read(Instant now, PortId port, OperationId id, std::uint64_t offset, std::span<std::byte> into) override;
  bool post_send(Instant now, PortId port, OperationId id, std::span<const std::byte> message) override;
  bool post_receive(PortId port, OperationId id, std::span<std::byte> into) override;
  std::size_t poll(Instant now, std::span<PortEvent> into) override;
  [[nodiscard]] int poll_fd() const override { return -1; }
  [[nodiscard]] const PortFabricCounters& counters() const override;
  [[nodiscard]] std::string_view kind() const override { return "verbs"; }

  bool restart();
  bool set_link(bool up);

 private:
  bool order(const PortOrder& what, std::span<const std::byte> payload = {});

  std::string control_address_;
  Fd link_;
  std::map<std::uint64_t, std::span<std::byte>> memory_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::span<std::byte>> receives_;
  PortFabricCounters counters_;
};

}  // namespace hapair::ccm
