// Which of the blocks that the partner's agent publishes are handed to the engine: those of its pages, read over the
// rails, and, where the rails give none, those that stand beside its beats on the mailbox disks (ccm/wire/notice.h).
// Pure; it is told of everything in the order in which this node's CCM came to know it.
//
// Why a block that is read from a disk makes no second owner. The engine's argument (ARCHITECTURE.md) is about states,
// not messages: an offer, a request or an answer counts whenever it is read, by whatever way, as long as what the
// engine is told of the partner never goes back in time. So all that this class has to see to is that no block is
// handed on that was current only before one that was handed on already, or that was read, or before an order that says
// that nothing from before it counts. Both ways copy the same words: a beat on the disk carries what the partner's CCM
// shows on its pages in that very beat. Each reading bounds when its block was current, by this node's own clock:
//   a page     at an instant from the posting of its read (`from`) up to its completion (`until`)
//   a notice   at an instant from `from`, when this node sent the beat that the notice's beat answers (under the pair's
//              key, to this life of this node's CCM and within a second: ccm/network/beat_exchange.h), up to `until`.
//              So what stands on a disk from an earlier life of the sender, or is a recording, never comes so far.
// and where both are of one life of the partner's CCM, its beat orders them, for the copies are made with the beats.
// Hence:
//  - A notice counts only where `from` is after `until` of the last page that the session sealed. It was current after
//    everything that a page has told. A read of the disk that was under way when the rails fell silent, or began before
//    the last page came, is refused by that, however long the disk kept it.
//  - Of two notices the second counts only with a later beat of the same life of the CCM, or, in another life, where it
//    was made after this node had the first. Several disks, of which one is slow, are several ways for one such row.
//  - A page that comes after a notice has come counts unless it may be older: of the same life with an earlier beat; or
//    of another life and its read posted before the notice came. The rails win in everything else: where their pages
//    are read no notice counts.
//  - Only notices of the life of the partner's kernel that a page has shown count. What a reboot proves, and what this
//    node must know of a partner that asks after one (Engine::may_answer), rests on pages alone.
//  - Poison: nothing counts that may have been current only before this node's CCM took the partner's order, a notice
//    by `from` as a page is.
// Besides, the engine refuses a lower serial of the same life of the agent, whatever the way.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/names.h"
#include "ccm/wire/status_page.h"

namespace hapair::agent {

// Where and when a block was read.
struct BlockReading {
  Incarnation incarnation;  // of the CCM that published it
  std::uint64_t ccm_beat = 0;
  BootId boot_id;
  Instant from;   // it was current at an instant from this one
  Instant until;  // up to this one
};

// Beside a notice: what its beat told of the agent whose block it is.
struct AgentBeat {
  ccm::ClientState state = ccm::ClientState::none;
  std::uint64_t beat = 0;
  std::uint64_t life = 0;  // of its registration
};

enum class NoticeFate : std::uint8_t {
  handed_on,
  nothing_new,    // the block that the engine has
  rails_tell,     // the rails are not silent
  no_page,        // no page of the partner was read in this life of this agent, or not of that life of its kernel
  before_page,    // it may be older than what a page told
  before_poison,  // or than the partner's order to stop every pool
  out_of_order,   // older than the last notice, or it may be
};
inline constexpr std::size_t kNoticeFates = 7;
std::string_view text_of(NoticeFate fate);

class PartnerBlocks {
 public:
  // The partner's agent counts as heard for so long after its beat was seen to move on a disk.
  explicit PartnerBlocks(Duration heard_for) : heard_for_(heard_for) {}

  // A page with the session's MAC. True: its block is to be handed on.
  bool take_page(const BlockReading& reading, const ccm::AgentBlockLayout& block);
  // A notice that the CCM let count. `rails_silent`: by the verdict the rails are, and the partner runs.
  NoticeFate take_notice(const BlockReading& reading, const AgentBeat& agent, const ccm::AgentBlockLayout& block,
                         bool rails_silent);
  // The CCM has taken the partner's order at that time, be it of an earlier life of this agent.
  void poisoned_at(Instant at) { poisoned_at_ = at; }
  // What was handed on is forgotten, and handed on again where it is read again.
  void forget_told() { told_serial_ = told_life_ = 0; }
  [[nodiscard]] bool has_told(const ccm::AgentBlockLayout& block) const {
    return block.serial == told_serial_ && block.agent_life == told_life_;
  }
  // The partner's agent is heard over a disk: what it publishes there is as it is now.
  [[nodiscard]] bool agent_heard(Instant now, bool rails_silent) const;
  [[nodiscard]] std::uint64_t count(NoticeFate fate) const { return fates_.at(static_cast<std::size_t>(fate)); }

 private:
  [[nodiscard]] bool may_be_older_than_notice(const BlockReading& page) const;
  [[nodiscard]] std::optional<NoticeFate> refusal(const BlockReading& reading, bool rails_silent) const;
  bool hand_on(const ccm::AgentBlockLayout& block);

  Duration heard_for_;
  std::optional<BlockReading> page_;    // the newest that the session sealed
  std::optional<BlockReading> notice_;  // the last that counted
  AgentBeat agent_;                     // of that
  std::optional<Instant> agent_moved_;
  Instant poisoned_at_ = Instant::min();
  std::uint64_t told_serial_ = 0;
  std::uint64_t told_life_ = 0;
  std::array<std::uint64_t, kNoticeFates> fates_{};
};

}  // namespace hapair::agent
