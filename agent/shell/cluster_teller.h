// Tells Pacemaker what this node knows of its partner, by its own documented ways: `stonith_admin --reboot` has it
// fenced, `stonith_admin --confirm` says that it is down.
#pragma once

#include <functional>
#include <memory>

#include "agent/config/pool_config.h"
#include "agent/core/engine_events.h"
#include "agent/shell/process.h"
#include "ccm/base/ids.h"

namespace hapair::agent {

class ClusterTeller {
 public:
  using Done = std::function<void(const ClusterTold&)>;
  // `runner` and `config` outlive this. `done` is called once for each tell() that was not replaced by a later one.
  ClusterTeller(ProcessRunner& runner, const PacemakerConfig& config, const NodeName& partner, Done done);
  // One at a time: a later one, which knows more, ends the one before it.
  void tell(bool down);

 private:
  void answered(bool down, const ProcessResult& result);

  ProcessRunner* runner_;
  const PacemakerConfig* config_;
  std::string node_;
  Done done_;
  std::unique_ptr<RunningProcess> running_;
};

}  // namespace hapair::agent
