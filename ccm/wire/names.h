// The small vocabularies that cross the wire, each with the words that people read.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace hapair::ccm {

// Where a node stands on its way up or down. Values are wire format; the order of the ways up is the order of time.
enum class BootPhase : std::uint8_t {
  unknown = 0,            // a CCM started late and nobody told it where the node is
  early = 1,              // the CCM is up; nothing of the node's storage is
  root = 2,               // the real root file system is mounted
  awaiting_giveback = 3,  // its pool is the partner's; it has touched no shared disk
  storage_starting = 4,   // from here on it may touch shared disks
  storage_active = 5,     // it serves, or could serve at once
  storage_stopping = 6,
  shutting_down = 7,
  panicked = 8,  // written by a crash kernel
};
inline constexpr std::size_t kBootPhases = 9;
std::string_view text_of(BootPhase phase);
std::optional<BootPhase> parse_boot_phase(std::string_view text);
// True where a node at this phase cannot have a pool's resources started in this life of its kernel.
bool before_storage(BootPhase phase);

// What keeps a CCM from all of its work; bits of the status page's `trouble`. Whoever reads it learns why no handshake
// succeeds, without a proof that it is so.
inline constexpr std::uint8_t kTroubleNoKey = 1;         // it has no usable key: it can prove nothing
inline constexpr std::uint8_t kTroubleRail = 2;          // a rail of it has no usable interface or device
std::string_view text_of_trouble(std::uint8_t trouble);  // empty for none

// How far this node's handshake with its partner is (ccm/handshake).
enum class HandshakeState : std::uint8_t {
  searching = 0,   // step 1: the partner's page is not readable, or not yet usable
  greeting = 1,    // step 2: a hello is written or being written
  proving = 2,     // step 3: waits for the partner's proof over our nonce
  confirming = 3,  // step 4: "connected" is being written, or the partner's is awaited
  connected = 4,   // both directions complete
  refused = 5,     // the partner's identity, key or layout is not ours; see the counters
};
std::string_view text_of(HandshakeState state);

// What became of one operation on the partner's memory.
enum class FabricError : std::uint8_t {
  none = 0,
  not_listening = 1,   // the host answered: nobody serves the port
  refused = 2,         // the host answered: the connection was turned away
  remote_access = 3,   // the host answered: no such memory, or no right to it
  retry_exceeded = 4,  // no answer within the fabric's own retries
  link_down = 5,       // our own port has no link
  deadline = 6,        // no answer within the application's deadline; the connection was given up
  disconnected = 7,    // the connection ended under the operation
};
std::string_view text_of(FabricError error);
// True where the error itself proves that the partner's host (its kernel or its adapter) answered.
bool host_answered(FabricError error);

// What a page of the partner proves about who wrote it.
enum class PageProof : std::uint8_t {
  none = 0,       // something answers
  handshake = 1,  // it carries the proof over our nonce: the writer is the partner, at this incarnation and boot id,
                  // and holds the key. What else the page says is not covered
  session = 2,    // it carries the session's MAC: every byte is the partner's
};

enum class ClientState : std::uint8_t {
  none = 0,        // the slot is free
  registered = 1,  // the client holds its socket to the CCM
  gone = 2,        // its socket closed without a word: it was killed or it crashed
  left = 3,        // it said goodbye
};
std::string_view text_of(ClientState state);

}  // namespace hapair::ccm
