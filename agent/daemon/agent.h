// hapaird's one loop: it joins the pure engine with the partner's page, the disk, the resources, the fence devices, the
// records and the control socket. All state of the agent is here and in the engine; other threads only hand events in.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/agent_config.h"
#include "agent/core/engine.h"
#include "agent/corosync/fleet.h"
#include "agent/daemon/mailbox_arbiter.h"
#include "agent/daemon/partner_link.h"
#include "agent/daemon/quorum_arbiter.h"
#include "agent/shell/action_ledger.h"
#include "agent/shell/alert_agents.h"
#include "agent/shell/alert_book.h"
#include "agent/shell/cluster_teller.h"
#include "agent/shell/control_server.h"
#include "agent/shell/event_source.h"
#include "agent/shell/fencer.h"
#include "agent/shell/pair_alerts.h"
#include "agent/shell/partner_fence.h"
#include "agent/shell/process.h"
#include "agent/shell/record_log.h"
#include "agent/shell/resources.h"
#include "agent/shell/state_store.h"
#include "agent/shell/vetoes.h"
#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "ccm/wire/mac.h"
#include "heartbeat/local_health.h"

namespace hapair::agent {

struct AgentParts {
  AgentConfig config;
  BootId boot_id;
  std::uint64_t life = 0;  // drawn at the start, never 0
  std::unique_ptr<RecordLog> log;
  std::vector<Leftover> leftovers;  // what an earlier agent had under way
  ccm::Key pair_key{};
  std::shared_ptr<const Fd> lock;  // of state_dir
};

// Where the programs under way are written down: gone after a reboot, as they are.
std::string ledger_folder(const AgentConfig& config);

class Agent final : public PartnerLinkListener, public ControlHandler {
 public:
  // `loop` and `clock` outlive this.
  Agent(sd_event* loop, const Clock& clock, AgentParts parts);
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Serves the control socket, registers with the CCM and begins with what the disk said. The error is a sentence.
  std::expected<void, std::string> start(const std::expected<std::optional<DurableState>, StateProblem>& state);
  // As asked by the service manager: hands over as configured, then ends the loop.
  void shut_down();

  // PartnerLinkListener
  void partner_assessed(const heartbeat::Assessment& assessment) override;
  void partner_published(const ccm::AgentBlockLayout& block, const BootId& boot_id, const std::string& channel,
                         bool heard) override;
  void partner_heard(bool heard, const std::string& channel) override;
  void partner_seen(const heartbeat::Sighting& sighting) override;
  [[nodiscard]] bool partner_sighting_wanted() const override;
  void came_late() override;
  void watchdog_changed(const ccm::WatchdogStanding& standing, const std::optional<Instant>& fed_until) override;
  void own_ccm_changed(bool there, const std::string& why) override;
  void poisoned(const ccm::PoisonOrder& order) override;
  void poison_over(const ccm::PoisonOrder& order) override;

  // ControlHandler
  control::v1::StatusReply status() override;
  control::v1::FleetReply fleet() override;
  CommandReply command(const OperatorCommand& command) override;
  CommandReply fence_partner(const std::string& by, std::chrono::seconds limit) override;
  CommandReply cluster_alert(const ClusterAlert& alert) override;

 private:
  void step(const Event& event);
  void apply(EngineOutput output);
  void run(const Command& command);
  void run_resource(const RunResource& command);
  void start_fence();
  void set_phase(ccm::BootPhase phase);
  void forget_reservations() const;
  void tell(Severity severity, const std::string& kind, const std::string& text);
  void log(Record record);
  void alert_agents_of(const LoggedRecord& record);
  void arm_wakeup();
  void take_leftovers();
  void look_at_self();
  void describe_partner(control::v1::StatusReply& reply) const;
  void describe_ccm(control::v1::StatusReply& reply) const;
  void describe_network(const ccm::NetworkSelfLayout& network, const ccm::NetworkConfig& config,
                        control::v1::NetworkStatus& out) const;
  void start_arbiter(std::uint64_t life, const ccm::Key& pair_key, std::shared_ptr<const Fd> lock);
  void step_for_lease(const Event& event);
  void tell_quorum(const std::string& sentence);
  void start_fleet();
  void tell_fleet();
  void describe_pools(control::v1::StatusReply& reply) const;
  void hear_of_fence(const PoisonNews& news);
  void tell_fence();

  sd_event* loop_;
  const Clock* clock_;
  AgentConfig config_;
  BootId boot_id_;
  std::unique_ptr<RecordLog> log_;
  Engine engine_;
  std::vector<Leftover> leftovers_;
  SystemProcessRunner runner_;
  Resources resources_;
  Vetoes vetoes_;
  PartnerLink link_;
  Fencer fencer_;
  ClusterTeller cluster_;
  PartnerFence partner_fence_;  // that the cluster asked for
  EventSource fence_limit_;
  AlertBook alert_book_;                   // what Pacemaker tells; the engine never hears of it
  std::optional<MailboxArbiter> mailbox_;  // of arbiter mailbox
  std::optional<QuorumArbiter> quorum_;    // of arbiter corosync
  std::unique_ptr<Fleet> fleet_;           // where it is configured
  std::unique_ptr<StateWriter> writer_;
  std::unique_ptr<ControlServer> server_;
  PairAlerts pair_alerts_;  // which records are told to alert agents
  AlertAgents alert_agents_;
  EventSource wakeup_;
  heartbeat::LocalHealth health_;
  EventSource next_self_look_;
  std::optional<CommandReply> reply_;
  std::string ccm_problem_;  // why this node's CCM is not there; empty: it is
  Instant started_at_;
  std::optional<Instant> fenced_at_;
};

}  // namespace hapair::agent
