// The agent's thinking, whole and pure: step(now, event) gives what to make durable, what to do, what to tell.
//
// The contract with the shell around it:
//  - `persist` is written whole before anything that rests on it: the engine never gives a command that rests on a
//  state
//    which it was not told to be durable (event Durable). The shell may write and run commands in any order.
//  - `publish` true: publish block() on the status page. It shows durable epochs only.
//  - Commands are run in order as far as they are of one kind; each RunAction and each StartFence is answered once.
//  - Records are told in order.
//  - next_wakeup(): step(now, Tick{}) is due then, if nothing else comes first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/core/engine_events.h"
#include "agent/core/model.h"
#include "agent/core/ownership_ballot.h"
#include "agent/core/ownership_look.h"
#include "agent/core/partner_view.h"
#include "agent/core/permit.h"
#include "agent/core/pool_sequence.h"
#include "agent/core/transitions.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/names.h"
#include "ccm/wire/poison.h"
#include "heartbeat/local_health.h"
#include "heartbeat/sighting.h"
#include "heartbeat/verdict.h"

namespace hapair::agent {

// How long after a stop that failed it is tried again, where the partner runs the pool and it must stop here.
inline constexpr Duration kStopAgain = std::chrono::seconds(5);

// An agent that leaves its pools running waits so long for the word that frees them from their leases.
inline constexpr Duration kLeaveBound = std::chrono::seconds(5);
// How long it lasts before it is told that the partner is not heard over a disk, or does not hear.
inline constexpr Duration kOneWayTold = std::chrono::seconds(1);

class Engine {
 public:
  explicit Engine(EngineConfig config);

  EngineOutput step(Instant now, const Event& event);
  // What the wall clock shows, told again before each step: it may be set at any time.
  void tell_wall(Instant now, WallTime wall) {
    wall_at_ = now;
    wall_ = wall;
  }
  [[nodiscard]] std::optional<Instant> next_wakeup() const;

  [[nodiscard]] ccm::AgentBlockLayout block() const;
  [[nodiscard]] NodeState node_state() const;
  [[nodiscard]] NodeReason node_reason() const;
  [[nodiscard]] const EngineConfig& config() const { return config_; }
  [[nodiscard]] PoolReport pool_report(PoolIndex pool) const;
  [[nodiscard]] const PoolSequence& sequence(PoolIndex pool) const { return pools_[pool].sequence; }
  [[nodiscard]] std::vector<InhibitionReport> inhibitions(Instant now) const;
  [[nodiscard]] const heartbeat::Assessment& assessment() const { return assessment_; }
  [[nodiscard]] const std::optional<PartnerView>& partner() const { return partner_; }
  [[nodiscard]] const std::optional<FenceReport>& last_fence() const { return last_fence_; }
  // What the verdict means for this node's next act, in one sentence.
  [[nodiscard]] std::string implication() const;
  // What a look at the mailbox disks is held against; nothing: none is due.
  [[nodiscard]] const std::optional<ccm::OwnershipDecision>& lease_decision(PoolIndex pool) const {
    return pools_[pool].lease.mine;
  }
  // Every page of the partner that carries the session's MAC is to be told, not only one that shows another place.
  [[nodiscard]] bool wants_sighting() const;
  // The partner's agent answers, over the rails or a mailbox disk: it can be asked for a pool, and given one.
  [[nodiscard]] bool hears_partner() const;
  // After ShutdownAsked: nothing is left to wait for.
  [[nodiscard]] bool may_exit() const;
  // How often each row of transitions() was taken.
  [[nodiscard]] const std::vector<std::uint64_t>& rows_taken() const { return rows_taken_; }

 private:
  // Why a claim was made: what may end it again before it is proved.
  enum class ClaimCause : std::uint8_t {
    verdict,    // withdrawn when the verdict no longer allows a takeover, unless its reboot is the proof
    operator_,  // likewise when the partner is seen alive or booting
    force,      // never withdrawn: the operator knows that the partner may be well
  };
  // Of a pool that is served, decided and not begun: the vetoes are asked first.
  struct PlannedMove {
    PoolEvent event = PoolEvent::giveback_due;
    std::uint64_t decision = 0;
    bool ignore_vetoes = false;
  };
  enum class StopCause : std::uint8_t {
    none,
    request,
    giveback,
    shutdown,
    failure,
    superseded,
    stray,
    lease,
    poison,
    cluster,
  };
  struct Lease {
    enum class Ballot : std::uint8_t { none, learns, decides, claims };
    Ballot ballot = Ballot::none;  // that is out
    Instant ballot_at;             // none before
    bool learnt = false;           // `known` is of this state of the pool
    std::optional<ccm::OwnershipDecision> known;
    // Of a pool that runs here:
    std::optional<ccm::OwnershipDecision> mine;
    // The beginning of the newest complete look at the disks since `mine` is known, or with quorum since the pool may
    // run here.
    Instant looked;
    ClaimSight shows = ClaimSight::none;
    Instant until;  // nothing yet in this life of the agent: the epoch of the clock
    Instant look_at;
    std::optional<Instant> prepared_until;  // a lease is about to begin
    bool offered = false;                   // the partner is told that it runs under a lease
    bool freeing = true;                    // it is asked to give its arms up; at first, for what an earlier life said
    std::uint64_t unoffered_serial = 1;     // the publication by which it was asked
    bool awaited = false;                   // it is looked at, and nothing is started before there is a lease
    bool taken = false;                     // by the partner, while it had no lease here
    bool past_unknown = false;              // what runs may be bound by what this life's record does not say
    Instant offer_from;                     // none is offered before: the last one had to be given up
    bool trouble_told = false;
    bool absence_told = false;  // it is served without a lease for longer than it takes to come to one
    // Of a pool that is claimed, on the mailbox disks or by Corosync's quorum:
    std::optional<QuorumVigil> vigil;
    std::optional<ccm::OwnershipDecision> claim_decided;
    Instant claim_decided_at;
  };

  struct Pool {
    explicit Pool(const PoolPlan& pool_plan) : sequence(pool_plan.resources) {}

    PoolState state = PoolState::probing;
    Instant since;
    std::string reason;
    PoolSequence sequence;
    std::optional<TakeoverPermit> permit;
    std::uint64_t awaits_generation = 0;
    std::uint64_t decision = 0;
    Instant decided_at;
    std::uint64_t asked_serial = 0;
    Instant claimed_at;             // since when the claim is durable
    Epoch partner_known;            // the highest epoch that an earlier life of the partner's kernel showed
    std::uint64_t fence_round = 0;  // the first round whose answer counts for this pool
    StopCause stop_cause = StopCause::none;
    ClaimCause claim_cause = ClaimCause::verdict;
    std::optional<Instant> bound;
    std::vector<Instant> givebacks;  // by itself, in this life of the agent
    std::optional<PlannedMove> move;
    std::string veto;  // what was said last against a giveback by itself
    std::optional<Instant> veto_until;
    bool vetoes_request = false;  // of the partner's; until it is withdrawn
    bool requests_now = false;    // this node's request overrides vetoes
    bool fence_counted = false;   // its claim counts as a fence by itself, and none has begun yet
    bool fence_over = false;      // no fence was confirmed; the end of the partner's lease is waited for
    Lease lease;
    bool ordered = false;   // the cluster wants it here, and it was not lost since
    bool unwanted = false;  // the cluster has said that it does not, in this life of the agent
    // Of an order that nothing has come of: nobody waits for it then any more, and the cluster may have decided anew.
    std::optional<Instant> order_until;
    Epoch ordered_above;         // what the cluster has seen of its epochs, where the partner does not tell
    bool start_wanted = false;   // by an operator, who said that the cause is repaired
    bool held_back = false;      // it is looked at, and nothing is started: maintenance
    bool stopped_again = false;  // after a stop that failed, for the poison that stands
    bool failed_here = false;
    bool disk_refused = false;      // failed_here or takeover_refused is the disk's fault: over when a write succeeds
    bool giveback_refused = false;  // the home node did not take it: not again before something changes
    bool takeover_refused = false;  // no fence was confirmed, or no claim could be written: not again before something
                                    // changes
  };

  // engine.cc: events
  void on(Instant now, const Started& event);
  void on(Instant now, const PartnerAssessed& event);
  void on(Instant now, const PartnerSeen& event);
  void on(Instant now, const LocalStrained& event);
  void on(Instant now, const PartnerBlock& event);
  void take_block(Instant now, const PartnerBlock& event);
  void on(Instant now, const Durable& event);
  void on(Instant now, const NotDurable& event);
  void on(Instant now, const FenceProgress& event);
  void on(Instant now, const FenceDone& event);
  void on(Instant now, const ActionDone& event);
  void on(Instant now, const OperatorCommand& event);
  void on(Instant now, const VetoDone& event);
  void on(Instant now, const ShutdownAsked& event);
  void on(Instant now, const Tick& event);
  void refuse_dropped(Instant now, const std::string& pool, std::uint64_t decision);
  void take_sequence(Instant now, PoolIndex index, const PoolSequence::Output& output);
  void finish(Instant now);

  // engine_fencing.cc: when the partner is fenced, and whether the answer is believed
  void fence_if_wanted(Instant now);
  void start_fence_round(Instant now);
  void take_fence_report(Instant now, const FenceReport& report);
  void conclude_fence(Instant now, const FenceReport& report, const std::vector<PoolIndex>& concerned);
  void note_running(Instant now, heartbeat::Verdict before);
  void end_doubt(Instant now);
  [[nodiscard]] bool partner_runs(Instant now) const;
  void heed_operator(Instant now);
  [[nodiscard]] bool operator_word_holds() const;
  [[nodiscard]] bool fence_limit_reached(Instant now) const;
  [[nodiscard]] bool fence_counted() const;
  [[nodiscard]] bool fence_under_way() const;
  void count_fence(Instant now);
  void uncount_fence(PoolIndex index);
  void refuse_fence(Instant now, PoolIndex index);

  // engine_lease.cc: this node's leases
  void on(Instant now, const LeaseGround& event);
  void on(Instant now, const OwnershipSeen& event);
  void on(Instant now, const BallotDone& event);
  [[nodiscard]] bool bound(PoolIndex index) const;
  [[nodiscard]] bool may_run_here(PoolIndex index) const;
  [[nodiscard]] bool anything_runs(PoolIndex index) const;
  [[nodiscard]] bool keeps_promise(PoolIndex index) const;
  [[nodiscard]] bool taken_by_partner(PoolIndex index) const;
  [[nodiscard]] std::string why_no_lease(Instant now, PoolIndex index) const;
  void forget_lease(PoolIndex index);
  [[nodiscard]] std::optional<Instant> absence_at(PoolIndex index) const;
  void tell_absence(Instant now, PoolIndex index);
  void tell_left_bound(Instant now);
  [[nodiscard]] Duration lease_time() const;
  [[nodiscard]] std::chrono::milliseconds lease_over() const;
  [[nodiscard]] bool grounded() const;
  [[nodiscard]] bool one_mailbox() const;
  [[nodiscard]] bool partner_may_arm() const;
  [[nodiscard]] bool partner_hears() const;
  [[nodiscard]] bool lease_good(Instant now, PoolIndex index) const;
  void take_own(Instant now, PoolIndex index);
  void tell_mailbox_trouble(Instant now, PoolIndex index, std::string_view what);
  void renew_lease(Instant now, PoolIndex index, Instant began);
  void prepare_lease(Instant now, PoolIndex index);
  bool settle_lease(Instant now, PoolIndex index);
  [[nodiscard]] std::optional<Instant> lease_over_at(PoolIndex index) const;
  void free_from_lease(PoolIndex index);
  void offer_lease(Instant now, PoolIndex index);
  void set_offered(Instant now, PoolIndex index, bool offered, const std::string& why);
  void ask_for_freedom(PoolIndex index);
  [[nodiscard]] Lease::Ballot ballot_wanted(PoolIndex index) const;
  void ask_disks(Instant now, PoolIndex index);
  void feed();
  [[nodiscard]] std::optional<Instant> lease_due(PoolIndex index) const;
  [[nodiscard]] bool leaves_bound(Instant now) const;

  // engine_quorum.cc: leases on Corosync's quorum
  void on(Instant now, const QuorumSeen& event);
  [[nodiscard]] bool by_mailbox() const { return config_.policy.lease_arbiter == LeaseArbiter::mailbox; }
  [[nodiscard]] bool by_quorum() const { return config_.policy.lease_arbiter == LeaseArbiter::quorum; }
  [[nodiscard]] bool looks_count(PoolIndex index) const;
  [[nodiscard]] bool lapsed(Instant now, PoolIndex index) const;
  [[nodiscard]] bool partner_in_ring() const;
  [[nodiscard]] std::string no_quorum_text(Instant now) const;
  [[nodiscard]] std::string why_no_quorum_lease(Instant now, PoolIndex index) const;
  void tell_quorum_trouble(Instant now, PoolIndex index, const std::string& why);
  void keep_vigil(Instant now, PoolIndex index, const QuorumLook& look);
  void tell_no_vigil(Instant now, PoolIndex index);
  [[nodiscard]] std::optional<Instant> no_vigil_at(PoolIndex index) const;
  [[nodiscard]] bool keeps_vigil(PoolIndex index) const;
  [[nodiscard]] std::optional<Instant> vigil_over(PoolIndex index) const;
  [[nodiscard]] bool quorum_wanted() const;
  void ask_quorum(Instant now);

  // engine_expiry.cc: the partner's leases
  void follow_arms(PoolIndex index);
  [[nodiscard]] bool may_arm(PoolIndex index) const;
  [[nodiscard]] bool expiry_possible(PoolIndex index) const;
  [[nodiscard]] bool provable(PoolIndex index) const;
  void refuse_unprovable(Instant now, PoolIndex index);
  void take_claim(Instant now, PoolIndex index);
  [[nodiscard]] std::optional<Instant> expiry_at(PoolIndex index) const;
  bool take_expiry(Instant now, PoolIndex index);

  // engine_poison.cc: the partner has this node stop everything
  void on(Instant now, const Poisoned& event);
  void on(Instant now, const PoisonOver& event);
  [[nodiscard]] bool poisoned() const { return poison_.has_value(); }
  void obey_poison(Instant now);
  void answer_poison(Instant now);
  [[nodiscard]] std::string poison_fails() const;
  [[nodiscard]] bool holds_nothing_here(PoolIndex index) const;

  // engine_notices.cc: a partner that is heard over mailbox disks alone
  void on(Instant now, const PartnerHeard& event);
  // Over mailbox disks, while every link is cut. Both: the partner's agent is heard, and has seen this one.
  enum class Hearing : std::uint8_t { none, one_way, both };
  [[nodiscard]] Hearing hearing() const;
  [[nodiscard]] std::string_view one_way_text() const;
  [[nodiscard]] bool deaf() const;
  void tell_heard(Instant now);
  [[nodiscard]] std::optional<Instant> one_way_at() const;
  [[nodiscard]] bool partner_can_take() const;
  [[nodiscard]] bool partner_ready() const;
  void tell_channel(Instant now, PoolIndex index, const Transition& row);

  // engine_vetoes.cc: planned moves
  bool vetted(PoolIndex index, PlannedMove move);
  void take_veto(Instant now, PoolIndex index, const PlannedMove& move, const std::string& said);

  // engine_inhibitions.cc: what an operator has forbidden
  void command_inhibit(Instant now, const OperatorCommand& command);
  void command_allow(Instant now, const OperatorCommand& command);
  [[nodiscard]] bool inhibited(Inhibited what) const;
  [[nodiscard]] bool takeover_inhibited() const;
  [[nodiscard]] bool giveback_inhibited() const;
  [[nodiscard]] bool hands_over() const;
  [[nodiscard]] std::string inhibition_text() const;
  void recall_inhibitions(Instant now, const DurableState& kept);
  void end_inhibitions(Instant now);
  void end_inhibition(Instant now, Inhibited what, const std::string& how);
  void apply_maintenance(Instant now);
  void note_partner_maintenance(Instant now);
  [[nodiscard]] WallTime wall(Instant now) const;
  [[nodiscard]] std::optional<Instant> end_of(Inhibited what) const;
  [[nodiscard]] std::uint32_t maintenance_left_s(Instant now) const;

  // engine_cluster.cc: a cluster decides which node serves a pool
  void command_promote(Instant now, const OperatorCommand& command);
  void command_demote(Instant now, const OperatorCommand& command);
  bool follow_cluster(Instant now, PoolIndex index);
  [[nodiscard]] bool cluster_vouches(PoolIndex index) const;
  [[nodiscard]] bool partner_had_nothing(PoolIndex index) const;
  [[nodiscard]] bool refuse_for_cluster(Instant now, const OperatorCommand& command);
  [[nodiscard]] NodeReason cluster_reason() const;
  void on(Instant now, const ClusterTold& event);
  void tell_cluster(Instant now);
  [[nodiscard]] std::string cluster_words(ClusterWord word) const;
  [[nodiscard]] std::optional<Instant> tell_cluster_at() const;

  // engine_commands.cc: what an operator may ask, and why not
  void command_takeover(Instant now, const OperatorCommand& command);
  void command_giveback(Instant now, const OperatorCommand& command);
  void command_reset(Instant now, const OperatorCommand& command);
  void command_confirm_down(Instant now, const OperatorCommand& command);
  [[nodiscard]] std::optional<std::string> confirm_down_refusal(Instant now, const OperatorCommand& command) const;
  [[nodiscard]] std::optional<std::string> takeover_refusal(PoolIndex index, bool force) const;
  [[nodiscard]] std::string deaf_text() const;
  [[nodiscard]] std::optional<std::string> giveback_refusal(PoolIndex index) const;
  void refuse(Instant now, const OperatorCommand& command, const std::string& why);

  // engine_pools.cc: the transition table at work
  bool fire(Instant now, PoolIndex index, PoolEvent event, std::uint64_t decision);
  [[nodiscard]] bool holds(Guard guard, PoolIndex index) const;
  void enter(Instant now, PoolIndex index);
  void leave(PoolIndex index);
  void settle(Instant now);
  bool settle_pool(Instant now, PoolIndex index);
  bool look_at_partner(Instant now, PoolIndex index);
  void follow_partner_record(PoolIndex index);
  [[nodiscard]] bool partner_holds(PoolIndex index) const;
  [[nodiscard]] bool partner_runs_above(PoolIndex index) const;
  [[nodiscard]] std::optional<Instant> down_at() const;
  [[nodiscard]] bool claim_carried(Instant now, PoolIndex index) const;
  [[nodiscard]] std::optional<Instant> giveback_at(PoolIndex index) const;
  [[nodiscard]] bool giveback_limit_reached(Instant now, PoolIndex index);
  [[nodiscard]] Duration stop_bound(PoolIndex index) const;
  void note_going_down(heartbeat::Verdict before);
  bool make_permit(Instant now, PoolIndex index, PoolEvent event);

  // engine_reboot.cc: a partner that reboots
  [[nodiscard]] bool partner_rebooted(PoolIndex index) const;
  [[nodiscard]] bool any_rebooted() const;
  [[nodiscard]] bool reboot_awaited(PoolIndex index) const;
  bool look_for_reboot(Instant now, PoolIndex index);
  [[nodiscard]] bool may_answer(const PublishedView& view) const;
  void note_asking_life(PoolIndex index);
  void record_stall(Instant now, const std::optional<heartbeat::PhaseStall>& before);
  void record_hung_client(Instant now, const std::string& before);

  // engine_report.cc: what others see
  void record(Instant now, Severity severity, std::string kind, std::optional<PoolIndex> pool, std::uint64_t decision,
              std::string text, std::vector<std::pair<std::string, std::string>> fields = {});
  void record_transition(Instant now, PoolIndex index, const Transition& row);
  void record_notes(Instant now, PoolIndex index, const PoolSequence::Output& output);
  void record_serving(Instant now, PoolIndex index);
  void tell_what_is_waited_for(Instant now);
  void record_assessment(Instant now, const heartbeat::Assessment& assessment);
  [[nodiscard]] PublishedView published(Instant now) const;
  void publish_changes(Instant now);
  void set_phase();

  [[nodiscard]] const PoolPlan& plan(PoolIndex index) const { return config_.pools[index]; }
  [[nodiscard]] bool at_home(PoolIndex index) const { return plan(index).home == config_.self; }
  [[nodiscard]] const PoolDurable& durable(PoolIndex index) const { return confirmed_.pools[index]; }
  [[nodiscard]] PoolDurable& draft(PoolIndex index) {
    dirty_ = true;
    return wanted_.pools[index];
  }
  [[nodiscard]] const PartnerPool* partner_pool(PoolIndex index) const;
  [[nodiscard]] Epoch known_epoch(PoolIndex index) const;
  [[nodiscard]] Epoch epoch_to_claim(PoolIndex index) const;
  [[nodiscard]] bool partner_able() const;  // alive, its agent answers, and it does not leave
  std::uint64_t new_decision();

  EngineConfig config_;
  std::vector<PoolName> names_;
  std::vector<Pool> pools_;
  BootId boot_id_;
  bool started_ = false;
  bool offline_ = false;
  bool dropped_ = false;  // for the configuration has no pool that is served here under a lease
  std::string offline_reason_;
  bool shutting_down_ = false;
  Instant started_at_;
  Instant shutdown_at_;
  ccm::PairSide own_side_;
  LeaseGround ground_;
  std::optional<QuorumLook> quorum_look_;  // the newest
  Instant quorum_look_at_;                 // the next one is due
  std::optional<Instant> ground_since_;    // the watchdog is fed as leases need it
  std::optional<FeedUntil> told_feed_;
  std::optional<Instant> standing_;  // what an earlier life of this agent had the watchdog fed to
  bool told_left_bound_ = false;

  DurableState wanted_;                      // as it will be once everything that was asked for is written
  DurableState confirmed_;                   // as it is on disk
  std::optional<PersistRequest> in_flight_;  // one at a time, so that a failed write takes no later one with it
  std::uint64_t generation_ = 0;
  bool dirty_ = false;
  std::optional<Instant> rewrite_at_;  // the last write failed
  bool doubtful_ = false;  // and the disk may say that this node holds a pool or is armed: no question is answered
                           // until one succeeds

  WallTime wall_{};
  Instant wall_at_;
  int strain_ = 1;  // by how much this node's own state widens its limits
  std::string strain_fact_;

  heartbeat::Assessment assessment_;
  std::optional<PartnerView> partner_;
  std::string partner_channel_;  // by which `partner_` came; empty: a rail
  bool agent_heard_ = false;     // over mailbox disks
  std::string heard_channel_;    // of them
  Hearing hearing_ = Hearing::none;
  Instant hearing_since_;
  std::optional<Instant> deaf_since_;
  Hearing told_hearing_ = Hearing::none;
  std::optional<PartnerView> unheeded_;  // what the partner published while a fence proves that it is down
  std::uint64_t replaced_life_ = 0;      // of the partner's agent: its pages that come late are old ones
  std::uint64_t replaced_serial_ = 0;    // up to this one
  BootId partner_boot_;                  // of the page that `partner_` is from
  BootId unheeded_boot_;                 // of the page that `unheeded_` is from
  std::optional<heartbeat::Sighting> sighting_;
  bool went_down_with_pools_ = false;   // it said that it goes down and keeps its pools, and is dark since
  Instant told_cluster_;                // since when the verdict stands that the cluster was told of last
  bool told_to_wait_ = false;           // the operator was told what this node waits for
  std::uint64_t partner_decision_ = 0;  // the decision that the last change of the verdict opened
  bool config_differs_ = false;
  bool partner_down_proven_ = false;  // by a fence; until a page of a later life is read

  bool fence_in_flight_ = false;
  std::uint64_t fence_round_ = 0;
  std::uint64_t fence_round_step_ = 0;  // the step in which that round began
  std::uint64_t steps_ = 0;
  Instant last_step_;
  int fence_tries_ = 0;
  bool fence_series_counted_ = false;   // the attempts that are under way count as a fence by itself
  bool fence_series_doubtful_ = false;  // one of them may have done something
  std::optional<Instant> fence_retry_at_;
  std::optional<FenceReport> last_fence_;
  std::optional<ccm::PoisonOrder> poison_;  // the partner's, that is not answered yet
  ccm::PoisonOrder poison_known_;           // the last one
  std::uint64_t poison_decision_ = 0;
  bool poison_failed_ = false;  // and the CCM was told that it cannot be
  std::string unlisted_;        // a pool that this node had started and its configuration no longer has; else empty
  // An operator's word that the partner is down, while the verdict stays what it was when it was given.
  std::optional<FenceReport> operator_word_;
  std::optional<FenceReport> doubted_fence_;                       // confirmed, while the partner was still seen to run
  bool runs_ = false;                                              // when it was last looked at
  heartbeat::Verdict seen_running_ = heartbeat::Verdict::unknown;  // by which verdict
  // Since when this node has seen nothing: its own CCM was gone, and the partner was not seen since.
  std::optional<Instant> blind_since_;
  Instant doubted_until_;

  std::uint64_t next_decision_;
  std::uint64_t serial_ = 1;
  PublishedView shown_;
  std::uint64_t shown_saw_serial_ = 0;
  std::uint64_t shown_saw_life_ = 0;
  std::optional<ccm::BootPhase> phase_;
  std::vector<std::uint64_t> rows_taken_;
  EngineOutput out_;
};

}  // namespace hapair::agent
