// The proof, a value in code, without which no resource of a pool is started. Its constructor is private: a start
// without a permit does not compile. Each maker checks what it rests on and answers nothing where the proof is not
// whole.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "agent/core/model.h"
#include "agent/core/partner_view.h"
#include "ccm/base/ids.h"

namespace hapair::agent {

enum class PermitKind : std::uint8_t {
  released,  // the owner stopped the pool and said so, or says that it neither has nor claims it
  fenced,    // a fence method confirmed that the partner is down
  held,      // no takeover: this node held it already, in this very life of its kernel, and never gave it up
};
std::string_view text_of(PermitKind kind);

class TakeoverPermit {
 public:
  // The partner's page says that it is the owner, has stopped the pool, and offers it.
  static std::optional<TakeoverPermit> from_release(const PoolDurable& mine, const PartnerPool& partner);

  // The partner answered this node's question: its publication has taken `asked_serial` of this node's life into
  // account, and it neither owns nor claims nor starts the pool. From then on it knows that this node may have it, so
  // it cannot start it without a proof of its own.
  static std::optional<TakeoverPermit> from_disclaimer(const PoolDurable& mine, const PartnerPool& partner,
                                                       const PartnerView& view, std::uint64_t own_life,
                                                       std::uint64_t asked_serial);

  // `durable` is what is on disk by now: the claim must be there before the fence was asked for.
  static std::optional<TakeoverPermit> from_fence(const PoolDurable& durable, const FenceReport& report);

  // `durable` says that this node owns the pool, and was written in the life of the kernel that still runs.
  static std::optional<TakeoverPermit> from_possession(const DurableState& durable, const PoolName& pool,
                                                       const NodeName& self, const BootId& boot_id);

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
