// How this node stands, for the fleet, and the fleet as `hapair fleet` gets it.
#include <utility>

#include "agent/daemon/agent.h"

namespace hapair::agent {
namespace {

void describe_node(const FleetRow& row, control::v1::FleetNode& out) {
  const FleetReport& report = row.report;
  out.set_pair(report.pair.text());
  out.set_node(report.node.text());
  out.set_partner(report.partner.text());
  out.set_state(report.state);
  out.set_partner_seen(report.partner_seen);
  for (const FleetPool& pool : report.pools) {
    control::v1::FleetPool& of = *out.add_pools();
    of.set_name(pool.name.text());
    of.set_state(pool.state);
    of.set_owner(pool.owner.text());
    of.set_epoch(pool.epoch.value());
  }
  out.set_as_of_ns(ns_of(row.as_of));
  out.set_lost(row.lost_since.has_value());
  if (row.lost_since) out.set_lost_since_ns(ns_of(*row.lost_since));
  out.set_conflict(row.conflict);
  out.set_corosync_node(row.from.node_id);
}

}  // namespace

void Agent::start_fleet() {
  if (!config_.corosync.fleet) return;
  if (!Fleet::is_built()) {
    tell(Severity::warning, "fleet-left-out",
         "corosync.fleet is true, and this hapaird was built without Corosync's libraries: the fleet does not see this "
         "node; install libcpg-dev and libcmap-dev, and build it anew");
    return;
  }
  fleet_ = std::make_unique<Fleet>(config_.corosync.group);
}

void Agent::tell_fleet() {
  if (!fleet_) return;
  FleetReport report{.pair = config_.pair.pair,
                     .node = config_.pair.node,
                     .partner = config_.pair.partner,
                     .state = std::string(text_of(engine_.node_state())),
                     .partner_seen = std::string(heartbeat::text_of(engine_.assessment().verdict)),
                     .pools = {}};
  for (PoolIndex i = 0; i < config_.pools.size(); ++i) {
    const PoolReport pool = engine_.pool_report(i);
    report.pools.push_back({config_.pools[i].name, pool.owner, std::string(text_of(pool.state)), pool.epoch});
  }
  fleet_->publish(std::move(report), clock_->now());
}

control::v1::FleetReply Agent::fleet() {
  control::v1::FleetReply reply;
  const Instant now = clock_->now();
  reply.set_pair(config_.pair.pair.text());
  reply.set_node(config_.pair.node.text());
  reply.set_now_ns(ns_of(now));
  reply.set_built(Fleet::is_built());
  reply.set_on(config_.corosync.fleet);
  reply.set_group(config_.corosync.group);
  if (!fleet_) {
    reply.set_problem(Fleet::is_built() ? "this node is in no fleet: set corosync.fleet to true in its configuration "
                                          "and restart hapaird"
                                        : "this build of hapair has no fleet: it was built without libcpg and libcmap");
    return reply;
  }
  const FleetView view = fleet_->view(now);
  reply.set_connected(view.connected);
  reply.set_since_ns(ns_of(view.since));
  reply.set_problem(view.problem);
  reply.set_keys_problem(view.keys_problem);
  reply.set_members(static_cast<std::uint32_t>(view.members));
  for (const FleetRow& row : view.rows) describe_node(row, *reply.add_nodes());
  // Where this node sees nobody the only thing to look at is why.
  if (view.connected) {
    for (std::string& sentence : fleet_attention(view.rows, now)) reply.add_attention(std::move(sentence));
  }
  for (std::size_t kind = 0; kind < view.refused.size(); ++kind) {
    if (view.refused.at(kind) == 0) continue;
    (*reply.mutable_refused())[std::string(text_of(static_cast<FleetRefusal>(kind)))] = view.refused.at(kind);
  }
  return reply;
}

}  // namespace hapair::agent
