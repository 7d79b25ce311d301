// The fabric: one rail's way to the partner's memory. One-sided: nothing here needs the partner's software to run, only
// its memory to be there. One interface, a folder an implementation; one contract test suite runs against all of them.
//
// Order and ownership:
//  - The fabric owns the two local pages (`status_memory`, `mailbox_memory`) and exposes them: the status page for
//    remote reads only, the mailbox page for remote writes only. They are valid as long as the fabric is.
//  - A buffer that is posted belongs to the fabric until its completion was polled. Completions of one kind come in the
//    order of posting. Every posted operation completes exactly once, at the latest when the connection is dropped.
//  - The application's deadline decides: `drop()` ends the connection and completes what is outstanding with
//    FabricError::disconnected. The fabric's own retries may end an operation earlier, never later.
//  - Nothing here blocks, allocates after `open()`, or logs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/names.h"

namespace hapair::ccm {

enum class RemotePage : std::uint8_t { status, mailbox };

struct FabricEvent {
  enum class Kind : std::uint8_t {
    connected,      // answer to connect()
    not_connected,  // answer to connect(): `error` says why
    lost,           // an established connection ended by itself; `error` says how
    read_done,      // `error` is none, or why the buffer holds nothing
    write_done,     // `error` is none once the partner's memory has the bytes
  };
  Kind kind = Kind::lost;
  OperationId operation;  // of read_done and write_done
  FabricError error = FabricError::none;
};

class Fabric {
 public:
  virtual ~Fabric() = default;
  Fabric(const Fabric&) = delete;
  Fabric& operator=(const Fabric&) = delete;

  // Acquires every resource and exposes the local pages; the error is a sentence for the operator. Not real-time.
  virtual std::expected<void, std::string> open() = 0;

  [[nodiscard]] virtual std::span<std::byte> status_memory() = 0;   // kPageBytes, read by the partner
  [[nodiscard]] virtual std::span<std::byte> mailbox_memory() = 0;  // kPageBytes, written by the partner

  // Begins to connect to the partner's predetermined address and port. Answered by one `connected` or `not_connected`.
  virtual void connect(Instant now) = 0;
  // Ends the connection or the attempt. Outstanding operations complete as disconnected, an attempt is answered by
  // `not_connected`; a `lost` that was not polled yet is never seen. Harmless without one.
  virtual void drop(Instant now) = 0;

  // One-sided operations on the partner's page at `offset`. Only while connected; false means that the send queue is
  // full or that there is no connection: nothing was posted and no completion will come.
  virtual bool post_read(Instant now, OperationId id, RemotePage page, std::size_t offset,
                         std::span<std::byte> into) = 0;
  virtual bool post_write(Instant now, OperationId id, RemotePage page, std::size_t offset,
                          std::span<const std::byte> from) = 0;

  // Takes events that have happened up to `now`; returns how many of `into` are filled.
  virtual std::size_t poll(Instant now, std::span<FabricEvent> into) = 0;
  // Becomes readable when poll() has something; -1 where the fabric completes within post and poll alone.
  [[nodiscard]] virtual int poll_fd() const = 0;

  // Round-trip time of the last operation that succeeded; zero before the first.
  [[nodiscard]] virtual Duration last_round_trip() const = 0;
  // What carries it, as an operator names it: an RDMA device, an address, a folder. May change with the device.
  [[nodiscard]] virtual std::string_view device() const = 0;
  // How often something that came from the network was refused, or ended because it broke a rule.
  [[nodiscard]] virtual std::uint64_t turned_away() const { return 0; }
  [[nodiscard]] virtual std::string_view kind() const = 0;  // "shm", "verbs", "iwarp", "sim"
  // Why it cannot connect to anybody for now, a sentence for the operator; empty while it can.
  [[nodiscard]] virtual std::string_view trouble() const { return {}; }
  // Where the partner's page lies, in the partner's own counting; 0 where memory is not told by addresses.
  [[nodiscard]] virtual std::uint64_t remote_address(RemotePage /*page*/) const { return 0; }

 protected:
  Fabric() = default;
};

}  // namespace hapair::ccm
