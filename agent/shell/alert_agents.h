// Calls the configured alert agents (Pacemaker's form), off the loop: a process a time for each agent, so what one is
// told comes in order and at most kMaxAlertAgents run. What waits for a slow one is bounded (kAlertsWaiting); what is
// above that is dropped. A failure is told once for each agent, until it has succeeded again. Nothing waits for them:
// what is under way when hapaird ends, ends with it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/config/pool_config.h"
#include "agent/shell/cluster_alert.h"
#include "agent/shell/process.h"

namespace hapair::agent {

inline constexpr std::size_t kAlertsWaiting = 32;  // for each agent

class AlertAgents {
 public:
  // A sentence: an agent failed. From the loop, or from inside send().
  using Trouble = std::function<void(const std::string& sentence)>;

  // `runner` and `configs` outlive this. `version`: CRM_alert_version.
  AlertAgents(ProcessRunner& runner, const std::vector<AlertAgentConfig>& configs, std::string version,
              Trouble trouble);
  AlertAgents(const AlertAgents&) = delete;
  AlertAgents& operator=(const AlertAgents&) = delete;

  void send(const ClusterAlert& alert);

 private:
  struct Waiting {
    ClusterAlert alert;
    std::uint64_t sequence = 0;
  };
  struct Agent {
    std::deque<Waiting> waiting;
    std::unique_ptr<RunningProcess> running;
    int left_behind = 0;  // the process group of a call that did not end even at SIGKILL; 0: none
    bool told = false;    // that it fails
  };
  void run_next(std::size_t index);
  void ended(std::size_t index, const ProcessResult& result);
  void fail(std::size_t index, const std::string& why);

  ProcessRunner* runner_;
  const std::vector<AlertAgentConfig>* configs_;
  std::string version_;
  Trouble trouble_;
  std::vector<Agent> agents_;
  std::uint64_t sequence_ = 0;
};

}  // namespace hapair::agent
