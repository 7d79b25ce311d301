// Runs start, stop and monitor of the configured resources: one action a resource at a time, resources beside each
// other. Which and when is the core's decision.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "agent/config/pool_config.h"
#include "agent/core/model.h"
#include "agent/shell/process.h"
#include "agent/shell/resource_call.h"

namespace hapair::agent {

class Resources {
 public:
  using Done = std::function<void(ResourceId, ResourceAction, ActionResult)>;

  // `runner` and `pools` outlive this. `done` is called from the loop, never from inside run(), and may call run().
  Resources(ProcessRunner& runner, const std::vector<PoolConfig>& pools, ResourcePlaces places, Done done);

  // Only while the resource is idle. `interval`: see call_of().
  void run(ResourceId id, ResourceAction action, Duration interval = Duration::zero());
  [[nodiscard]] bool idle(ResourceId id) const { return !running_.contains(id); }
  [[nodiscard]] std::size_t running() const { return running_.size(); }
  // Kills what runs for the resource; its result will not come. What it left behind is not known.
  void abandon(ResourceId id) { running_.erase(id); }
  // A process group of an earlier action of the resource that does not end. While it is there the resource is never
  // told to be stopped, whatever its agent says: a mount that hangs today succeeds when the disk answers again.
  void left_behind(ResourceId id, int group) { left_behind_[id].push_back(group); }

 private:
  void finished(ResourceId id, ResourceAction action, const ProcessResult& result);
  void doubt(ResourceId id, ResourceAction action, ActionResult& result);

  ProcessRunner* runner_;
  const std::vector<PoolConfig>* pools_;
  ResourcePlaces places_;
  Done done_;
  std::map<ResourceId, std::unique_ptr<RunningProcess>> running_;
  std::map<ResourceId, std::vector<int>> left_behind_;
};

}  // namespace hapair::agent
