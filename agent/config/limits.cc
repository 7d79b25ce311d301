#include "agent/config/limits.h"

#include <algorithm>

#include "agent/core/lease.h"
#include "ccm/wire/watchdog_layout.h"

namespace hapair::agent {

heartbeat::WatchLimits watch_limits(const AgentConfig& config) {
  heartbeat::WatchLimits limits{.pace = config.pair.pace,
                                .floor = config.heartbeat.floor,
                                .agent_floor = config.heartbeat.agent_floor,
                                .ceiling = config.heartbeat.ceiling,
                                .phase_bounds = config.heartbeat.phase_bounds};
  for (std::size_t i = 0; i < config.pair.rails.size(); ++i) limits.rail_names.at(i) = config.pair.rails[i].name.text();
  for (std::size_t i = 0; i < config.pair.networks.size(); ++i) {
    limits.network_paces.at(i) = config.pair.networks[i].pace;
    // A pace until it is read, and another for the disk's own time.
    if (!config.pair.networks[i].device.empty()) limits.network_lags.at(i) = 2 * config.pair.networks[i].pace;
    limits.network_names.at(i) = config.pair.networks[i].title();
  }
  return limits;
}

Duration beats_end(const AgentConfig& config) {
  const heartbeat::WatchLimits limits = watch_limits(config);
  Duration ceiling = limits.ceiling;
  for (std::size_t i = 0; i < limits.network_paces.size(); ++i) {
    ceiling = std::max(ceiling, heartbeat::network_ceiling(limits, i) + limits.network_lags.at(i));
  }
  return ceiling + config.pair.operation_deadline + 2 * config.pair.pace;
}

Duration silent_after(const AgentConfig& config) {
  const heartbeat::WatchLimits limits = watch_limits(config);
  Duration silent = limits.floor;
  for (std::size_t i = 0; i < config.pair.networks.size(); ++i) {
    silent = std::max(silent, heartbeat::network_floor(limits, i) + limits.network_lags.at(i));
  }
  return silent + config.pair.pace;
}

std::optional<Duration> lease_wait(const AgentConfig& config) {
  const bool leases = config.arbiter == ArbiterKind::mailbox || config.arbiter == ArbiterKind::corosync;
  if (!leases || !config.pair.watchdog) return std::nullopt;
  const Duration over = config.lease.duration + config.lease.stop + ccm::reset_bound_of(config.pair.watchdog->timeout);
  return expiry_wait(std::chrono::ceil<std::chrono::milliseconds>(over));
}

}  // namespace hapair::agent
