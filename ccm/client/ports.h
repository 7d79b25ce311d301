// A client's ports: memory that the partner's client of the same name may reach, and one-sided operations on the
// partner's. Which rail carries them is the CCM's business: where one fails, the port moves, and the client hears it.
//
// Order and ownership:
//  - Operations of one port are carried out in the order of posting and complete in it, each exactly once.
//  - An operation that ends as `failed` may or may not have reached the partner's memory; nothing repeats it. Whoever
//    wants it repeated posts it again, and knows by that.
//  - Local bytes lie in the port's memory() or staging(), and belong to the operation until it has completed. A message
//    is copied.
//  - An operation holds for the standing that was dispatched last: one that was posted before the port moved or the
//    partner's client changed is never carried out against what came after.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "ccm/base/fd.h"
#include "ccm/client/client_error.h"
#include "ccm/wire/names.h"
#include "ccm/wire/port_channel.h"

namespace hapair::ccm {

struct PortsRequest {
  std::uint32_t ports = 1;          // 1 to kMaxClientPorts
  std::uint64_t memory_bytes = 0;   // of each: what the partner may reach; rounded up to whole pages
  std::uint64_t staging_bytes = 0;  // of each: for own operations only; likewise
  bool partner_reads = false;
  bool partner_writes = true;
};

// The partner's side, as it was when a standing was dispatched.
struct PartnerPort {
  bool ready = false;
  std::uint64_t memory_bytes = 0;
  bool reads = false;  // what it lets this client do
  bool writes = false;
  std::uint32_t rail = 0;
};

struct PortDone {
  std::uint64_t id = 0;
  PortResult result = PortResult::done;
  FabricError error = FabricError::none;  // of `failed`
};

enum class PostError : std::uint8_t {
  queue_full,  // kSubmissionSlots operations have not completed, or all send slots are in use: dispatch first
  not_ready,   // no partner is ready
  outside,     // the bytes lie neither in memory() nor in staging(), or not within the partner's memory
  no_right,    // the partner does not allow it
  too_long,    // a message of more than kMaxMessageBytes
};
std::string_view text_of(PostError error);

class Port {
 public:
  [[nodiscard]] std::span<std::byte> memory() const;
  [[nodiscard]] std::span<std::byte> staging() const;
  [[nodiscard]] const PartnerPort& partner() const;

  // `id` is the caller's, and comes back with the completion.
  std::expected<void, PostError> write(std::uint64_t id, std::span<const std::byte> local, std::uint64_t remote);
  std::expected<void, PostError> read(std::uint64_t id, std::span<std::byte> local, std::uint64_t remote);
  std::expected<void, PostError> send(std::uint64_t id, std::span<const std::byte> message);
  [[nodiscard]] std::size_t outstanding() const;

 private:
  friend class Client;
  friend class Ports;
  struct State;
  explicit Port(std::unique_ptr<State> state);

 public:
  Port(Port&&) noexcept;
  Port& operator=(Port&&) noexcept;
  ~Port();

 private:
  std::unique_ptr<State> state_;
};

// What a client hears, from dispatch() alone.
class PortHandler {
 public:
  // Both sides reach each other. Another client, or another life of it, than before: it knows nothing of earlier ones.
  virtual void partner_ready(std::size_t port) = 0;
  // The same client of the partner again, over the same rail or another one: what had not completed has failed.
  virtual void port_moved(std::size_t port) = 0;
  // The port carries nothing for now. `left`: the partner's client ended; else no rail carries the port, or the whole
  // partner is silent (its verdict is hapaird's to give).
  virtual void partner_gone(std::size_t port, bool left) = 0;
  virtual void completed(std::size_t port, const PortDone& done) = 0;
  // The bytes are the caller's until it returns.
  virtual void received(std::size_t port, std::span<const std::byte> message) = 0;

 protected:
  ~PortHandler() = default;
};

class Ports {
 public:
  [[nodiscard]] std::size_t size() const { return ports_.size(); }
  Port& operator[](std::size_t i) { return ports_.at(i); }
  // Readable when dispatch() has something.
  [[nodiscard]] int event_fd() const { return wake_.get(); }
  // Hands over what happened, in its order: a partner's messages come behind its partner_ready. How much there was.
  // Does not block. Operations may be posted from within.
  std::size_t dispatch(PortHandler& handler);
  // The CCM hears of what was posted: called after posting, once for as many operations as there are.
  void flush();

 private:
  friend class Client;
  Ports() = default;
  std::vector<Port> ports_;
  Fd kick_;
  Fd wake_;
};

}  // namespace hapair::ccm
