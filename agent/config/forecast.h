// What the configuration leads to, for whoever is to rely on it: for each failure what will happen, and what a takeover
// takes, step by step.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/config/agent_config.h"
#include "ccm/base/time.h"

namespace hapair::agent {

struct Forecast {
  std::string failure;    // "beta is dead"
  std::string outcome;    // a sentence
  bool by_itself = true;  // false: it stays so until an operator acts
};
std::vector<Forecast> forecast(const AgentConfig& config);

struct TimelineStep {
  std::string what;
  std::optional<Duration> at_most;  // nothing: it depends on the device or the resources, as `what` says
};
// Of a takeover from a partner that died, for the pool that takes longest.
std::vector<TimelineStep> takeover_timeline(const AgentConfig& config);

}  // namespace hapair::agent
