// The memory that a client and the CCM share for one port: a ring of operations that the client submits, a ring of what
// became of them and of what else happened, and room for messages. The CCM trusts none of it: it copies an entry before
// it checks it, and keeps its own counters.
//
//   control memory: PortChannel (below), then, from kStagingOffset on, the client's staging bytes
//   port memory:    what the partner may read or write; a memory of its own, so that nothing else can reach the partner
//
// A local address of an operation counts from the port memory's first byte; behind it the staging bytes follow.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hapair::ccm {

inline constexpr std::size_t kSubmissionSlots = 64;
inline constexpr std::size_t kCompletionSlots = 128;
inline constexpr std::size_t kMessageSlots = 32;  // in each direction
inline constexpr std::size_t kMessageBytes = 4096;

// What stands before every message between two CCMs: how many messages the other end may send, and how many this end
// has sent. Both are running totals of one exposure, so that a lost one is made good by the next.
struct MessageHeader {
  std::uint32_t kind;      // MessageKind
  std::uint32_t exposure;  // of the sender: what `granted` is for
  std::uint64_t granted;
  std::uint64_t sent;  // data messages into the receiver's exposure, this one included
};
static_assert(sizeof(MessageHeader) == 24);
enum class MessageKind : std::uint32_t { data = 1, grant = 2 };
inline constexpr std::size_t kMaxMessageBytes = kMessageBytes - sizeof(MessageHeader);  // of a client

enum class PortOperation : std::uint32_t {
  write = 1,  // local bytes to the partner's memory
  read = 2,   // the partner's memory to local bytes
  send = 3,   // the message in send slot `slot`
};

struct PortSubmission {
  std::uint64_t id;
  std::uint32_t operation;  // PortOperation
  std::uint32_t slot;
  std::uint64_t local;
  std::uint64_t remote;
  std::uint64_t bytes;
  std::uint32_t standing;  // the serial of the standing that the client acted on: one made for an earlier partner is
                           // not carried out against the next
  std::uint32_t zero;
};
static_assert(sizeof(PortSubmission) == 48);

// What became of an operation.
enum class PortResult : std::uint32_t {
  done = 0,
  failed = 1,     // see `error`. Whether it reached the partner's memory is not known, and it is not repeated
  not_ready = 2,  // the port is not ready, or not the one that the client acted on: nothing was sent
  outside = 3,    // it does not lie within local or the partner's memory: nothing was sent
  no_right = 4,   // the partner gives no such right: nothing was sent
};
std::string_view text_of(PortResult result);

enum class PortCompletionKind : std::uint32_t { operation = 1, message = 2, standing = 3 };

// How a client's port stands.
enum class PortStandingState : std::uint32_t {
  waiting = 0,     // the partner's client of that name is not there, or does not want this port
  connecting = 1,  // it is there, and no rail carries the port at the moment
  ready = 2,       // both sides reach each other's memory
};
std::string_view text_of(PortStandingState state);

// What the client hears, in the order in which it happened: a message of a partner comes behind the standing that says
// that this partner is ready.
struct PortCompletion {
  std::uint64_t id;        // of an operation; of a standing: the life of the partner's client
  std::uint64_t bytes;     // of a message; of a standing: of the partner's memory
  std::uint32_t kind;      // PortCompletionKind
  std::uint32_t result;    // of an operation: PortResult; of a standing: PortStandingState
  std::uint32_t error;     // of an operation that failed: FabricError
  std::uint32_t slot;      // of a message: the receive slot
  std::uint32_t standing;  // of a standing: its serial, from 1
  std::uint32_t rail;      // of a standing
  std::uint32_t rights;    // of a standing: what the partner allows
  std::uint32_t zero;
};
static_assert(sizeof(PortCompletion) == 48);

using MessageSlot = std::array<std::byte, kMessageBytes>;

// Counters run freely and wrap; each has one writer, and a cache line of its own.
struct PortChannel {
  std::uint64_t magic;
  std::uint64_t memory_bytes;
  std::uint64_t staging_bytes;
  alignas(64) std::uint32_t submitted;  // by the client
  alignas(64) std::uint32_t taken;      // by the CCM
  alignas(64) std::uint32_t completed;  // by the CCM
  alignas(64) std::uint32_t consumed;   // by the client
  alignas(64) std::uint32_t released;   // by the client: messages whose slots are free again, in their order
  alignas(64) std::array<PortSubmission, kSubmissionSlots> submissions;
  std::array<PortCompletion, kCompletionSlots> completions;
  alignas(4096) std::array<MessageSlot, kMessageSlots> received;
  std::array<MessageSlot, kMessageSlots> sent;
};
inline constexpr std::uint64_t kPortChannelMagic = 0x314e414843504148;  // "HAPCHAN1"
inline constexpr std::size_t kStagingOffset = sizeof(PortChannel);
static_assert(kStagingOffset % 4096 == 0);

}  // namespace hapair::ccm
