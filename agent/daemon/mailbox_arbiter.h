// The arbiter `mailbox` around the engine: the mailbox disks, and what the engine's leases rest on besides them.
#pragma once

#include <systemd/sd-event.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/agent_config.h"
#include "agent/core/engine.h"
#include "agent/shell/ownership_disks.h"
#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "ccm/client/client.h"
#include "ccm/wire/mac.h"

namespace hapair::agent {

class MailboxArbiter {
 public:
  struct Parts {
    std::uint64_t life = 0;  // of the agent
    ccm::Key pair_key{};
    std::shared_ptr<const Fd> lock;  // of state_dir; see OwnershipDiskSettings
  };
  // `step` is called from the loop, never from within a call to this object but watchdog_changed(). `mine`:
  // Engine::lease_decision.
  MailboxArbiter(sd_event* loop, const AgentConfig& config, Parts parts, std::function<void(const Event&)> step,
                 std::function<const std::optional<ccm::OwnershipDecision>&(PoolIndex)> mine);

  void run(const RunBallot& command);
  void look(PoolIndex pool) { disks_->look(pool); }
  void watchdog_changed(const ccm::WatchdogStanding& standing, const std::optional<Instant>& fed_until);
  // Every second or so: which areas the disks have is found out by reading them.
  void look_for_areas();
  [[nodiscard]] std::vector<std::string> troubles() const { return disks_->troubles(); }

 private:
  void seen(PoolIndex pool);

  std::function<void(const Event&)> step_;
  std::function<const std::optional<ccm::OwnershipDecision>&(PoolIndex)> mine_;
  ccm::SystemRandom random_;
  LeaseGround ground_;  // as the engine was told
  std::unique_ptr<OwnershipDisks> disks_;
};

// How long one request may take before its disk counts as silent, so that several fit into a lease.
Duration disk_deadline(const AgentConfig& config);

}  // namespace hapair::agent
