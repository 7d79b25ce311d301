// What a CCM shares with its clients, in memory: a ring of observations of the partner (written by the CCM, read by
// every client) and one block a client (written by the client, read by the CCM). Layouts are fixed: a client of another
// build than the CCM's is refused at registration by version, not by accident.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "ccm/base/time.h"
#include "ccm/wire/beat_datagram.h"
#include "ccm/wire/notice.h"
#include "ccm/wire/poison.h"
#include "ccm/wire/status_page.h"
#include "ccm/wire/watchdog_layout.h"

namespace hapair::ccm {

inline constexpr std::uint32_t kClientProtocol = 8;
inline constexpr std::size_t kMaxRails = 4;
inline constexpr std::size_t kObservationSlots =
    128;  // at 10 ms pace and two rails: 640 ms before a slow client misses one

enum class ObservationKind : std::uint32_t {
  page = 1,        // the partner's page was read whole
  pending = 2,     // a read is posted and not answered yet; `age_ns` says for how long
  failed = 3,      // the last operation or the attempt to connect failed with `error`
  unreadable = 4,  // bytes came, but they are no page of the partner (`page_error`)
  beat = 5,        // a beat of the partner's came over network `channel` and counts; `page` begins with its datagram
  notice = 6,  // beside the beat told before this one there was a notice, and it counts; `page` is that disk's block
};

struct ObservationLayout {
  std::uint64_t serial;  // from 1; the slot is `serial % kObservationSlots`; 0 while the slot is being written
  std::int64_t when_ns;  // CLOCK_BOOTTIME at which the CCM knew; of a beat, at which it came to this node
  // When the read was posted that this is about; of a beat or notice, when this node sent the beat that it answers:
  // the partner made it after that.
  std::int64_t posted_ns;
  std::uint64_t round_trip_ns;
  std::uint64_t age_ns;
  std::uint32_t channel;  // the number of the rail; of a beat, of the network
  std::uint32_t kind;     // ObservationKind
  std::uint8_t error;     // FabricError
  std::uint8_t page_error;
  std::uint8_t handshake;  // HandshakeState of this node towards the partner
  std::uint8_t proof;      // PageProof
  std::uint32_t late_us;   // how late this CCM's own loop was at this observation
  std::array<std::uint8_t, kPageBytes> page;
};
static_assert(sizeof(ObservationLayout) == 56 + kPageBytes);
static_assert(std::is_trivially_copyable_v<ObservationLayout>);

// What the CCM says of one rail. Round-trip times are of the one-sided reads of the partner's page; counters are since
// the CCM's start.
struct RailSelfLayout {
  std::array<char, kNameBytes> name;
  std::array<char, 8> fabric;
  std::array<char, kNameBytes> device;  // an RDMA device, an address, a folder; cut where it is longer
  std::uint8_t handshake;               // HandshakeState
  std::uint8_t last_error;              // FabricError; none while operations succeed
  std::uint16_t zero_a;
  std::uint32_t zero_b;
  std::int64_t since_ns;          // CLOCK_BOOTTIME since which the handshake state is what it is
  std::uint64_t connected_in_us;  // how long the last handshake took, from both CCMs seen to connected; 0: never
  std::uint64_t sessions;         // how many times connected
  std::uint64_t reads;
  std::uint64_t writes;
  std::uint64_t errors;
  std::uint64_t round_trip_ns;  // of the last read that succeeded; 0: none yet. Likewise the three below
  std::uint64_t round_trip_min_ns;
  std::uint64_t round_trip_mean_ns;  // moving: each read counts one in sixteen
  std::uint64_t round_trip_max_ns;
  // What came from the network and was refused, or ended because it broke a rule.
  std::uint64_t turned_away;        // at the early channel
  std::uint64_t ports_turned_away;  // at the ports' service
};
static_assert(sizeof(RailSelfLayout) == 176);

// What the CCM says of one IP network or mailbox disk that beats go over; counters are since the CCM's start.
struct NetworkSelfLayout {
  std::array<char, kNameBytes> name;
  std::array<char, 48> address;  // this node's; of a disk, its device, cut where it is longer
  std::uint8_t is_disk;
  std::uint8_t disk_error;  // DiskError + 1 where its disk is not this pair's
  std::array<std::uint8_t, 6> zero;
  std::uint32_t pace_us;
  std::int32_t send_errno;  // of the last beat; 0: it went out
  std::uint64_t sent;
  std::uint64_t send_failed;
  std::uint64_t heard;
  std::uint64_t lost;
  std::array<std::uint64_t, kBeatRefusals> refused;  // by BeatRefusal
  std::uint64_t round_trip_ns;                       // 0: none yet. Likewise the three below
  std::uint64_t round_trip_min_ns;
  std::uint64_t round_trip_mean_ns;
  std::uint64_t round_trip_max_ns;
  std::uint64_t mean_arrival_ns;              // moving, between two beats that counted
  std::int64_t heard_at_ns;                   // CLOCK_BOOTTIME of the last that counted; 0: never
  std::int64_t reached_at_ns;                 // when the newest beat was sent that the partner says it heard; 0: none
  std::array<char, kNameBytes> foreign_pair;  // what the last foreign beat called itself
  std::array<char, kNameBytes> foreign_node;
  std::uint64_t notices;                                       // of a disk: that counted
  std::array<std::uint64_t, kNoticeRefusals> notices_refused;  // by NoticeRefusal
};
static_assert(sizeof(NetworkSelfLayout) == 360);
enum class NetworkState : std::uint8_t {
  silent,   // no beat of the partner's counted for half a second and ten beats
  beats,    // both directions
  one_way,  // the partner is heard, and for so long has not heard this node
  unsent,   // this node's own beats do not go out
};
std::string_view text_of(NetworkState state);
NetworkState state_of(const NetworkSelfLayout& network, Instant now);

// What the CCM says of one client's port; counters are since the client's registration.
struct PortSelfLayout {
  std::array<char, 24> client;
  std::uint8_t index;
  std::uint8_t state;  // PortStanding::State
  std::uint8_t rail;   // of a ready one: this node's way to the partner's memory
  std::uint8_t rights;
  std::uint32_t zero;
  std::uint64_t memory_bytes;
  std::uint64_t operations;
  std::uint64_t failed;
  std::uint64_t refused;
  std::uint64_t bytes;
  std::uint64_t messages;  // received
};
static_assert(sizeof(PortSelfLayout) == 80);

// What the CCM says of itself to its clients, kept current in the ring's head.
struct CcmSelfLayout {
  std::uint64_t incarnation;
  std::uint64_t beat;
  std::array<std::uint8_t, 16> boot_id;
  std::uint8_t phase;      // BootPhase
  std::uint8_t handshake;  // HandshakeState of the rail that is furthest
  std::uint8_t rail_count;
  std::uint8_t network_count;
  std::uint32_t pace_us;
  // Refused input by kind, of all rails; each rises by one an occurrence.
  std::uint64_t refused_key;                  // a record or page whose MAC is not the pair's
  std::uint64_t refused_identity;             // another pair or node name
  std::uint64_t refused_layout;               // no layout in common
  std::uint64_t refused_stale;                // a record for an older nonce or incarnation
  std::uint64_t refused_malformed;            // garbage
  std::array<char, kNameBytes> refused_pair;  // what the last refused identity called itself
  std::array<char, kNameBytes> refused_node;
  std::uint16_t refused_layout_min;
  std::uint16_t refused_layout_max;
  std::uint32_t zero_b;
  std::array<RailSelfLayout, kMaxRails> rails;
  std::uint8_t session;  // SessionState
  std::uint8_t port_count;
  std::uint16_t protocol;  // of the session
  std::uint32_t zero_c;
  std::array<char, 24> partner_software;
  std::array<PortSelfLayout, kMaxPorts> ports;
  std::array<NetworkSelfLayout, kMaxNetworks> networks;
  WatchdogSelfLayout watchdog;
  PoisonSelfLayout poison;
};
static_assert(sizeof(CcmSelfLayout) == 184 + kMaxRails * sizeof(RailSelfLayout) + kMaxPorts * sizeof(PortSelfLayout) +
                                           kMaxNetworks * sizeof(NetworkSelfLayout) + sizeof(WatchdogSelfLayout) +
                                           sizeof(PoisonSelfLayout));
static_assert(offsetof(CcmSelfLayout, poison) == sizeof(CcmSelfLayout) - sizeof(PoisonSelfLayout));

struct ObservationRing {
  std::uint64_t magic;    // kRingMagic
  std::uint64_t written;  // the serial of the newest observation
  std::uint32_t self_sequence;
  std::uint32_t zero;
  CcmSelfLayout self;
  std::array<ObservationLayout, kObservationSlots> slots;
};
inline constexpr std::uint64_t kRingMagic = 0x31474e4952504148;  // "HAPRING1"

// Written by one client, but for fed_until_taken_ns; read by the CCM at each beat, and copied into the status page but
// for what concerns the watchdog and poison.
struct ClientBlock {
  std::uint64_t magic;  // kClientBlockMagic
  std::uint64_t beat;
  // Its Progress.
  std::uint64_t completed;
  std::uint32_t outstanding;
  std::uint32_t stall_limit_ms;
  std::uint32_t agent_sequence;  // odd while `agent` changes
  std::uint32_t zero;
  std::int64_t fed_until_ns;        // watchdog_layout.h
  std::int64_t fed_until_taken_ns;  // by the CCM: what is in force, also for the next CCM; kSaysNothing: nothing yet
  // Of the client named kAgentClientName, as `agent`.
  std::uint64_t poison_asked;    // another number each time it wants its partner poisoned (kPoisonResets); 0: no more
  std::uint64_t poison_stopped;  // PoisonSelfLayout::number of the last order that it has obeyed
  std::uint64_t poison_cannot;   // and of the last that it cannot obey
  AgentBlockLayout agent;        // only the client named kAgentClientName publishes one
};
static_assert(offsetof(ClientBlock, agent_sequence) == 32);
static_assert(offsetof(ClientBlock, fed_until_ns) == 40);
static_assert(offsetof(ClientBlock, fed_until_taken_ns) == 48);
static_assert(offsetof(ClientBlock, poison_asked) == 56);
static_assert(offsetof(ClientBlock, agent) == 80);
inline constexpr std::uint64_t kClientBlockMagic = 0x314b4c4250414820;  // "HAPBLK1"
inline constexpr std::string_view kAgentClientName = "hapaird";

// A value under a sequence lock in shared memory: one writer, readers that retry. The bytes are copied word by word
// with atomics, so that neither side races.
template <class T>
void sequence_write(std::uint32_t& sequence_word, T& shared, const T& value) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(std::uint64_t) == 0);
  std::atomic_ref<std::uint32_t> sequence(sequence_word);
  const std::uint32_t start = sequence.load(std::memory_order_relaxed) | 1U;
  sequence.store(start, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  auto* to = reinterpret_cast<std::uint64_t*>(&shared);
  std::array<std::uint64_t, sizeof(T) / sizeof(std::uint64_t)> words;
  std::memcpy(words.data(), &value, sizeof value);
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::atomic_ref<std::uint64_t>(to[i]).store(words[i], std::memory_order_relaxed);
  }
  sequence.store(start + 1, std::memory_order_release);
}

// Nothing where the writer was in the middle `tries` times, or died there: the caller keeps what it had.
template <class T>
std::optional<T> sequence_read(std::uint32_t& sequence_word, T& shared, int tries = 8) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(std::uint64_t) == 0);
  std::atomic_ref<std::uint32_t> sequence(sequence_word);
  auto* from = reinterpret_cast<std::uint64_t*>(&shared);
  std::array<std::uint64_t, sizeof(T) / sizeof(std::uint64_t)> words;
  for (int i = 0; i < tries; ++i) {
    const std::uint32_t before = sequence.load(std::memory_order_acquire);
    if (before % 2 != 0) continue;
    for (std::size_t w = 0; w < words.size(); ++w) {
      words[w] = std::atomic_ref<std::uint64_t>(from[w]).load(std::memory_order_relaxed);
    }
    std::atomic_thread_fence(std::memory_order_acquire);
    if (sequence.load(std::memory_order_relaxed) != before) continue;
    T value;
    std::memcpy(&value, words.data(), sizeof value);
    return value;
  }
  return std::nullopt;
}

// Messages on the CCM's Unix socket (SOCK_SEQPACKET, one struct a packet).
enum class ClientMessage : std::uint32_t {
  hello = 1,      // client -> CCM
  welcome = 2,    // CCM -> client, with three descriptors: ring (read-only), client block (read-write), eventfd
  refuse = 3,     // CCM -> client; the socket closes behind it
  phase = 4,      // client -> CCM: the node is in this boot phase from now on
  phase_set = 5,  // CCM -> client: answer to `phase`
  goodbye = 6,    // client -> CCM: this client leaves on purpose
  ports = 7,      // client -> CCM: it wants `ports` ports; answered by ports_made or refuse, which leaves it registered
  ports_made = 8,  // CCM -> client, with two descriptors: what to write after submitting, what is written to wake it;
                   // then one `port` for each
  port = 9,        // CCM -> client, with two descriptors: the memory of port `port`, its channel (port_channel.h)
};
enum class ClientRefusal : std::uint32_t {
  none = 0,
  version = 1,
  no_slot = 2,
  name_taken = 3,
  not_permitted = 4,  // neither root nor the CCM's own user
  malformed = 5,
  phase_backward = 6,  // a phase earlier than the node is in
  port_count = 7,      // `ports` has the most that can be had now
  port_memory = 8,     // `memory_bytes` has the most that one port can have now
  no_memory = 9,       // this machine does not have it; the CCM's log says why
  ports_taken = 10,    // the client has its ports already
};
std::string_view text_of(ClientRefusal refusal);

struct ClientPacket {
  std::uint32_t message;   // ClientMessage
  std::uint32_t protocol;  // kClientProtocol of the sender
  std::uint32_t refusal;   // ClientRefusal
  std::uint32_t phase;     // BootPhase
  std::uint32_t pace_us;   // of the client's own beat; 0: it only looks
  std::uint32_t slot;
  std::uint64_t incarnation;  // of the CCM
  std::uint64_t life;         // of the client, drawn by the CCM
  std::array<char, 24> name;
  // Of `ports`: of each port, what the partner may reach, and beside it what only this node uses.
  std::uint64_t memory_bytes;
  std::uint64_t staging_bytes;
  std::uint32_t ports;
  std::uint32_t rights;  // kPartnerReads, kPartnerWrites
  std::uint32_t port;    // the number of one
  std::uint32_t zero;
};
static_assert(sizeof(ClientPacket) == 96);

}  // namespace hapair::ccm
