// The handshake of one rail: the four steps of DESIGN.md, section 3, and the watch over the session they lead to. Pure:
// every call is (now, event) and returns what its shell shall do; there is no clock, descriptor, thread or log here,
// and no allocation after construction.
//
//   1 read   the partner's status page: its incarnation, boot id and nonce          (`partner_`)
//   2 write  "hello" into its mailbox, with a MAC of the pair's key over both nonces
//   3 read   again: its page proves, over this node's nonce, that it runs, saw the hello and holds the key
//   4 write  "connected" with a MAC of the session's key
// The other node does the same. Connected means that both directions are complete: this node's step 4 was written, and
// the partner's hello and its "connected" were seen, all for the current nonces and incarnations.
//
// Nonces: a node draws a fresh one at its start and whenever it fails or loses its connection. When the *partner's*
// incarnation or nonce changes, this node goes back to step 1 with the nonce it has: if both drew, they would chase
// each other for ever. Since at least one nonce is new, no two sessions share a key.
//
// The shell feeds every event of the fabric as it comes, then calls `tick` with the bytes of its own mailbox at the end
// of each round of its loop, at the latest at `next_wake()`. It carries out an output before it feeds the next event.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "ccm/base/random.h"
#include "ccm/base/time.h"
#include "ccm/handshake/inbox.h"
#include "ccm/handshake/proof.h"

namespace hapair::ccm {

struct HandshakeSettings {
  Duration pace{};                // between two reads while connected; the longest wait between two attempts
  Duration operation_deadline{};  // an operation or attempt without an answer for this long ends the connection
};

enum class SessionEnd : std::uint8_t {
  partner_restarted,  // its page shows another incarnation
  partner_renewed,    // the same incarnation with another nonce: it lost the connection itself
  not_the_partner,    // the page at the partner's address is no longer the partner's
  connection_lost,    // the fabric says so, or an operation failed
  deadline,           // an operation had no answer within the deadline
};
std::string_view text_of(SessionEnd end);

struct RefusalCounters {
  std::uint64_t key = 0;
  std::uint64_t identity = 0;
  std::uint64_t layout = 0;
  std::uint64_t stale = 0;
  std::uint64_t malformed = 0;
  PairName foreign_pair;  // what the last refused identity called itself
  NodeName foreign_node;
  LayoutRange foreign_layouts;  // of the last page without a layout in common
};

// What to think of the page that was just read.
struct PageJudgement {
  bool readable = false;  // false: bytes came, but they are no page of the partner
  PageError error = PageError::malformed;
  PageProof proof = PageProof::none;
};

struct RecordWrite {
  std::size_t offset = 0;  // into the partner's mailbox
  std::array<std::byte, kRecordBytes> bytes{};
};

struct HandshakeOutput {
  std::optional<FabricError> drop;  // end the connection or attempt first; the value says why
  bool connect = false;
  bool read = false;  // the partner's whole status page
  std::optional<RecordWrite> write;
  bool publish = false;                 // nonce, state, proof or session changed: the partner must see it now
  std::optional<Duration> established;  // a session began; how long since both pages had been seen
  std::optional<SessionEnd> ended;
  std::optional<PageJudgement> page;  // answer to page()
  RefusalList refusals;               // new ones, for the log; the counters have them already
};

class Handshake {
 public:
  // `random` outlives this object; it gives nonces and jitter.
  Handshake(const HandshakeIdentity& identity, const HandshakeSettings& settings, const Key& pair_key, Random& random);

  // The shell beats at `now`, and ticks in the same round: a read of a session that is due soon comes with the beat,
  // one that the beats do not fetch comes a little late.
  void beat(Instant now);
  // `mailbox` is this node's own mailbox page.
  HandshakeOutput tick(Instant now, std::span<const std::byte> mailbox);
  HandshakeOutput connected(Instant now);
  HandshakeOutput not_connected(Instant now, FabricError error);
  HandshakeOutput lost(Instant now, FabricError error);
  // `still`: of the pages that are read over this rail; it only spares work.
  HandshakeOutput page(Instant now, std::span<const std::byte> bytes, StillDigest& still);
  HandshakeOutput page_failed(Instant now, FabricError error);
  // The shell reads the page by two operations: the second was posted when the first was done, and has the deadline of
  // one for itself.
  void read_goes_on(Instant now);
  HandshakeOutput write_done(Instant now, FabricError error);

  // Poison, over the session that stands: gives the partner that order, at the next tick(); nothing where
  // there is no session. It is written once a call, and lost with the session.
  void give_poison(const PoisonWrite& order) {
    if (session_) poison_to_give_ = order;
  }
  // The partner's order in this node's own mailbox; `newest` as HandshakeInbox has it.
  std::optional<PoisonOrder> take_poison(std::span<const std::byte> mailbox, const PoisonOrder& newest,
                                         RefusalList& refusals);

  // When tick() has something to do by itself; nothing while only the fabric can bring news.
  [[nodiscard]] std::optional<Instant> next_wake() const;

  // For the status page.
  [[nodiscard]] HandshakeState state() const;
  [[nodiscard]] const Nonce& nonce() const { return own_.nonce; }
  [[nodiscard]] const Mac& proof() const { return proof_; }
  [[nodiscard]] Incarnation proof_for() const { return proof_for_; }
  [[nodiscard]] const std::optional<Key>& session() const { return session_; }

  [[nodiscard]] const std::optional<HandshakeEnd>& partner() const { return partner_; }
  [[nodiscard]] const RefusalCounters& refused() const { return refused_; }

 private:
  friend struct HandshakeInspector;  // tests

  enum class Link : std::uint8_t {
    idle,        // no connection, no attempt, nothing outstanding
    connecting,  // connect() was asked for and not answered
    up,
    draining,  // given up; the fabric still owes completions
  };

  // What is done between this node's current nonce and the partner's current end.
  struct Round {
    Instant seen_at;     // the partner's page was first read
    Instant greeted_at;  // its hello to this nonce was first seen, with that page known
    bool greeted = false;
    bool hello_posted = false;
    bool hello_written = false;
    bool proof_seen = false;
    bool connected_posted = false;
    bool connected_written = false;
    bool partner_in_session = false;  // its page has carried the session's MAC
    bool proof_wrong = false;
    bool mac_wrong = false;
    Mac partner_proof{};
    Instant rewrite_at;  // a late stale write may have covered our record: it is written again from then on
  };
  struct PendingWrite {
    RecordKind kind = RecordKind::hello;
    std::uint64_t round = 0;
    Instant posted;
  };
  struct PageFault {
    RefusalKind kind = RefusalKind::malformed;
    PairName pair;
    NodeName node;
    LayoutRange layouts;
    bool operator==(const PageFault& other) const {
      return kind == other.kind && pair == other.pair && node == other.node && layouts.min == other.layouts.min &&
             layouts.max == other.layouts.max;
    }
  };
  // What the partner was last told by this node's page.
  struct Published {
    HandshakeState state = HandshakeState::searching;
    std::uint64_t round = 0;
    bool proof = false;
    bool session = false;
    bool operator==(const Published&) const = default;
  };

  void draw_nonce();
  void begin_round();
  void forget_partner();
  void adopt_partner(Instant now, const HandshakeEnd& end, HandshakeOutput& out);
  void end_session(SessionEnd why, HandshakeOutput& out);
  void fail_link(Instant now, SessionEnd why, std::optional<FabricError> drop, HandshakeOutput& out);
  void give_up_attempt(Instant next, FabricError why, HandshakeOutput& out);
  void drained();
  void progress(Instant now);
  Duration next_wait();
  [[nodiscard]] bool refusing() const;

  void count(const Refusal& refusal);
  PageJudgement page_is_no_page(std::span<const std::byte> bytes, PageError error, HandshakeOutput& out);
  PageJudgement foreign_page(const PageFault& fault, PageError error, HandshakeOutput& out);
  void look_at_proof(Instant now, const StatusHead& head, HandshakeOutput& out);
  PageJudgement judge_mac(bool authentic, const StatusHead& head, HandshakeOutput& out);

  void advance(Instant now, HandshakeOutput& out);
  void answer_greeting(Instant now);
  void establish_if_complete(Instant now, HandshakeOutput& out);
  void enforce_deadline(Instant now, HandshakeOutput& out);
  void write_if_due(Instant now, HandshakeOutput& out);
  [[nodiscard]] RecordWrite poison_record(const PoisonWrite& order) const;
  void read_if_due(Instant now, HandshakeOutput& out);
  HandshakeOutput finish(HandshakeOutput out);

  HandshakeIdentity identity_;
  HandshakeSettings settings_;
  Key pair_key_;
  Random* random_;
  HandshakeEnd own_;
  HandshakeInbox inbox_;

  Link link_ = Link::idle;
  bool attempt_out_ = false;
  std::optional<Instant> read_out_;
  std::optional<PendingWrite> write_out_;
  Instant attempt_at_;
  Instant next_connect_;
  Instant next_read_;
  Duration slack_{};  // an attempt may come this much early, a read this much late, so that it falls on a beat

  std::optional<HandshakeEnd> partner_;
  std::uint64_t round_number_ = 0;
  Round round_;
  std::optional<Key> round_key_;  // the session's key, if this round completes
  std::optional<Key> session_;
  Mac proof_{};
  Incarnation proof_for_;
  std::optional<PageFault> page_fault_;
  Mac refused_proof_{};
  static constexpr std::size_t kPastNonces = 8;
  std::array<Nonce, kPastNonces> past_nonces_{};  // a proof over one of these, or a record for it, is late, not wrong
  std::size_t next_past_nonce_ = 0;

  int quick_left_ = 0;
  Duration wait_{};
  std::optional<PoisonWrite> poison_to_give_;
  Published published_;
  RefusalCounters refused_;
};

}  // namespace hapair::ccm
