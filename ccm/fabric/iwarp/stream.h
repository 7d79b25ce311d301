// One iWARP connection after its negotiation: RDMAP over DDP over MPA (RFC 5040, 5041, 5044). Pure: bytes of the TCP
// stream in, bytes out, completions to the side. It has no socket, clock or thread, and allocates only when it is made.
//
// Order and ownership:
//  - Own operations are carried out and complete in the order of posting. A posted buffer belongs to the stream until
//    its completion was taken.
//  - A write or a send is followed by a zero-length read: TCP's acknowledgement says nothing about placement, a read's
//    answer does (RFC 5040, section 5.5: a read response follows the placement of earlier writes).
//  - Nothing is placed before its CRC, its STag, its bounds and the right to it were checked, not even zero bytes.
//  - Whatever the other end sends, the worst that comes of it is a Terminate and the end of this one connection.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "ccm/base/fixed_ring.h"
#include "ccm/base/ids.h"
#include "ccm/fabric/iwarp/ddp.h"

namespace hapair::ccm::iwarp {

// Memory that the other end may touch.
struct Region {
  std::uint32_t stag = 0;
  std::uint64_t base = 0;  // the tagged offset of its first byte
  std::span<std::byte> memory;
  bool remote_read = false;
  bool remote_write = false;
};

// What the negotiation came to, and what the other end may reach.
struct StreamTerms {
  bool crc = true;
  std::uint32_t reads_out = 16;     // ORD: own reads outstanding at a time, 1 to kMaxReads
  std::uint32_t reads_in = 16;      // IRD: the other end's, at most kMaxReads; one more is a Terminate
  std::span<const Region> regions;  // outlive the connection
  bool ready_to_receive = false;    // the other end's first frame is a zero-length write to nowhere (RFC 6581, 9.2)
};

enum class OperationError : std::uint8_t {
  none,
  access,        // the other end has no such memory, or gives no right to it
  disconnected,  // the connection ended first
};

struct StreamEvent {
  enum class Kind : std::uint8_t { done, received };
  Kind kind = Kind::done;
  OperationId operation;
  OperationError error = OperationError::none;
  std::uint32_t bytes = 0;  // of a received message
};

// Where memory of the other end is.
struct RemoteBuffer {
  std::uint32_t stag = 0;
  std::uint64_t offset = 0;
};

struct StreamCounters {
  std::uint64_t reads_served = 0;
  std::uint64_t writes_placed = 0;  // segments
  std::uint64_t sends_placed = 0;   // messages
  std::uint64_t crc_errors = 0;
};

class Stream {
 public:
  static constexpr std::size_t kMaxReads = 32;
  static constexpr std::size_t kQueueDepth = 64;  // posted and not completed
  static constexpr std::size_t kProbeBytes = 8;
  static constexpr std::size_t kMaxReceives = 64;

  // `max_payload`: of outgoing frames, a multiple of four; the sizes of the buffers follow from it.
  explicit Stream(std::size_t max_payload);
  // A new connection: everything of an earlier one is forgotten, the buffers are used again.
  void begin(const StreamTerms& terms);

  // False: the queue is full, or the stream has ended.
  bool post_read(OperationId id, RemoteBuffer from, std::span<std::byte> into);
  // `probe`: kProbeBytes of the other end that may be read: the read that follows tells when the bytes were placed. It
  // is not of zero length, which would do, because the kernel's soft-iWARP answers that with as much as it answered
  // last where another read is still being answered.
  bool post_write(OperationId id, RemoteBuffer to, RemoteBuffer probe, std::span<const std::byte> from);
  bool post_send(OperationId id, RemoteBuffer probe, std::span<const std::byte> message);
  bool post_receive(OperationId id, std::span<std::byte> into);
  // A zero-length write without an operation: what some passive ends need to see before they look at the stream.
  void nudge(RemoteBuffer to);

  // Where bytes of the TCP stream go; then how many came. False: the stream has ended, and what is left to send is its
  // last word.
  [[nodiscard]] std::span<std::byte> receive_space();
  bool received(std::size_t bytes);
  // The TCP connection ended.
  void closed();

  [[nodiscard]] std::span<const std::byte> to_send();
  void sent(std::size_t bytes);

  std::optional<StreamEvent> next_event();

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] const std::optional<TerminateCode>& terminate_sent() const { return terminate_sent_; }
  [[nodiscard]] const std::optional<TerminateCode>& terminate_received() const { return terminate_received_; }
  [[nodiscard]] const StreamCounters& counters() const { return counters_; }
  [[nodiscard]] std::size_t outstanding() const { return operations_.size(); }

 private:
  struct Operation {
    enum class Kind : std::uint8_t { read, write, send };
    Kind kind = Kind::read;
    OperationId id;
    RemoteBuffer remote;              // of a write: where to
    RemoteBuffer probe;               // what its read asks for
    std::span<std::byte> into;        // of a read
    std::span<const std::byte> from;  // of a write or send
    std::size_t emitted = 0;          // bytes that are in the output
    bool data_out = false;            // all segments are
    bool read_out = false;            // the read request is: its own, or the one that follows a write
    std::uint32_t sink = 0;           // STag of its read's answer
    std::size_t placed = 0;           // of a read's answer
  };
  struct PendingAnswer {
    ReadRequest request;
    std::span<const std::byte> source;
    std::size_t emitted = 0;
  };
  struct Receive {
    OperationId id;
    std::span<std::byte> into;
  };

  bool post(const Operation& operation);
  void pump();
  bool pump_answer();
  bool pump_operation(Operation& operation);
  bool emit_read(Operation& operation);
  [[nodiscard]] std::span<std::byte> output_space(std::size_t bytes);
  bool emit(Segment segment, std::span<const std::byte> payload);
  void fail(const TerminateCode& code);
  void end(OperationError first);
  void complete_front(OperationError error);

  bool take_frame(std::span<const std::byte> ulpdu);
  bool take_write(const Segment& segment);
  bool take_read_request(const Segment& segment);
  bool take_read_response(const Segment& segment);
  bool take_send(const Segment& segment);
  bool take_terminate(const Segment& segment);
  const Region* region_of(std::uint32_t stag) const;

  [[nodiscard]] std::span<std::byte> sink_of(const Operation& operation) {
    return operation.kind == Operation::Kind::read ? operation.into : std::span<std::byte>(probed_);
  }

  std::size_t max_payload_;
  StreamTerms terms_;
  std::unique_ptr<std::byte[]> in_;
  std::size_t in_capacity_;
  std::size_t in_first_ = 0;
  std::size_t in_last_ = 0;
  std::unique_ptr<std::byte[]> out_;
  std::size_t out_capacity_;
  std::size_t out_first_ = 0;
  std::size_t out_last_ = 0;

  std::array<std::byte, kProbeBytes> probed_{};  // what probes read; nobody looks at it
  FixedRing<Operation, kQueueDepth> operations_;
  FixedRing<PendingAnswer, kMaxReads> answers_;
  FixedRing<Receive, kMaxReceives> receives_;
  FixedRing<StreamEvent, kQueueDepth + kMaxReceives> events_;
  std::size_t reads_outstanding_ = 0;
  std::uint32_t next_sink_ = 0;
  std::uint32_t send_message_ = 1;  // MSN of the next message that we send, by queue
  std::uint32_t read_message_ = 1;
  std::uint32_t expect_send_ = 1;  // MSN that is due from the other end
  std::uint32_t expect_read_ = 1;
  std::size_t send_placed_ = 0;  // bytes of the message that is being received
  bool ended_ = true;
  std::optional<TerminateCode> terminate_sent_;
  std::optional<TerminateCode> terminate_received_;
  StreamCounters counters_;
};

}  // namespace hapair::ccm::iwarp
