// The ports' side of one rail. A port is a reliable queue pair in each direction, and memory: this node's operations go
// over the connection that it opened itself, the partner's over the partner's own. Like Fabric it is one-sided, does
// not block, has no thread, and the application's deadline decides.
//
// Order and ownership:
//  - Memory given to add() stays valid until remove() has returned; a posted buffer until its completion was polled.
//  - Operations of one port are carried out in the order of posting and complete in it, each exactly once; drop(),
//    remove() and the loss of the connection complete what is outstanding as `disconnected`: whether such an operation
//    still reached the partner's memory is then not known, and nothing here repeats it.
//  - A write is complete once the partner's memory has the bytes, a read once the buffer has them, a send once the
//    partner's end has taken it into a receive buffer.
//  - Messages arrive in the order of sending, into the receive buffers in the order in which these were posted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/connect_data.h"
#include "ccm/wire/names.h"

namespace hapair::ccm {

using PortId = Number<struct PortIdTag>;  // drawn by the caller, one for each add()

struct PortExposure {
  std::span<std::byte> memory;  // what the partner may touch; may be empty
  bool partner_reads = false;
  bool partner_writes = false;
  // The memfd whose first memory.size() bytes `memory` maps: fabric shm hands it to the partner, the others look away.
  // Borrowed for the call of add(). A memfd per add() is what keeps a late writer out (shm_port_fabric.h).
  int memory_fd = -1;
  // Where posted operations and receive buffers will lie. A device registers it; what lies elsewhere costs a copy.
  std::array<std::span<std::byte>, 2> local{};
};

struct PortEvent {
  enum class Kind : std::uint8_t {
    connected,      // answer to connect(): `bytes` is the length of the partner's memory
    not_connected,  // answer to connect(): `error` says why
    lost,           // the connection ended by itself; `error` says how
    done,           // of a posted write, read or send: `error` is none, or why not
    received,       // a message: `operation` is the receive buffer's, `bytes` its length
    partner_in,     // the partner's own connection to this port is up: it may write and read now
    partner_out,    // ... and has ended; posted receive buffers stay posted
  };
  Kind kind = Kind::lost;
  PortId port;
  OperationId operation;
  FabricError error = FabricError::none;
  std::uint32_t bytes = 0;
};

// Counted, never fatal: what came from the network and was turned away.
struct PortFabricCounters {
  std::uint64_t refused_tokens = 0;     // a request for a port that does not exist, or with a wrong token
  std::uint64_t refused_malformed = 0;  // bytes that are no request of this protocol
  std::uint64_t refused_access = 0;     // the partner reached for memory that it has no right to
  std::uint64_t refused_strangers = 0;  // not from the partner's address
  std::uint64_t refused_limit = 0;      // more requests than wait at a time: the oldest gave way
  std::uint64_t broken_rules = 0;       // a frame of an accepted connection that broke another rule: told, and ended

  [[nodiscard]] std::uint64_t total() const {
    return refused_tokens + refused_malformed + refused_access + refused_strangers + refused_limit + broken_rules;
  }
};

class PortFabric {
 public:
  virtual ~PortFabric() = default;
  PortFabric(const PortFabric&) = delete;
  PortFabric& operator=(const PortFabric&) = delete;

  // Listens at this rail's port service; the error is a sentence for the operator.
  virtual std::expected<void, std::string> open() = 0;

  // From here on a connection that shows `own_token` reaches this memory. At most kMaxReceives receive buffers.
  virtual std::expected<void, std::string> add(PortId port, const PortToken& own_token,
                                               const PortExposure& exposure) = 0;
  virtual void remove(Instant now, PortId port) = 0;

  // This node's own connection to the partner's end of the port, which exposes its memory under `partner_token`.
  virtual void connect(Instant now, PortId port, const PortToken& partner_token) = 0;
  virtual void drop(Instant now, PortId port) = 0;

  // False: not connected, or the queue is full, or outside the partner's memory; nothing was posted.
  virtual bool post_write(Instant now, PortId port, OperationId id, std::uint64_t offset,
                          std::span<const std::byte> from) = 0;
  virtual bool post_read(Instant now, PortId port, OperationId id, std::uint64_t offset, std::span<std::byte> into) = 0;
  // At most kMaxMessage bytes. The caller knows by credits that a receive buffer is posted at the other end.
  virtual bool post_send(Instant now, PortId port, OperationId id, std::span<const std::byte> message) = 0;
  // A buffer of at least kMaxMessage bytes for one message of the partner. Allowed from add() on.
  virtual bool post_receive(PortId port, OperationId id, std::span<std::byte> into) = 0;

  virtual std::size_t poll(Instant now, std::span<PortEvent> into) = 0;
  // Readable when poll() has something; -1 where only polling tells.
  [[nodiscard]] virtual int poll_fd() const = 0;
  [[nodiscard]] virtual const PortFabricCounters& counters() const = 0;
  [[nodiscard]] virtual std::string_view kind() const = 0;

  static constexpr std::size_t kMaxPorts = 64;  // that were added and not removed, or not polled to their end
  static constexpr std::size_t kMaxReceives = 64;
  static constexpr std::size_t kMaxMessage = 4096;
  static constexpr std::size_t kQueueDepth = 64;  // outstanding operations of a port

 protected:
  PortFabric() = default;
};

}  // namespace hapair::ccm
