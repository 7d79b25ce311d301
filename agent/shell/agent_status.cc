// The agent's state as `hapair status` and the dashboard get it.
#include "agent/shell/agent.h"

namespace hapair::agent {

control::v1::StatusReply Agent::status() {
  control::v1::StatusReply reply;
  reply.set_now_ns(ns_of(clock_->now()));
  reply.set_node(config_.pair.node.text());
  reply.set_partner_name(config_.pair.partner.text());
  reply.set_pair(config_.pair.pair.text());
  reply.set_version(HAPAIR_VERSION);
  reply.set_state(std::string(text_of(engine_.node_state())));
  reply.set_reason(engine_.node_reason());
  describe_ccm(reply);
  describe_partner(reply);
  describe_pools(reply);
  control::v1::Fencing& fencing = *reply.mutable_fencing();
  for (const FenceDeviceConfig& device : config_.fencing.devices) fencing.add_devices(device.name);
  if (const auto& last = engine_.last_fence()) {
    fencing.set_last_result(std::string(text_of(last->result)));
    fencing.set_last_device(last->device);
    fencing.set_last_reason(last->reason);
    fencing.set_last_took_ms(ms_of(last->took));
  }
  return reply;
}

void Agent::describe_ccm(control::v1::StatusReply& reply) const {
  control::v1::OwnCcm& ccm = *reply.mutable_ccm();
  ccm.set_fabric("shm");
  ccm.set_pace_ms(ms_of(config_.pair.pace));
  const auto self = link_.own_ccm();
  ccm.set_there(self.has_value());
  if (!self) return;
  ccm.set_incarnation(self->incarnation);
  ccm.set_boot_id(BootId{self->boot_id}.text());
  ccm.set_phase(std::string(ccm::text_of(static_cast<ccm::BootPhase>(self->phase))));
  ccm.set_handshake(std::string(ccm::text_of(static_cast<ccm::HandshakeState>(self->handshake))));
  ccm.set_connected_in_us(self->connected_in_us);
  ccm.set_sessions(self->sessions);
  ccm.set_refused_key(self->refused_key);
  ccm.set_refused_identity(self->refused_identity);
  ccm.set_refused_layout(self->refused_layout);
  ccm.set_refused_stale(self->refused_stale);
  ccm.set_refused_malformed(self->refused_malformed);
}

void Agent::describe_partner(control::v1::StatusReply& reply) const {
  control::v1::Partner& partner = *reply.mutable_partner();
  const heartbeat::Assessment& assessment = engine_.assessment();
  const heartbeat::PartnerWatch& watch = link_.watch();
  partner.set_verdict(std::string(heartbeat::text_of(assessment.verdict)));
  partner.set_since_ns(ns_of(assessment.since));
  partner.set_implication(engine_.implication());
  for (const heartbeat::Evidence& evidence : assessment.because) {
    control::v1::Evidence& out = *partner.add_because();
    out.set_when_ns(ns_of(evidence.when));
    out.set_channel(evidence.channel);
    out.set_fact(evidence.fact);
  }
  partner.set_suspicion(watch.suspicion());
  partner.set_limit_ms(ms_of(watch.ccm_detector().limit()));
  if (const auto& page = watch.proven_page()) {
    partner.set_phase(std::string(ccm::text_of(page->phase)));
    partner.set_boot_id(page->boot_id.text());
    partner.set_incarnation(page->incarnation.value());
  }
  if (const auto& view = engine_.partner()) {
    partner.set_state(std::string(text_of(view->node_state)));
    partner.set_configuration_differs(view->config_hash != engine_.config().shared_config_hash);
  }
}

void Agent::describe_pools(control::v1::StatusReply& reply) const {
  for (PoolIndex i = 0; i < config_.pools.size(); ++i) {
    const PoolConfig& config = config_.pools[i];
    const PoolReport report = engine_.pool_report(i);
    control::v1::Pool& pool = *reply.add_pools();
    pool.set_name(config.name.text());
    pool.set_home(config.home.text());
    pool.set_owner(report.owner.text());
    pool.set_epoch(report.epoch.value());
    pool.set_claim(report.claim.value());
    pool.set_state(std::string(text_of(report.state)));
    pool.set_reason(report.reason);
    pool.set_since_ns(ns_of(report.since));
    pool.set_failed_here(report.failed_here);
    pool.set_giveback_due_ns(report.giveback_due ? ns_of(*report.giveback_due) : 0);
    for (std::size_t r = 0; r < config.resources.size(); ++r) {
      const ResourceStatus& status = engine_.sequence(i).status(r);
      control::v1::Resource& resource = *pool.add_resources();
      resource.set_name(config.resources[r].name);
      resource.set_type(config.resources[r].type);
      resource.set_state(std::string(text_of(status.state)));
      if (status.busy) resource.set_busy(std::string(text_of(*status.busy)));
      resource.set_last_outcome(std::string(text_of(status.last.outcome)));
      resource.set_last_reason(status.last.reason);
      resource.set_since_ns(ns_of(status.since));
    }
  }
}

}  // namespace hapair::agent
