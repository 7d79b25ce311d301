// The arbiter `corosync` around the engine: looks at its quorum, and what the engine's leases rest on besides them.
#pragma once

#include <systemd/sd-event.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/agent_config.h"
#include "agent/core/engine.h"
#include "agent/corosync/quorum_watch.h"
#include "agent/shell/event_source.h"
#include "ccm/base/time.h"
#include "ccm/client/client.h"

namespace hapair::agent {

class QuorumArbiter {
 public:
  struct Events {
    // Called from the loop, never from within a call to this object but watchdog_changed().
    std::function<void(const Event&)> step;
    // What keeps Corosync from its work is another sentence now; empty: nothing does.
    std::function<void(const std::string&)> trouble;
  };
  // `life`: of the agent.
  QuorumArbiter(sd_event* loop, const Clock& clock, const AgentConfig& config, std::uint64_t life, Events events);

  void look() { watch_.look(); }
  void watchdog_changed(const ccm::WatchdogStanding& standing, const std::optional<Instant>& fed_until);
  // Every second or so: a Corosync that hangs tells nothing by itself.
  void look_at_watch() { take(); }
  // A sentence each.
  [[nodiscard]] std::vector<std::string> troubles() const;
  // "quorate, 3 of 3 votes, ..."; empty: no look was completed yet.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void take();

  const Clock* clock_;
  Events events_;
  QuorumWatch watch_;
  LeaseGround ground_;  // as the engine was told
  std::string trouble_;
  std::string text_;
  EventSource news_;
};

}  // namespace hapair::agent
