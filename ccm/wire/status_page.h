// The status page: the 4096 bytes of a node that its partner may read, at a predetermined remote address.
//
// Everything is little-endian and of fixed width. A reader takes the whole page in one read, so it can be torn by the
// writer; `sequence` (even when whole) and the CRC32C tell. So they do of a page whose first part alone was read anew.
// After the handshake `page_mac` proves, under the session's key, that the partner wrote it. Before, a page proves
// nothing but that something answers. The MAC is over the digest of what seldom changes instead of that itself, so that
// a beat costs neither side the hash of a whole page.
//
//   offset
//      0  magic, sequence, crc32c            the CRC covers all bytes from 16 on
//     16  layout_min, layout_max             the layouts that the writer can read and write
//     24  pair, node, incarnation, boot id, phase, handshake, nonce, beat, proof
//    240  8 client slots of 64 bytes         who is registered with the CCM, each one's own beat, and its progress
//         from here on what seldom changes
//    752  the agent's block, 64 + 16 * 64    pools, owners and epochs as the agent sees them; the CCM only copies it
//   1840  the session's block (session_block.h)
//   2288  the answer to the partner's poison (poison.h)
//   2320  zero
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/mac.h"
#include "ccm/wire/names.h"
#include "ccm/wire/poison.h"
#include "ccm/wire/session_block.h"

namespace hapair::ccm {

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::uint64_t kStatusMagic = 0x3154415453504148;  // "HAPSTAT1"
inline constexpr std::uint16_t kLayoutMin = 2;
inline constexpr std::uint16_t kLayoutMax = 2;
inline constexpr std::size_t kNameBytes = 32;  // zero-padded
inline constexpr std::size_t kMaxClients = 8;
inline constexpr std::size_t kMaxPools = 16;

// The remote addresses (IOVA) are constants of the layout: a partner needs no exchange to know where to read.
inline constexpr std::uint64_t kStatusAddress = 0x4841'0000'0000;
inline constexpr std::uint64_t kMailboxAddress = 0x4841'0001'0000;

struct ClientSlotLayout {
  std::array<char, 24> name;
  std::uint64_t beat;
  std::uint64_t life;  // drawn at registration: a restarted client is another one
  std::uint32_t pace_us;
  std::uint8_t state;  // ClientState
  std::array<std::uint8_t, 3> zero;
  // What it tells of its own work (Progress of ccm/client); all zero where it tells nothing.
  std::uint64_t completed;
  std::uint32_t outstanding;
  std::uint32_t stall_limit_ms;
};
static_assert(sizeof(ClientSlotLayout) == 64);
static_assert(offsetof(ClientSlotLayout, beat) == 24);
static_assert(offsetof(ClientSlotLayout, pace_us) == 40);
static_assert(offsetof(ClientSlotLayout, state) == 44);
static_assert(offsetof(ClientSlotLayout, completed) == 48);
static_assert(offsetof(ClientSlotLayout, outstanding) == 56);
static_assert(offsetof(ClientSlotLayout, stall_limit_ms) == 60);

// The meaning of the numbers is agent/core's; the CCM neither reads nor checks them.
struct PoolEntryLayout {
  std::array<char, kNameBytes> name;
  std::uint64_t epoch;
  std::uint64_t claim_epoch;  // 0: this node claims nothing
  std::uint32_t request_serial;
  std::uint8_t owner;  // 0 not known, 1 the node that publishes this, 2 its partner
  std::uint8_t state;
  std::uint8_t request;
  std::uint8_t flags;
  std::uint64_t zero;
};
static_assert(sizeof(PoolEntryLayout) == 64);
static_assert(offsetof(PoolEntryLayout, epoch) == 32);
static_assert(offsetof(PoolEntryLayout, claim_epoch) == 40);
static_assert(offsetof(PoolEntryLayout, request_serial) == 48);
static_assert(offsetof(PoolEntryLayout, owner) == 52);

struct AgentBlockLayout {
  std::uint64_t serial;              // rises with every publication; 0: the agent has published nothing yet
  std::uint64_t agent_life;          // drawn at the agent's start
  std::uint64_t shared_config_hash;  // of what both nodes' configurations must agree on
  std::uint16_t pool_count;
  std::uint8_t node_state;
  std::uint8_t flags;
  std::uint32_t
      maintenance_left_s;  // of a node in maintenance: how long it still lasts, rounded up; 0: no end was given
  std::uint64_t saw_partner_serial;  // the partner's `serial` that this publication has taken into account
  std::uint64_t saw_partner_life;    // of its agent whose publications are taken now; 0: none are
  std::uint64_t lease_over_ms;  // from a claim that is decided until a lease of the publisher's is over; 0: it has none
  std::uint64_t mailbox;        // which mailbox disks the publisher's leases rest on; 0: none
  std::array<PoolEntryLayout, kMaxPools> pools;
};
static_assert(sizeof(AgentBlockLayout) == 64 + kMaxPools * 64);
static_assert(offsetof(AgentBlockLayout, pool_count) == 24);
static_assert(offsetof(AgentBlockLayout, saw_partner_serial) == 32);
static_assert(offsetof(AgentBlockLayout, lease_over_ms) == 48);
static_assert(offsetof(AgentBlockLayout, pools) == 64);

struct StatusPageLayout {
  std::uint64_t magic;
  std::uint32_t sequence;
  std::uint32_t crc;
  std::uint16_t layout_min;
  std::uint16_t layout_max;
  std::uint32_t page_bytes;
  std::array<char, kNameBytes> pair;
  std::array<char, kNameBytes> node;
  std::uint64_t incarnation;
  std::array<std::uint8_t, 16> boot_id;
  std::uint8_t phase;      // BootPhase
  std::uint8_t handshake;  // HandshakeState
  std::uint8_t trouble;    // bits: kTroubleNoKey and so on
  std::uint8_t zero_a;
  std::uint32_t pace_us;         // between two of the CCM's beats
  std::uint64_t phase_since_ms;  // how long the node has been in this phase
  Nonce nonce;
  std::uint64_t ccm_beat;
  std::uint64_t proof_for_incarnation;  // whose nonce `proof` is over; 0: none
  Mac proof;
  // Under the session key, of bytes 16 to 751 with zeros for itself, and of the digest of the rest; zero while there is
  // no session.
  ShortMac page_mac;
  std::array<std::uint8_t, 16> zero_b;
  std::array<ClientSlotLayout, kMaxClients> clients;
  AgentBlockLayout agent;
  SessionBlockLayout session;
  PoisonAnswerLayout poison;
  std::array<std::uint8_t, kPageBytes - 2320> zero_c;
};
static_assert(sizeof(StatusPageLayout) == kPageBytes);
static_assert(offsetof(StatusPageLayout, layout_min) == 16);
static_assert(offsetof(StatusPageLayout, pair) == 24);
static_assert(offsetof(StatusPageLayout, incarnation) == 88);
static_assert(offsetof(StatusPageLayout, boot_id) == 96);
static_assert(offsetof(StatusPageLayout, phase) == 112);
static_assert(offsetof(StatusPageLayout, trouble) == 114);
static_assert(offsetof(StatusPageLayout, phase_since_ms) == 120);
static_assert(offsetof(StatusPageLayout, nonce) == 128);
static_assert(offsetof(StatusPageLayout, ccm_beat) == 160);
static_assert(offsetof(StatusPageLayout, proof_for_incarnation) == 168);
static_assert(offsetof(StatusPageLayout, proof) == 176);
static_assert(offsetof(StatusPageLayout, page_mac) == 208);
static_assert(offsetof(StatusPageLayout, clients) == 240);
static_assert(offsetof(StatusPageLayout, agent) == 752);
static_assert(offsetof(StatusPageLayout, session) == 1840);
static_assert(offsetof(StatusPageLayout, poison) == 2288);

inline constexpr std::size_t kStillFrom = offsetof(StatusPageLayout, agent);
inline constexpr std::size_t kStillBytes = kPageBytes - kStillFrom;

// The digest of the part of a page that seldom changes; made anew only where its bytes are others than the last time.
class StillDigest {
 public:
  const Digest& of(std::span<const std::byte, kPageBytes> page);

 private:
  std::array<std::byte, kStillBytes> bytes_{};
  std::optional<Digest> digest_;
};

// What a reader can rely on, parsed. `authenticated` is set by whoever checked the MAC.
struct ClientView {
  std::string name;
  std::uint64_t beat = 0;
  std::uint64_t life = 0;
  Duration pace{};
  ClientState state = ClientState::none;
  std::uint64_t completed = 0;
  std::uint32_t outstanding = 0;
  Duration stall_limit{};  // zero: it tells no progress
};

enum class PageError : std::uint8_t {
  torn,           // odd sequence or a CRC that does not match: read again
  not_a_page,     // no magic: nothing was published there yet, or it is not hapair's
  no_layout,      // a hapair page, but no layout version in common
  malformed,      // whole, but a field has a value that no version defines
  not_authentic,  // whole and readable, but without the MAC of the session that both are in
};
std::string_view text_of(PageError error);

// The part of a page that the CCM itself needs. Every field of the page was checked as for a StatusView, but nothing is
// allocated: this is what runs at every read.
struct StatusHead {
  PairName pair;
  NodeName node;
  Incarnation incarnation;
  BootId boot_id;
  BootPhase phase = BootPhase::unknown;
  Duration phase_since{};
  std::uint8_t trouble = 0;
  HandshakeState handshake = HandshakeState::searching;
  Duration pace{};
  Nonce nonce{};
  std::uint64_t ccm_beat = 0;
  Incarnation proof_for;
  Mac proof{};
};
// The whole of it, for those who decide.
struct StatusView : StatusHead {
  std::vector<ClientView> clients;  // registered, gone and left ones; free slots are skipped
  AgentBlockLayout agent{};         // as it came: agent/core reads it with its own checks
};

// Magic, sequence and CRC tell that all of the page was read as it was at one moment.
bool page_is_whole(std::span<const std::byte, kPageBytes> bytes);

std::expected<StatusHead, PageError> parse_status_head(std::span<const std::byte> bytes);

// Checks magic, sequence, CRC and every field; `bytes` must be kPageBytes long. No input is trusted.
std::expected<StatusView, PageError> parse_status_page(std::span<const std::byte> bytes);

// True where the page carries the MAC of `key`. `still`: of the pages that are read there.
bool page_is_authentic(std::span<const std::byte> bytes, StillDigest& still, const Key& key);

// The layouts that an unreadable page (PageError::no_layout) offers, for the message to the operator.
struct LayoutRange {
  std::uint16_t min = 0;
  std::uint16_t max = 0;
};
LayoutRange layouts_of(std::span<const std::byte> bytes);

// Owns the words of this node's page and writes them to shared memory so that every reader sees a whole page or knows
// that it does not. One writer; no allocation.
class StatusPublisher {
 public:
  // `memory` is kPageBytes long, outlives this object and is zero or an earlier page of this node.
  explicit StatusPublisher(std::span<std::byte> memory);
  StatusPageLayout& draft() { return draft_; }
  // Publishes the draft: MAC (where `session` is given), CRC, sequence. The beat is the caller's to advance.
  void publish(const std::optional<Key>& session);
  // Zeroes the page: what is read there afterwards is no page of this node any more.
  void withdraw();

 private:
  std::span<std::byte> memory_;
  StatusPageLayout draft_{};
  StillDigest still_;
  std::uint32_t sequence_ = 0;
};

template <std::size_t N>
void put_name(std::array<char, N>& field, std::string_view name) {
  field.fill('\0');
  const std::size_t n = name.size() < N ? name.size() : N - 1;
  for (std::size_t i = 0; i < n; ++i) field[i] = name[i];
}

// The text up to the first zero byte; a field without one is all text.
template <std::size_t N>
std::string_view name_in(const std::array<char, N>& field) {
  std::size_t n = 0;
  while (n < N && field[n] != '\0') ++n;
  return {field.data(), n};
}

}  // namespace hapair::ccm
