// The proof, a value in code, without which no resource of a pool is started. Its constructor is private: a start
// without a permit does not compile. Each maker checks what it rests on and answers nothing where the proof is not
// whole.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/core/model.h"
#include "agent/core/partner_view.h"
#include "agent/core/quorum_lease.h"
#include "ccm/base/ids.h"
#include "ccm/wire/ownership_slot.h"
#include "heartbeat/sighting.h"

namespace hapair::agent {

enum class PermitKind : std::uint8_t {
  released,  // the owner stopped the pool and said so, or says that it neither has nor claims it
  fenced,    // a fence method confirmed that the partner is down
  rebooted,  // after the claim was durable, the partner was seen in a later life of its kernel, before its storage
  held,      // no takeover: this node held it already, in this very life of its kernel, and never gave it up
  ordered,   // the cluster promoted it here, and the partner is not heard: the cluster has had it stopped or fenced
  expired,   // since this node's claim is decided, or it has quorum alone, the owner's lease must have run out
};
std::string_view text_of(PermitKind kind);

// The partner, which held the pool by `durable`, is seen in a later life of its kernel and before its storage there.
bool rebooted_since(const PoolDurable& durable, const NodeName& partner, const heartbeat::Sighting& seen);

class TakeoverPermit {
 public:
  // The partner says that it is the owner, has stopped the pool, and offers it: on its page, or, while no page is read,
  // over `channel` (partner_blocks.h), which here as below is only told.
  static std::optional<TakeoverPermit> from_release(const PoolDurable& mine, const PartnerPool& partner,
                                                    std::string_view channel = {});

  // The partner answered this node's question: its publication has taken `asked_serial` of this node's life into
  // account, and it neither owns nor claims nor starts the pool. From then on it knows that this node may have it, so
  // it cannot start it without a proof of its own.
  static std::optional<TakeoverPermit> from_disclaimer(const PoolDurable& mine, const PartnerPool& partner,
                                                       const PartnerView& view, std::uint64_t own_life,
                                                       std::uint64_t asked_serial, std::string_view channel = {});

  // `durable` is what is on disk by now: the claim must be there before the fence was asked for.
  static std::optional<TakeoverPermit> from_fence(const PoolDurable& durable, const FenceReport& report);

  // `durable` is what is on disk by now: the claim, and in which life of its kernel the partner held the pool. `seen`
  // is a page with the session's MAC, read after that (`claimed_at`).
  //
  // Why it is a proof, without a fence:
  //  - Another boot id: the kernel under which the pool ran is gone, and everything that it had started with it. An
  //    incarnation would not do: a CCM restarts on a node that serves on.
  //  - In its new life the partner holds nothing (from_possession is bound to the boot id) and must have a permit
  //    of its own. By a release it would need an offer of this node's, and the record says that the partner is the
  //    owner. By an answer it would need this node's, and this node gives none to a life of the partner's kernel before
  //    its record names that life as `partner_boot` (Engine::may_answer): then it is not another boot id any more. By a
  //    fence this node would be off. By a reboot of this node: its record would have to name an older life of this
  //    node.
  //  - `partner_boot` is forgotten when this node itself boots, so nothing rests on what it knew before it was away.
  //  - The phase is one before the partner may touch a shared disk. That is a second line: the three above hold in any
  //    phase. `unknown` is none: it is what a CCM says that knows nothing of its node.
  //  - `panicked` counts too: it is published by a crash kernel, under its own boot id. The kernel that served runs no
  //    instruction any more, nor does any agent; what may be left are disk writes which it had handed to an adapter.
  //    The crash kernel resets its devices as it starts (reset_devices) and gets so far only seconds after the panic,
  //    the same that is relied on where kdump's message counts as a fence (fence_kdump). And a fence would end the
  //    dump.
  static std::optional<TakeoverPermit> from_reboot(const PoolDurable& durable, const NodeName& partner,
                                                   const heartbeat::Sighting& seen, Instant claimed_at);

  // Of arbiter pacemaker. `durable` is what is on disk by now: the claim. `not_heard`: the verdict under which the
  // partner cannot be asked. It is the one proof that is the word of another system: Pacemaker promotes a clone where
  // no other instance is promoted, and where it cannot know that, it has that node fenced first. That holds with
  // fencing enabled, which the resource agent asks for before it starts. A partner that is heard is asked instead
  // (from_disclaimer, from_release), so of two that can speak to each other none takes the cluster's word against the
  // other's.
  static std::optional<TakeoverPermit> from_order(const PoolDurable& durable, std::string_view not_heard);

  // `durable` says that this node owns the pool, and was written in the life of the kernel that still runs.
  static std::optional<TakeoverPermit> from_possession(const DurableState& durable, const PoolName& pool,
                                                       const NodeName& self, const BootId& boot_id);

  // `durable` is what is on disk by now: the claim, and that the owner serves under a lease and for how long. The
  // mailbox disks decided for this node at `decided_at` or before, after the claim was durable. Why it is a proof:
  // agent/core/lease.h.
  static std::optional<TakeoverPermit> from_expiry(const PoolDurable& durable, const NodeName& partner,
                                                   const ccm::OwnershipDecision& decided, Instant decided_at,
                                                   Instant now);

  // Likewise of Corosync's quorum. `durable` is what is on disk since before the vigil began, and `vigil` was not
  // broken at its newest look. Why it is a proof: agent/core/quorum_lease.h.
  static std::optional<TakeoverPermit> from_quorum(const PoolDurable& durable, const NodeName& partner,
                                                   const QuorumVigil& vigil);

  [[nodiscard]] PermitKind kind() const { return kind_; }
  // The epoch under which the pool may be started, once it is durable.
  [[nodiscard]] Epoch epoch() const { return epoch_; }
  [[nodiscard]] const PoolName& pool() const { return pool_; }
  [[nodiscard]] const std::string& proof() const { return proof_; }  // a sentence for the operator

 private:
  TakeoverPermit(PermitKind kind, PoolName pool, Epoch epoch, std::string proof)
      : kind_(kind), pool_(pool), epoch_(epoch), proof_(std::move(proof)) {}

  PermitKind kind_;
  PoolName pool_;
  Epoch epoch_;
  std::string proof_;
};

}  // namespace hapair::agent
