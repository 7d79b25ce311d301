#include "agent/daemon/agent.h"

#include <fmt/core.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "agent/config/limits.h"
#include "agent/config/reservation_config.h"
#include "agent/reservation/held_record.h"
#include "agent/shell/local_state.h"

namespace hapair::agent {
namespace {

LeaseArbiter lease_arbiter_of(ArbiterKind arbiter) {
  switch (arbiter) {
    case ArbiterKind::mailbox:
      return LeaseArbiter::mailbox;
    case ArbiterKind::corosync:
      return LeaseArbiter::quorum;
    case ArbiterKind::none:
    case ArbiterKind::pacemaker:
      return LeaseArbiter::none;
  }
  return LeaseArbiter::none;
}

EngineConfig engine_config(const AgentConfig& config, std::uint64_t life, std::uint64_t first_decision) {
  EngineConfig out;
  out.self = config.pair.node;
  out.partner = config.pair.partner;
  for (const PoolConfig& pool : config.pools) {
    PoolPlan plan{pool.name, pool.home, {}, {}, {}};
    for (const VetoConfig& veto : pool.vetoes) {
      plan.vetoes.push_back(veto.name);
      plan.vetoes_time += veto.timeout + kKillAfter + kGiveUpAfter;
    }
    for (const ResourceConfig& resource : pool.resources) {
      plan.resources.push_back({.name = resource.name,
                                .type = resource.type,
                                .after = resource.after,
                                .start_timeout = resource.start_timeout,
                                .stop_timeout = resource.stop_timeout,
                                .monitor_timeout = resource.monitor_timeout,
                                .monitor_interval = resource.monitor_interval,
                                .on_failure = resource.on_failure,
                                .restarts = resource.restarts});
    }
    out.pools.push_back(std::move(plan));
  }
  out.policy = {.automatic_takeover = config.takeover.automatic,
                .takeover_hold = config.takeover.hold,
                .agent_silent = config.takeover.agent_silent,
                .ccm_silent = config.takeover.ccm_silent,
                .storage_stalled = config.takeover.storage_stalled,
                .reboot_silent = config.takeover.reboot_silent,
                .fence_attempts = config.fencing.attempts,
                .fence_limit = config.fencing.limit,
                .fence_window = config.fencing.limit_within,
                .fence_retry = config.fencing.retry,
                .beats_end = beats_end(config),
                .automatic_giveback = config.giveback.automatic,
                .giveback_stable = config.giveback.stable,
                .giveback_bound = config.giveback.bound,
                .giveback_limit = config.giveback.limit,
                .giveback_window = config.giveback.limit_within,
                .hand_over_at_shutdown = config.hand_over_at_shutdown,
                .fences = !config.fencing.devices.empty(),
                .cluster_decides = config.arbiter == ArbiterKind::pacemaker,
                .lease_arbiter = lease_arbiter_of(config.arbiter),
                .lease = config.lease.duration,
                .lease_stop = config.lease.stop};
  if (out.policy.cluster_decides) {
    out.policy.automatic_takeover = out.policy.automatic_giveback = out.policy.hand_over_at_shutdown = false;
    out.policy.fences = false;
    out.policy.asks_for_fences = config.pacemaker.request_fence;
    out.policy.has_cluster_look = config.pacemaker.look_at_once;
  }
  out.shared_config_hash = shared_config_hash(config);
  out.life = life;
  out.first_decision = first_decision;
  return out;
}

AlertScope alert_scope(const AgentConfig& config) {
  const auto in_cluster = [](const std::string& given, const NodeName& name) {
    return given.empty() ? name.text() : given;
  };
  AlertScope scope{.self = {config.pair.node, in_cluster(config.pacemaker.node, config.pair.node)},
                   .partner = {config.pair.partner, in_cluster(config.pacemaker.partner_node, config.pair.partner)},
                   .pools = {}};
  for (const PoolConfig& pool : config.pools) {
    const auto& resources = config.pacemaker.resources;
    const auto named = std::ranges::find(resources, pool.name.text(), &std::pair<std::string, std::string>::first);
    scope.pools.push_back({pool.name, named == resources.end() ? pool.name.text() : named->second});
  }
  return scope;
}

}  // namespace

std::string ledger_folder(const AgentConfig& config) { return config.pair.run_dir + "/actions"; }

Agent::Agent(sd_event* loop, const Clock& clock, AgentParts parts)
    : loop_(loop),
      clock_(&clock),
      config_(std::move(parts.config)),
      boot_id_(parts.boot_id),
      log_(std::move(parts.log)),
      engine_(engine_config(config_, parts.life, log_->last_decision() + 1)),
      leftovers_(std::move(parts.leftovers)),
      runner_(loop, clock, ledger_folder(config_)),
      resources_(runner_, config_.pools,
                 ResourcePlaces{.ocf_root = config_.places.ocf_root,
                                .reserve_program = config_.places.reserve_program,
                                .reserve_identity = reserve_identity(config_.pair)},
                 [this](ResourceId id, ResourceAction action, const ActionResult& result) {
                   step(ActionDone{id, action, result});
                 }),
      vetoes_(loop, runner_, config_.pools, config_.pair.node, config_.pair.partner,
              [this](PoolIndex pool, std::vector<std::string> said) { step(VetoDone{pool, std::move(said)}); }),
      link_(loop, clock, config_.pair.ccm_socket(), watch_limits(config_), *this),
      fencer_(runner_, loop, clock, config_.fencing, link_),
      cluster_(
          {.loop = loop, .clock = &clock, .runner = &runner_, .config = &config_.pacemaker}, config_.pair.partner,
          [this](const ClusterTold& told) { step(told); },
          [this](const std::string& sentence) { tell(Severity::warning, "cluster-trouble", sentence); }),
      partner_fence_(config_.pair.partner),
      alert_book_(alert_scope(config_)),
      pair_alerts_(config_.pair.node, config_.pair.partner, config_.fencing.devices),
      alert_agents_(runner_, config_.alerts, "hapair-" HAPAIR_VERSION,
                    [this](const std::string& sentence) { tell(Severity::warning, "alert-agent-failed", sentence); }),
      health_(config_.heartbeat.floor) {
  start_arbiter(parts.life, parts.pair_key, std::move(parts.lock));
}

void Agent::start_arbiter(std::uint64_t life, const ccm::Key& pair_key, std::shared_ptr<const Fd> lock) {
  switch (config_.arbiter) {
    case ArbiterKind::none:
    case ArbiterKind::pacemaker:
      return;
    case ArbiterKind::mailbox:
      mailbox_.emplace(
          loop_, config_, MailboxArbiter::Parts{life, pair_key, std::move(lock)},
          [this](const Event& event) { step_for_lease(event); },
          [this](PoolIndex pool) -> const std::optional<ccm::OwnershipDecision>& {
            return engine_.lease_decision(pool);
          });
      return;
    case ArbiterKind::corosync:
      quorum_.emplace(loop_, *clock_, config_, life,
                      QuorumArbiter::Events{.step = [this](const Event& event) { step_for_lease(event); },
                                            .trouble = [this](const std::string& sentence) { tell_quorum(sentence); }});
      return;
  }
}

// A claim may be decided, or a lease renewed, for one that has just been seen. What the watchdog stands for is told by
// that very look, and is older here.
void Agent::step_for_lease(const Event& event) {
  if (!std::holds_alternative<LeaseGround>(event)) link_.look();
  step(event);
}

void Agent::tell_quorum(const std::string& sentence) {
  if (sentence.empty()) {
    tell(Severity::notice, "corosync-well", "Corosync answers, and all of its votes are there");
  } else {
    tell(Severity::warning, "corosync-trouble", sentence);
  }
}

std::expected<void, std::string> Agent::start(const std::expected<std::optional<DurableState>, StateProblem>& state) {
  writer_ = std::make_unique<StateWriter>(loop_, state_file_in(config_.state_dir),
                                          StateIdentity{config_.pair.pair, config_.pair.node},
                                          [this](const StateWriter::Answer& answer) {
                                            link_.look();  // a claim that is durable now may be fenced for at once
                                            if (answer.error.empty()) {
                                              step(Durable{answer.generation});
                                            } else {
                                              step(NotDurable{answer.generation, answer.error});
                                            }
                                          });
  ControlOptions options{.socket_path = config_.control_socket(),
                         .group = "hapair",
                         .alert_socket_path = config_.alert_socket(),
                         .node = config_.pair.node,
                         .pools = {}};
  for (const PoolConfig& pool : config_.pools) options.pools.push_back(pool.name);
  auto server = ControlServer::open(loop_, *clock_, std::move(options), *this, *log_);
  if (!server) return std::unexpected(server.error());
  server_ = std::move(*server);
  started_at_ = clock_->now();
  take_leftovers();
  start_fleet();
  look_at_self();
  if (config_.arbiter == ArbiterKind::pacemaker) cluster_.take_up();
  link_.start();
  Started started;
  started.boot_id = boot_id_;
  if (state) {
    started.durable = *state;
  } else {
    started.record_problem = state.error().what;
    if (!state.error().kept_at.empty()) *started.record_problem += "; a copy is kept at " + state.error().kept_at;
  }
  step(started);
  return {};
}

// What was under way when an earlier agent was killed. What could be ended is only told of; what hangs in the kernel
// may still change its resource.
void Agent::take_leftovers() {
  for (const Leftover& leftover : leftovers_) {
    if (leftover.ended) {
      tell(Severity::warning, "leftover-ended",
           fmt::format(
               "an earlier agent of this node was killed while it waited for \"{}\" (process group {}): that was "
               "ended too, and the pools are looked at anew",
               leftover.what, leftover.group));
      continue;
    }
    tell(Severity::error, "leftover-hangs",
         fmt::format(
             "\"{}\" of an earlier agent (process group {}) hangs in the kernel and cannot be ended, most often on "
             "a disk that does not answer: its resource is not taken for stopped until it has ended; repair the "
             "disk, or reset this node",
             leftover.what, leftover.group));
    for (PoolIndex pool = 0; pool < config_.pools.size(); ++pool) {
      for (std::size_t i = 0; i < config_.pools[pool].resources.size(); ++i) {
        const std::string title = title_of(config_.pools[pool], config_.pools[pool].resources[i]);
        if (leftover.what.starts_with(title + " ")) resources_.left_behind({pool, i}, leftover.group);
      }
    }
  }
  leftovers_.clear();
}

void Agent::step(const Event& event) {
  const Instant now = clock_->now();
  engine_.tell_wall(now, std::chrono::duration_cast<WallTime>(std::chrono::microseconds(clock_->wall_us())));
  apply(engine_.step(now, event));
}

void Agent::apply(EngineOutput output) {
  if (output.persist) writer_->write(output.persist->generation, output.persist->state);
  for (Record& record : output.records) log(std::move(record));
  if (output.publish) {
    link_.publish(engine_.block());
    tell_fleet();
  }
  if (output.reply) reply_ = std::move(output.reply);
  for (const Command& command : output.commands) run(command);
  arm_wakeup();
  if (engine_.may_exit()) {
    sd_notify(0, "STOPPING=1");
    link_.leave();
    sd_event_exit(loop_, 0);
  }
}

void Agent::run(const Command& command) {
  if (const auto* resource = std::get_if<RunResource>(&command)) return run_resource(*resource);
  if (std::holds_alternative<StartFence>(command)) return start_fence();
  if (std::holds_alternative<AbandonFence>(command)) return fencer_.abandon();
  if (const auto* vetoes = std::get_if<AskVetoes>(&command)) return vetoes_.ask(vetoes->pool);
  if (const auto* phase = std::get_if<SetPhase>(&command)) return set_phase(phase->phase);
  if (const auto* feed = std::get_if<FeedUntil>(&command)) return link_.feed(feed->until);
  if (const auto* answer = std::get_if<AnswerPoison>(&command))
    return link_.answer_poison(answer->order, answer->obeyed);
  if (const auto* ballot = std::get_if<RunBallot>(&command)) {
    if (mailbox_) mailbox_->run(*ballot);
    return;
  }
  if (const auto* tell = std::get_if<TellCluster>(&command)) return cluster_.tell(tell->word);
  if (std::holds_alternative<LookAtQuorum>(command)) {
    if (quorum_) quorum_->look();
    return;
  }
  if (const auto* look = std::get_if<LookAtDisks>(&command)) {
    if (mailbox_) mailbox_->look(look->pool);
    return;
  }
  if (const auto done = agent::reset_state(config_.state_dir); !done) {
    tell(Severity::error, "record-not-removed",
         "the unreadable ownership record could not be removed: " + done.error());
  }
}

void Agent::run_resource(const RunResource& command) {
  const ResourceConfig& resource = config_.pools[command.resource.pool].resources[command.resource.resource];
  const bool recurring = command.action == ResourceAction::monitor &&
                         engine_.pool_report(command.resource.pool).state == PoolState::serving;
  resources_.run(command.resource, command.action, recurring ? resource.monitor_interval : Duration::zero());
}

void Agent::start_fence() {
  fencer_.fence(
      config_.pair.partner, [this](const FenceStep& done) { step(FenceProgress{sentence_of(done)}); },
      [this](const FenceReport& report) {
        fenced_at_ = clock_->now();
        link_.look();  // whether the partner was still seen to run
        step(FenceDone{report});
      });
}

void Agent::set_phase(ccm::BootPhase phase) {
  const auto set = link_.set_phase(phase);
  if (!set) {
    tell(Severity::warning, "phase-not-set",
         fmt::format("the CCM does not publish boot phase {}: {}", text_of(phase), set.error().text));
  }
}

void Agent::arm_wakeup() {
  const auto due = engine_.next_wakeup();
  if (!due) {
    wakeup_.reset();
    return;
  }
  wakeup_ = call_at(
      loop_, *due,
      [](sd_event_source*, std::uint64_t, void* self) {
        static_cast<Agent*>(self)->link_.look();
        static_cast<Agent*>(self)->step(Tick{});
        return 0;
      },
      this);
}

void Agent::shut_down() { step(ShutdownAsked{}); }

void Agent::partner_assessed(const heartbeat::Assessment& assessment) { step(PartnerAssessed{assessment}); }
void Agent::partner_published(const ccm::AgentBlockLayout& block, const BootId& boot_id, const std::string& channel,
                              bool heard) {
  step(PartnerBlock{block, boot_id, channel, heard});
  forget_reservations();
}
void Agent::partner_heard(bool heard, const std::string& channel) { step(PartnerHeard{heard, channel}); }

// A node that was preempted preempts nobody. It may again once it has heard from its partner that the pool is there.
void Agent::forget_reservations() const {
  for (PoolIndex pool = 0; pool < config_.pools.size(); ++pool) {
    if (engine_.pool_report(pool).state != PoolState::elsewhere) continue;
    for (const ResourceConfig& resource : config_.pools[pool].resources) {
      if (resource.kind != ResourceKind::reservation) continue;
      HeldRecord(config_.pair.run_dir).remove(title_of(config_.pools[pool], resource));
    }
  }
}
void Agent::partner_seen(const heartbeat::Sighting& sighting) { step(PartnerSeen{sighting}); }

bool Agent::partner_sighting_wanted() const { return engine_.wants_sighting(); }

void Agent::poisoned(const ccm::PoisonOrder& order) { step(Poisoned{order}); }
void Agent::poison_over(const ccm::PoisonOrder& order) { step(PoisonOver{order}); }

void Agent::came_late() { look_at_self(); }

void Agent::watchdog_changed(const ccm::WatchdogStanding& standing, const std::optional<Instant>& fed_until) {
  if (mailbox_) return mailbox_->watchdog_changed(standing, fed_until);
  if (quorum_) return quorum_->watchdog_changed(standing, fed_until);
  // What an earlier life of this agent, with another arbiter, had the watchdog fed to is to be ended too.
  if (fed_until)
    step(LeaseGround{
        .watchdog = standing.armed, .bound = standing.bound, .fed_until = fed_until, .mailbox = 0, .problem = {}});
}

// Before anything is judged with limits that this node's own state no longer allows.
void Agent::look_at_self() {
  constexpr Duration kEvery = std::chrono::seconds(1);
  const Instant now = clock_->now();
  heartbeat::LocalSample sample = sample_local_state(now);
  sample.latest = link_.take_latest();
  if (const auto strain = health_.take(sample)) {
    link_.widen(strain->factor);
    step(LocalStrained{*strain});
  }
  if (mailbox_) mailbox_->look_for_areas();
  if (quorum_) quorum_->look_at_watch();
  tell_fleet();
  if (next_self_look_) return call_again_at(next_self_look_, now + kEvery);
  next_self_look_ = call_at(
      loop_, now + kEvery,
      [](sd_event_source*, std::uint64_t, void* self) {
        static_cast<Agent*>(self)->look_at_self();
        return 0;
      },
      this);
}

void Agent::own_ccm_changed(bool there, const std::string& why) {
  ccm_problem_ = there ? "" : why;
  if (there) {
    tell(Severity::info, "own-ccm", "registered with this node's CCM");
  } else {
    tell(Severity::warning, "own-ccm",
         fmt::format("this node's CCM is not there ({}): the partner cannot be seen until it is", why));
  }
}

void Agent::tell(Severity severity, const std::string& kind, const std::string& text) {
  log(Record{.when = clock_->now(),
             .severity = severity,
             .kind = kind,
             .pool = {},
             .decision = 0,
             .text = text,
             .fields = {}});
}

void Agent::log(Record record) {
  const LoggedRecord& kept = log_->append(std::move(record));
  if (server_) server_->publish(kept);
  alert_agents_of(kept);
}

CommandReply Agent::command(const OperatorCommand& command) {
  reply_.reset();
  step(command);
  return reply_.value_or(CommandReply{});
}

}  // namespace hapair::agent
