#include "agent/corosync/monitor_keys.h"

namespace hapair::agent {

MonitorKeys monitor_keys(const FleetReport& report) {
  const std::string prefix = kMonitorPrefix;
  MonitorKeys keys{{prefix + "pair", report.pair.text()},
                   {prefix + "node", report.node.text()},
                   {prefix + "partner", report.partner.text()},
                   {prefix + "node_state", report.state},
                   {prefix + "partner_seen", report.partner_seen}};
  for (const FleetPool& pool : report.pools) {
    const std::string of = prefix + "pool." + pool.name.text() + ".";
    keys[of + "state"] = pool.state;
    keys[of + "owner"] = pool.owner.empty() ? "unknown" : pool.owner.text();
    keys[of + "epoch"] = pool.epoch.value();
  }
  return keys;
}

}  // namespace hapair::agent
