// The slots of this node's own mailbox that the partner writes, judged. Anyone who reaches the memory can write
// there: a record that does not carry the right MAC changes nothing but a counter, and that once, not once a poll.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "ccm/handshake/proof.h"
#include "ccm/wire/mailbox_page.h"
#include "ccm/wire/poison.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

enum class RefusalKind : std::uint8_t {
  key,        // a MAC or a proof that is not of the pair's key
  identity,   // another pair or node name
  layout,     // no layout version in common
  stale,      // a record for an older nonce or incarnation
  malformed,  // garbage
};
inline constexpr std::size_t kRefusalKinds = 5;
std::string_view text_of(RefusalKind kind);

// One occurrence of refused input; what the sender called itself is what it claimed, not who it is.
struct Refusal {
  RefusalKind kind = RefusalKind::malformed;
  PairName pair;
  NodeName node;
  LayoutRange layouts;
};

// At most what one event can bring: a page's fault, and one of each slot.
class RefusalList {
 public:
  static constexpr std::size_t kMax = 4;
  void add(const Refusal& refusal) {
    if (count_ < kMax) items_[count_++] = refusal;
  }
  [[nodiscard]] std::span<const Refusal> items() const { return {items_.data(), count_}; }

 private:
  std::array<Refusal, kMax> items_;
  std::size_t count_ = 0;
};

// Who this node is and whom it expects.
struct HandshakeIdentity {
  PairName pair;
  NodeName node;
  NodeName partner;
  Incarnation incarnation;
  BootId boot_id;
};

class HandshakeInbox {
 public:
  HandshakeInbox(const HandshakeIdentity& identity, const Key& pair_key) : identity_(identity), pair_key_(pair_key) {}

  // This node drew another nonce: what the slots hold was for the earlier one.
  void own_nonce_changed();
  // Another end took the partner's place: a "connected" counts only from the end that it names.
  void partner_changed();

  // A record for one of `past_nonces`, of this incarnation, is late and not wrong: it crossed the change of the nonce.
  void poll(std::span<const std::byte> mailbox, const Nonce& own_nonce, std::span<const Nonce> past_nonces,
            const HandshakeEnd* partner, const Key* session_key, RefusalList& refusals);

  // The order in the poison slot, each time it is another one. `partner` and `session_key` are those of the session
  // that stands; a record that is there before it waits for it. One whose serial is not above that of `newest`, the
  // last order taken from that CCM over any rail, is none, but for one that withdraws it.
  std::optional<PoisonOrder> poison(std::span<const std::byte> mailbox, const Nonce& own_nonce,
                                    std::span<const Nonce> past_nonces, const HandshakeEnd& partner,
                                    const Key& session_key, const PoisonOrder& newest, RefusalList& refusals);

  // The end that greeted this node's current nonce with the pair's key.
  [[nodiscard]] const std::optional<HandshakeEnd>& greeted_by() const { return greeted_by_; }
  // True once the current partner's "connected" under the session's key was seen.
  [[nodiscard]] bool confirmed() const { return confirmed_; }
  // The incarnation that greeted under another key, if the last greeting was one; 0: none did.
  [[nodiscard]] Incarnation wrong_key_of() const { return wrong_key_of_; }

 private:
  friend struct HandshakeInspector;  // tests

  struct Slot {
    std::array<std::byte, kRecordBytes> bytes{};
    bool settled = true;   // judged: these bytes say nothing more
    bool counted = false;  // counted as refused
    bool torn_before = false;
  };

  static bool changed(Slot& slot, std::span<const std::byte> now);
  void refuse(Slot& slot, RefusalKind kind, const RecordView& record, RefusalList& refusals);
  // The record of the slot where it is whole and of the pair's other node.
  std::optional<RecordView> read(Slot& slot, RecordKind kind, RefusalList& refusals);
  struct Nonces {
    const Nonce& own;
    std::span<const Nonce> past;
  };
  void judge_hello(const Nonces& nonces, RefusalList& refusals);
  void judge_connected(const Nonces& nonces, const HandshakeEnd* partner, const Key* session_key,
                       RefusalList& refusals);
  // False where the record is for another nonce or life of this node: nothing more is to be read in it.
  bool is_for_us(Slot& slot, const RecordView& record, const Nonces& nonces, RefusalList& refusals);

  HandshakeIdentity identity_;
  Key pair_key_;
  Slot hello_;
  Slot connected_;
  Slot poison_;
  std::optional<HandshakeEnd> greeted_by_;
  bool confirmed_ = false;
  Incarnation wrong_key_of_;
};

}  // namespace hapair::ccm
