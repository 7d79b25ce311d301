#include "agent/shell/alert_agents.h"

#include <utility>

#include "agent/shell/pair_alerts.h"
#include "agent/shell/process_table.h"

namespace hapair::agent {

AlertAgents::AlertAgents(ProcessRunner& runner, const std::vector<AlertAgentConfig>& configs, std::string version,
                         Trouble trouble)
    : runner_(&runner),
      configs_(&configs),
      version_(std::move(version)),
      trouble_(std::move(trouble)),
      agents_(configs.size()) {}

void AlertAgents::send(const ClusterAlert& alert) {
  ++sequence_;
  for (std::size_t i = 0; i < agents_.size(); ++i) {
    Agent& agent = agents_[i];
    if (agent.waiting.size() >= kAlertsWaiting) {
      fail(i, std::to_string(kAlertsWaiting) + " alerts wait for it already: what comes now is dropped");
      continue;
    }
    agent.waiting.push_back({alert, sequence_});
    if (!agent.running) run_next(i);
  }
}

void AlertAgents::run_next(std::size_t index) {
  Agent& agent = agents_[index];
  if (agent.waiting.empty()) return;
  if (agent.left_behind != 0 && group_lives(agent.left_behind)) {
    agent.waiting.clear();
    return fail(index, "it still hangs in the kernel since it was called last, and is not called meanwhile");
  }
  agent.left_behind = 0;
  const AlertAgentConfig& config = (*configs_)[index];
  const Waiting next = std::move(agent.waiting.front());
  agent.waiting.pop_front();
  ProcessSpec spec{.argv = {config.path},
                   .environment = alert_environment(next.alert, config, next.sequence, version_),
                   .input = "",
                   .timeout = config.timeout,
                   .what = "alert agent " + config.path};
  agent.running = runner_->run(std::move(spec), [this, index](const ProcessResult& result) { ended(index, result); });
}

void AlertAgents::ended(std::size_t index, const ProcessResult& result) {
  Agent& agent = agents_[index];
  const auto over = std::move(agent.running);  // lives until its callback, this one, is over
  agent.left_behind = result.left_behind;
  if (result.end == ProcessResult::End::exited && result.code == 0) {
    agent.told = false;
  } else {
    fail(index, objection_of(result, "it"));
  }
  run_next(index);
}

void AlertAgents::fail(std::size_t index, const std::string& why) {
  if (std::exchange(agents_[index].told, true)) return;
  const AlertAgentConfig& config = (*configs_)[index];
  trouble_(
      "the alert agent " + config.path + (config.recipient.empty() ? "" : " (recipient " + config.recipient + ")") +
      " failed: " + why +
      ". What it was to tell is in hapair events; its failures are not told again until it has succeeded. Run it by "
      "hand, or correct \"alerts\" in the configuration");
}

}  // namespace hapair::agent
