// The agent's state as `hapair status` gets it.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "agent/daemon/agent.h"
#include "agent/shell/printable.h"
#include "ccm/config/early_boot_note.h"
#include "ccm/wire/mailbox_disk.h"

namespace hapair::agent {
namespace {

// What the partner's CCM says of its agent, in a word.
std::string agent_word(const ccm::StatusView& page, bool silent) {
  for (const ccm::ClientView& client : page.clients) {
    if (client.name != ccm::kAgentClientName) continue;
    if (client.state == ccm::ClientState::registered) return silent ? "silent" : "alive";
    return std::string(ccm::text_of(client.state));
  }
  return {};
}

// Of a rail or a network.
template <class Channel, class Status>
void describe_round_trips(const Channel& channel, Status& out) {
  out.set_round_trip_ns(channel.round_trip_ns);
  out.set_round_trip_min_ns(channel.round_trip_min_ns);
  out.set_round_trip_mean_ns(channel.round_trip_mean_ns);
  out.set_round_trip_max_ns(channel.round_trip_max_ns);
}

std::uint64_t us_of(Duration duration) { return static_cast<std::uint64_t>(duration / std::chrono::microseconds(1)); }

void describe_limit(std::string what, const heartbeat::Detector& detector, control::v1::Limit& out) {
  out.set_what(std::move(what));
  out.set_limit_us(us_of(detector.limit()));
  out.set_silence_us(us_of(detector.silence()));
  out.set_mean_arrival_us(us_of(detector.mean_arrival()));
  out.set_forgiven(detector.forgiven());
  out.set_suspicion(detector.suspicion());
  out.set_why(std::string(heartbeat::text_of(detector.limit_reason())));
}

void describe_watchdog(const ccm::WatchdogSelfLayout& watchdog, control::v1::CcmStatus& ccm) {
  const auto state = static_cast<ccm::WatchdogState>(watchdog.state);
  if (state == ccm::WatchdogState::none) return;
  control::v1::WatchdogStatus& out = *ccm.mutable_watchdog();
  out.set_device(std::string(ccm::name_in(watchdog.device)));
  out.set_state(std::string(ccm::text_of(state)));
  out.set_problem(ccm::problem_of(watchdog));
  out.set_timeout_ms(watchdog.timeout_ms);
  if (state == ccm::WatchdogState::armed) {
    const Duration bound = ccm::reset_bound_of(std::chrono::milliseconds(watchdog.timeout_ms));
    out.set_bound_ms(static_cast<std::uint64_t>(bound / std::chrono::milliseconds(1)));
  }
  out.set_fed_until_ns(watchdog.fed_until_ns);
  out.set_fed_for(printable_line(std::string(ccm::name_in(watchdog.fed_for))));
  out.set_feeds(watchdog.feeds);
  out.set_container(static_cast<ccm::WatchdogKind>(watchdog.kind) == ccm::WatchdogKind::container);
}

void count_alerts(const AlertBook::Counts& counts, control::v1::ClusterAlertCounters& out) {
  out.set_recorded(counts.recorded);
  out.set_repeated(counts.repeated);
  out.set_routine(counts.routine);
  out.set_foreign(counts.foreign);
  out.set_left_out(counts.left_out);
}

}  // namespace

void Agent::describe_network(const ccm::NetworkSelfLayout& network, const ccm::NetworkConfig& config,
                             control::v1::NetworkStatus& out) const {
  out.set_name(std::string(ccm::name_in(network.name)));
  out.set_address(std::string(ccm::name_in(network.address)));
  out.set_state(std::string(ccm::text_of(ccm::state_of(network, clock_->now()))));
  out.set_is_disk(network.is_disk != 0);
  if (network.disk_error != 0) {
    out.set_send_error(std::string(ccm::text_of(static_cast<ccm::DiskError>(network.disk_error - 1))) +
                       "; where it is to be this pair's: hapair mailbox init " + config.device +
                       std::string(init_option(static_cast<ccm::DiskError>(network.disk_error - 1))));
  } else if (network.send_errno != 0) {
    out.set_send_error(std::strerror(network.send_errno));
  }
  out.set_pace_us(network.pace_us);
  out.set_sent(network.sent);
  out.set_heard(network.heard);
  out.set_lost(network.lost);
  for (std::size_t kind = 0; kind < network.refused.size(); ++kind) {
    if (network.refused[kind] == 0) continue;
    (*out.mutable_refused())[std::string(ccm::text_of(static_cast<ccm::BeatRefusal>(kind)))] = network.refused[kind];
  }
  describe_round_trips(network, out);
  out.set_mean_arrival_ns(network.mean_arrival_ns);
  out.set_heard_at_ns(network.heard_at_ns);
  if (const std::string_view node = ccm::name_in(network.foreign_node); !node.empty()) {
    out.set_foreign(fmt::format("node {} of pair {}", node, ccm::name_in(network.foreign_pair)));
  }
}

control::v1::StatusReply Agent::status() {
  control::v1::StatusReply reply;
  reply.set_now_ns(ns_of(clock_->now()));
  reply.set_started_ns(ns_of(started_at_));
  reply.set_node(config_.pair.node.text());
  reply.set_partner(config_.pair.partner.text());
  reply.set_pair(config_.pair.pair.text());
  reply.set_version(HAPAIR_VERSION);
  const NodeReason reason = engine_.node_reason();
  reply.set_state(std::string(text_of(engine_.node_state())));
  reply.set_reason(reason.why);
  reply.set_to_do(reason.to_do);
  describe_ccm(reply);
  describe_partner(reply);
  describe_pools(reply);
  for (const FenceDeviceConfig& device : config_.fencing.devices) reply.add_fence_devices(device.name);
  if (const auto& last = engine_.last_fence()) {
    control::v1::FenceStatus& fence = *reply.mutable_last_fence();
    fence.set_result(std::string(text_of(last->result)));
    fence.set_device(last->device);
    fence.set_reason(last->reason);
    fence.set_took_us(static_cast<std::uint64_t>(last->took.count() / 1000));
    fence.set_when_ns(fenced_at_ ? ns_of(*fenced_at_) : 0);
  }
  if (config_.arbiter == ArbiterKind::pacemaker) {
    count_alerts(alert_book_.counts(), *reply.mutable_cluster_alerts());
    const std::string& name = config_.pacemaker.partner_node;
    reply.set_partner_in_cluster(name.empty() ? config_.pair.partner.text() : name);
  }
  if (partner_fence_.state() != PartnerFence::State::none) {
    reply.mutable_cluster_fence()->set_state(std::string(text_of(partner_fence_.state())));
    reply.mutable_cluster_fence()->set_reason(partner_fence_.reason());
    reply.mutable_cluster_fence()->set_number(partner_fence_.number());
  }
  for (const InhibitionReport& report : engine_.inhibitions(clock_->now())) {
    control::v1::InhibitionStatus& out = *reply.add_inhibitions();
    out.set_what(std::string(text_of(report.what)));
    out.set_by(report.inhibition.by);
    out.set_reason(report.inhibition.reason);
    out.set_since_wall_us(report.inhibition.since.count() * 1000);
    if (report.left) out.set_left_ns(report.left->count());
  }
  reply.set_arbiter(std::string(text_of(config_.arbiter)));
  if (mailbox_) {
    for (std::string& trouble : mailbox_->troubles()) reply.add_mailbox_troubles(printable_line(trouble));
  }
  if (quorum_) {
    reply.set_quorum(printable_line(quorum_->text()));
    for (std::string& trouble : quorum_->troubles()) reply.add_quorum_troubles(printable_line(trouble));
  }
  if (server_) *reply.mutable_control() = server_->counters();
  return reply;
}

void Agent::describe_ccm(control::v1::StatusReply& reply) const {
  control::v1::CcmStatus& ccm = *reply.mutable_ccm();
  const auto self = link_.own_ccm();
  ccm.set_running(ccm_problem_.empty() && self.has_value());
  ccm.set_problem(ccm_problem_);
  if (const auto note = ccm::read_early_boot_note(config_.pair.run_dir)) {
    for (const std::string& problem : note->problems) ccm.add_early_boot_problems(printable_line(problem));
  }
  if (!self) return;
  ccm.set_incarnation(self->incarnation);
  ccm.set_boot_id(BootId{self->boot_id}.text());
  ccm.set_phase(std::string(ccm::text_of(static_cast<ccm::BootPhase>(self->phase))));
  ccm.set_handshake(std::string(ccm::text_of(static_cast<ccm::HandshakeState>(self->handshake))));
  for (std::size_t i = 0; i < std::min<std::size_t>(self->rail_count, self->rails.size()); ++i) {
    const ccm::RailSelfLayout& rail = self->rails[i];
    control::v1::RailStatus& out = *ccm.add_rails();
    out.set_name(std::string(ccm::name_in(rail.name)));
    out.set_fabric(std::string(ccm::name_in(rail.fabric)));
    out.set_handshake(std::string(ccm::text_of(static_cast<ccm::HandshakeState>(rail.handshake))));
    out.set_since_ns(rail.since_ns);
    out.set_connected_in_us(rail.connected_in_us);
    out.set_sessions(rail.sessions);
    out.set_reads(rail.reads);
    out.set_writes(rail.writes);
    out.set_errors(rail.errors);
    out.set_last_error(std::string(ccm::text_of(static_cast<ccm::FabricError>(rail.last_error))));
    describe_round_trips(rail, out);
  }
  for (std::size_t i = 0; i < std::min<std::size_t>(self->network_count, config_.pair.networks.size()); ++i) {
    describe_network(self->networks.at(i), config_.pair.networks[i], *ccm.add_networks());
  }
  describe_watchdog(self->watchdog, ccm);
  ccm.set_refused_key(self->refused_key);
  ccm.set_refused_identity(self->refused_identity);
  ccm.set_refused_layout(self->refused_layout);
  ccm.set_refused_stale(self->refused_stale);
  ccm.set_refused_malformed(self->refused_malformed);
}

void Agent::describe_partner(control::v1::StatusReply& reply) const {
  const heartbeat::Strain& strain = health_.strain();
  reply.mutable_local_health()->set_cause(std::string(heartbeat::text_of(strain.cause)));
  reply.mutable_local_health()->set_factor(static_cast<std::uint32_t>(strain.factor));
  reply.mutable_local_health()->set_fact(strain.fact);
  control::v1::PartnerStatus& partner = *reply.mutable_partner_status();
  const heartbeat::Assessment& assessment = engine_.assessment();
  const heartbeat::PartnerWatch& watch = link_.watch();
  partner.set_verdict(std::string(heartbeat::text_of(assessment.verdict)));
  partner.set_since_ns(ns_of(assessment.since));
  for (const heartbeat::Evidence& evidence : assessment.because) {
    control::v1::Evidence& out = *partner.add_because();
    out.set_when_ns(ns_of(evidence.when));
    out.set_channel(evidence.channel);
    out.set_fact(evidence.fact);
  }
  partner.set_suspicion(watch.suspicion());
  describe_limit("rails", watch.rail_detector(), *partner.add_limits());
  describe_limit("CCM", watch.ccm_detector(), *partner.add_limits());
  describe_limit("agent", watch.agent_detector(), *partner.add_limits());
  for (std::size_t i = 0; i < config_.pair.networks.size(); ++i) {
    if (const heartbeat::Detector* detector = watch.network_detector(NetworkId(i))) {
      describe_limit(config_.pair.networks[i].title(), *detector, *partner.add_limits());
    }
  }
  for (const heartbeat::WatchedClient& client : watch.clients().clients()) {
    control::v1::PartnerClient& out = *partner.add_clients();
    out.set_name(printable_line(client.name));
    out.set_beats(!client.hung());
    out.set_stalled(client.stalled);
    if (!client.work) continue;
    out.set_tells_progress(true);
    out.set_completed(client.completed);
    out.set_outstanding(client.outstanding);
    out.set_stands_us(us_of(client.work->silence()));
    out.set_limit_us(us_of(client.work->limit()));
  }
  if (const auto& page = watch.proven_page()) {
    partner.set_phase(std::string(ccm::text_of(page->phase)));
    partner.set_boot_id(page->boot_id.text());
    partner.set_incarnation(page->incarnation.value());
    partner.set_agent(agent_word(*page, watch.agent_detector().silent()));
  }
  if (const auto& view = engine_.partner()) {
    partner.set_node_state(std::string(text_of(view->node_state)));
    reply.set_configuration_differs(view->config_hash != engine_.config().shared_config_hash);
  }
}

void Agent::describe_pools(control::v1::StatusReply& reply) const {
  for (PoolIndex i = 0; i < config_.pools.size(); ++i) {
    const PoolConfig& config = config_.pools[i];
    const PoolReport report = engine_.pool_report(i);
    control::v1::PoolStatus& pool = *reply.add_pools();
    pool.set_name(config.name.text());
    pool.set_home(config.home.text());
    pool.set_owner(report.owner.text());
    pool.set_epoch(report.epoch.value());
    pool.set_claim(report.claim.value());
    pool.set_state(std::string(text_of(report.state)));
    pool.set_reason(report.reason);
    pool.set_since_ns(ns_of(report.since));
    pool.set_failed_here(report.failed_here);
    if (report.giveback_due) pool.set_giveback_due_ns(ns_of(*report.giveback_due));
    pool.set_leased(report.leased);
    if (report.lease_over) pool.set_lease_over_ns(ns_of(*report.lease_over));
    pool.set_armed(report.armed);
    pool.set_ordered(report.ordered);
    pool.set_may_be_held(report.may_be_held);
    pool.set_highest_epoch(report.highest.value());
    if (report.expiry) pool.set_expiry_ns(ns_of(*report.expiry));
    for (std::size_t r = 0; r < config.resources.size(); ++r) {
      const ResourceStatus& status = engine_.sequence(i).status(r);
      control::v1::ResourceStatus& resource = *pool.add_resources();
      resource.set_name(config.resources[r].name);
      resource.set_type(config.resources[r].type);
      resource.set_state(std::string(text_of(status.state)));
      resource.set_since_ns(ns_of(status.since));
      if (status.busy) resource.set_busy(std::string(text_of(*status.busy)));
      if (status.state != ResourceState::unknown) {
        resource.set_last_result(std::string(text_of(status.last.outcome)));
        resource.set_last_reason(status.last.reason);
      }
      resource.set_restarts(static_cast<std::uint32_t>(status.restarts_used));
    }
  }
}

}  // namespace hapair::agent
