// The ownership of all pools on the mailbox disks that decide it: a thread a disk (ownership_disk.h), a ballot and the
// looks of each pool (agent/core/ownership_ballot.h, ownership_look.h). It decides nothing: what is proposed, and what
// an outcome means, is its caller's.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/core/model.h"
#include "agent/core/ownership_ballot.h"
#include "agent/core/ownership_look.h"
#include "agent/shell/event_source.h"
#include "agent/shell/ownership_disk.h"
#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "ccm/wire/mac.h"
#include "ccm/wire/mailbox_disk.h"

namespace hapair::agent {

struct OwnershipDisksSettings {
  std::vector<std::string> devices;  // one or three (deciding_disks), in the order of the configuration
  ccm::DiskPair of;
  std::vector<PoolName> pools;  // likewise; at most kMaxPools
  ccm::Key pair_key;
  std::uint64_t life = 0;  // of this program: random, never 0
  Duration disk_deadline{};
  Duration patience{};             // of a proposal; several disk_deadlines, for a ballot asks each disk several times
  Duration backoff{};              // several times what a ballot takes
  std::shared_ptr<const Fd> lock;  // see OwnershipDiskSettings
};

class OwnershipDisks {
 public:
  // Called from the loop, never from within a call to this object.
  struct Events {
    std::function<void(PoolIndex, const BallotOutcome&)> outcome;
    std::function<void(PoolIndex)> seen;  // a disk's slots of the pool were read: newest_look() may be newer
  };
  OwnershipDisks(sd_event* loop, const OwnershipDisksSettings& settings, Events events);
  OwnershipDisks(const OwnershipDisks&) = delete;
  OwnershipDisks& operator=(const OwnershipDisks&) = delete;
  ~OwnershipDisks();

  // See OwnershipBallot::begin(). Not while busy().
  void begin(PoolIndex pool, const std::optional<Proposal>& proposal);
  [[nodiscard]] bool busy(PoolIndex pool) const;
  // Reads the pool's slots on each disk where no look at it is under way.
  void look(PoolIndex pool);
  // See OwnershipLook::newest().
  [[nodiscard]] std::optional<CompleteLook> newest_look(PoolIndex pool, const ccm::OwnershipDecision& mine) const;
  [[nodiscard]] const ccm::OwnershipDecision& decided(PoolIndex pool) const;
  // Of each disk, in their order; see OwnershipDisk::area().
  [[nodiscard]] std::vector<std::optional<ccm::DiskAreaId>> areas() const;
  // What keeps disks from their work, a sentence each.
  [[nodiscard]] std::vector<std::string> troubles() const;

 private:
  struct Pool {
    OwnershipBallot ballot;
    OwnershipLook look;
    std::array<bool, ccm::kMaxOwnershipDisks> looking{};  // a look is out at the disk
    std::optional<BallotOutcome> outcome;                 // to be told in the loop's next turn
  };
  void answered(std::size_t disk, const DiskAnswer& answer);
  void carry_out(PoolIndex pool, const BallotOutput& out);
  void watch_deadlines();
  void tell_outcomes();
  static int on_deadline(sd_event_source* source, std::uint64_t at, void* context);
  static int on_outcomes(sd_event_source* source, void* context);

  sd_event* loop_;
  Events events_;
  std::vector<Pool> pools_;
  std::vector<std::unique_ptr<OwnershipDisk>> disks_;
  EventSource timer_;
  EventSource outcomes_;
};

}  // namespace hapair::agent
