// Tells the cluster what this node knows of its partner, by its own documented ways: Corosync is to look who is there
// (MembershipLook), `stonith_admin --reboot` has the partner fenced, `stonith_admin --confirm` says that it is down.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "agent/config/pool_config.h"
#include "agent/core/engine_events.h"
#include "agent/shell/membership_look.h"
#include "agent/shell/process.h"
#include "ccm/base/ids.h"

namespace hapair::agent {

class ClusterTeller {
 public:
  using Done = std::function<void(const ClusterTold&)>;
  // What `parts` points to outlives this. `done` is called for the look, where it is configured, and then for a word
  // that is more than that, unless a later one has taken its place.
  ClusterTeller(const MembershipLook::Parts& parts, const NodeName& partner, Done done,
                MembershipLook::Trouble trouble);
  // At the agent's start.
  void take_up();
  // One at a time: a later one, which knows more, ends the one before it. Where Corosync is to look, that comes first:
  // Pacemaker's own messages wait while it waits for its token.
  void tell(ClusterWord word);

 private:
  void looked(const std::string& said, Duration took);
  void say(ClusterWord word);
  void answered(ClusterWord word, const ProcessResult& result);

  ProcessRunner* runner_;
  const PacemakerConfig* config_;
  std::string node_;
  Done done_;
  MembershipLook look_;
  std::optional<ClusterWord> word_;  // when the look is over
  std::unique_ptr<RunningProcess> running_;
};

}  // namespace hapair::agent
