#include "agent/shell/resources.h"

#include <sys/stat.h>

#include <utility>

#include "agent/shell/process_table.h"
#include "ccm/base/check.h"

namespace hapair::agent {

Resources::Resources(ProcessRunner& runner, const std::vector<PoolConfig>& pools, ResourcePlaces places, Done done)
    : runner_(&runner), pools_(&pools), places_(std::move(places)), done_(std::move(done)) {}

void Resources::run(ResourceId id, ResourceAction action, Duration interval) {
  HAPAIR_CHECK(id.pool < pools_->size() && id.resource < (*pools_)[id.pool].resources.size(), "a configured resource");
  HAPAIR_CHECK(idle(id), "one action a resource at a time");
  // systemd-tmpfiles makes it where there is one; an agent that finds it missing says something else. Its absence shows
  // in the agent's own answer.
  ::mkdir(places_.scratch_dir.c_str(), 0755);
  const PoolConfig& pool = (*pools_)[id.pool];
  running_[id] = runner_->run(call_of(pool, pool.resources[id.resource], action, interval, places_),
                              [this, id, action](const ProcessResult& result) { finished(id, action, result); });
}

void Resources::finished(ResourceId id, ResourceAction action, const ProcessResult& result) {
  const auto it = running_.find(id);
  HAPAIR_CHECK(it != running_.end(), "an abandoned action has no result");
  running_.erase(it);
  if (result.left_behind != 0) left_behind(id, result.left_behind);
  ActionResult meaning = meaning_of((*pools_)[id.pool].resources[id.resource], action, result);
  doubt(id, action, meaning);
  done_(id, action, meaning);
}

void Resources::doubt(ResourceId id, ResourceAction action, ActionResult& result) {
  const auto groups = left_behind_.find(id);
  if (groups == left_behind_.end()) return;
  std::erase_if(groups->second, [](int group) { return !group_lives(group); });
  if (groups->second.empty()) {
    left_behind_.erase(groups);
    return;
  }
  const bool stopped = (action == ResourceAction::stop && result.outcome == ActionOutcome::succeeded) ||
                       result.outcome == ActionOutcome::not_running;
  if (!stopped) return;
  result.outcome = ActionOutcome::failed;
  result.reason = "the agent says that it is stopped, but a process of an earlier action (group " +
                  std::to_string(groups->second.front()) +
                  ") hangs in the kernel and may still start it; repair the disk that it waits for, or reset this node";
}

}  // namespace hapair::agent
