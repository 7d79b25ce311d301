// One connection to this node's Corosync: its process group (libcpg). Every call may wait for Corosync, for ever where
// that hangs, so all of them are for a thread of their own (fleet.h). An error ends the connection: make another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "agent/corosync/fleet_table.h"
#include "agent/corosync/ring_look.h"

namespace hapair::agent {

class CorosyncGroup {
 public:
  // Called from dispatch().
  struct Events {
    std::function<void(std::span<const FleetMember>)> members;
    std::function<void(FleetMember, std::span<const std::byte>)> message;
    // The ring that Corosync is in, and the nodes in it: once after the group was joined, and with each new one, among
    // the messages as they came. May be empty: nobody asks.
    std::function<void(RingId, std::span<const std::uint32_t>)> ring{};
  };
  // Errors are sentences.
  static std::expected<std::unique_ptr<CorosyncGroup>, std::string> join(const std::string& name, Events events);
  CorosyncGroup(const CorosyncGroup&) = delete;
  CorosyncGroup& operator=(const CorosyncGroup&) = delete;
  ~CorosyncGroup();

  // As the others see this process.
  [[nodiscard]] FleetMember self() const { return self_; }
  // Readable where there is something to dispatch, or Corosync has gone.
  [[nodiscard]] int fd() const { return fd_; }
  // At most so many events, so that whoever floods the group does not keep the thread from its own work.
  std::expected<void, std::string> dispatch(int most);
  // To all members, this one too. False: not now, Corosync is forming a new ring or has too much to send.
  std::expected<bool, std::string> send(std::span<const std::byte> message);

  // Corosync's callbacks.
  void tell_members(std::span<const FleetMember> members) const { events_.members(members); }
  void tell_ring(RingId ring, std::span<const std::uint32_t> nodes) const {
    if (events_.ring) events_.ring(ring, nodes);
  }
  void tell_message(FleetMember from, std::span<const std::byte> bytes) const { events_.message(from, bytes); }

 private:
  explicit CorosyncGroup(Events events) : events_(std::move(events)) {}

  Events events_;
  std::uint64_t handle_ = 0;
  bool open_ = false;
  int fd_ = -1;  // libcpg's
  FleetMember self_;
};

}  // namespace hapair::agent
