// What an engine is configured with, what it is told, and what it asks for (agent/core/engine.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/core/model.h"
#include "agent/core/ownership_ballot.h"
#include "agent/core/ownership_look.h"
#include "agent/core/pool_sequence.h"
#include "agent/core/quorum_lease.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/poison.h"
#include "ccm/wire/status_page.h"
#include "heartbeat/local_health.h"
#include "heartbeat/sighting.h"
#include "heartbeat/verdict.h"

namespace hapair::agent {

struct PoolPlan {
  PoolName name;
  NodeName home;
  std::vector<ResourcePlan> resources;
  std::vector<std::string> vetoes{};  // who is asked before a planned move; shown, not interpreted
  Duration vetoes_time{};             // the longest that all of them may take
};

// What ends a lease, and shows its claimant that it must have ended (lease.h).
enum class LeaseArbiter : std::uint8_t {
  none,     // no pool runs under a lease
  mailbox,  // the ballots on the mailbox disks
  quorum,   // Corosync's (quorum_lease.h)
};

struct EnginePolicy {
  bool automatic_takeover = true;
  Duration takeover_hold{};                 // how long a verdict must stand before it costs a takeover
  Duration agent_silent{};                  // how long a partner may be without its agent, while the rest of it lives
  Duration ccm_silent{};                    // likewise without its CCM
  std::optional<Duration> storage_stalled;  // likewise with a storage that stands still; nothing: an operator decides
  // How long a partner may be dark that goes down in an orderly way and said that it keeps its pools: it may well be
  // rebooting, and then its next life is the proof.
  Duration reboot_silent{};
  int fence_attempts = 3;
  // So many times within that time this node fences its partner by itself; then an operator decides. 0: no limit.
  int fence_limit = 3;
  Duration fence_window = std::chrono::hours(1);
  Duration fence_retry{};
  Duration beats_end{};  // by then the beats of a partner that was fenced are known to have ended
  bool automatic_giveback = true;
  Duration giveback_stable{};                          // how long the home node must be alive and ready first
  Duration giveback_bound = std::chrono::seconds(10);  // how long a release is offered before it is taken back
  // A pool that was given back by itself so many times within that time, and came back, stays. 0: no limit.
  int giveback_limit = 3;
  Duration giveback_window = std::chrono::hours(1);
  bool hand_over_at_shutdown = true;
  bool fences = true;  // a fence device is there
  // The cluster says which node serves a pool (arbiter pacemaker): nothing of the above but giveback_bound is in force.
  bool cluster_decides = false;
  // Of cluster_decides, of a partner that is silent: Corosync is to look for it at once; the cluster is to fence it.
  bool has_cluster_look = false;
  bool asks_for_fences = false;
  LeaseArbiter lease_arbiter = LeaseArbiter::none;
  // What follows counts only with one.
  Duration lease{};       // how long a look at the mailbox disks, or at Corosync, lets a pool run
  Duration lease_stop{};  // so long its stop may take after that, before the watchdog ends this node
};

struct EngineConfig {
  NodeName self;
  NodeName partner;
  std::vector<PoolPlan> pools;
  EnginePolicy policy;
  std::uint64_t shared_config_hash = 0;
  std::uint64_t life = 0;            // drawn at the agent's start, never 0
  std::uint64_t first_decision = 1;  // above every decision in the records of earlier lives
};

// Events.
struct Started {
  std::optional<DurableState> durable;        // nothing: there was no record
  std::optional<std::string> record_problem;  // the record is there and cannot be read: the node stays offline
  BootId boot_id;
};
struct PartnerAssessed {
  heartbeat::Assessment assessment;
};
// This node's own state changed, and with it the limits of what it watches.
struct LocalStrained {
  heartbeat::Strain strain;
};
struct PartnerBlock {  // from a page that was proved to be the partner's, or beside such a beat (partner_blocks.h)
  ccm::AgentBlockLayout block;
  BootId boot_id{};       // of that page or beat
  std::string channel{};  // "mailbox disk shared"; empty: a rail
  bool heard = false;     // over a disk: as PartnerHeard
};
// Whether the partner's agent is heard over mailbox disks while the rails are silent; told when it changes.
struct PartnerHeard {
  bool heard = false;
  std::string channel{};
};
// A page with the session's MAC, told before its verdict and its block: where the place is another one than before, and
// every one while wants_sighting().
struct PartnerSeen {
  heartbeat::Sighting sighting;
};
struct Durable {
  std::uint64_t generation = 0;  // everything up to this one is on disk
};
struct NotDurable {
  std::uint64_t generation = 0;
  std::string why;
};
struct FenceProgress {  // what a device did on the way; recorded, nothing else
  std::string text;
};
struct FenceDone {
  FenceReport report;
};
struct ActionDone {
  ResourceId resource;
  ResourceAction action = ResourceAction::monitor;
  ActionResult result;
};
struct OperatorCommand {
  // promote and demote are the cluster's, of one pool.
  enum class Kind : std::uint8_t { takeover, giveback, reset_record, inhibit, allow, confirm_down, promote, demote };
  Kind kind = Kind::takeover;
  std::vector<PoolIndex> pools{};        // empty: every pool that the command can mean
  bool force = false;                    // of takeover: by a fence, though the partner may be well
  std::string by{};                      // who asked, for the record
  bool ignore_vetoes = false;            // of takeover and giveback: they are asked, and only recorded
  Inhibited what = Inhibited::takeover;  // of inhibit and allow
  std::string reason{};                  // of inhibit
  std::optional<std::chrono::seconds>
      length{};           // of inhibit; nothing: until it is allowed again. Of promote: so long it counts
  std::string partner{};  // of confirm_down: the name that was typed
  Epoch above{};          // of promote: the highest epoch that the cluster has seen it served at
};
struct VetoDone {  // answers AskVetoes
  PoolIndex pool = 0;
  std::vector<std::string> said;  // what stands against the move, with who says so; empty: nothing
};
// What this node's leases rest on (lease.h); told when it changes.
struct LeaseGround {
  bool watchdog = false;             // it is armed, and resets this node where it is not fed
  Duration bound{};                  // at the latest so long after `fed_until`
  std::optional<Instant> fed_until;  // what the CCM has taken of FeedUntil
  std::uint64_t mailbox = 0;         // mailbox_digest(), or quorum_digest(); 0: not known yet, or they give no leases
  std::string problem{};             // of arbiter corosync: why its quorum gives none; empty: it does
};
struct OwnershipSeen {  // against lease_decision() of the pool; told when it is newer than before
  PoolIndex pool = 0;
  CompleteLook look;
};
struct QuorumSeen {  // answers LookAtQuorum, when the look was completed; one that is not is asked for again
  QuorumLook look;
};
struct BallotDone {  // answers RunBallot
  PoolIndex pool = 0;
  BallotOutcome outcome;
};
// The partner's order to stop every pool here, as this node's CCM took it; told again to an agent that comes after.
struct Poisoned {
  ccm::PoisonOrder order;
};
// Nobody waits for the answer to that order any more, and this node has not obeyed it yet.
struct PoisonOver {
  ccm::PoisonOrder order;
};
// What the cluster is told of the partner, by its own documented ways.
enum class ClusterWord : std::uint8_t {
  look,   // Corosync is to look at once who is there, instead of waiting for its token: what follows is what it finds
  fence,  // Pacemaker is to fence it
  down,   // the life of its kernel that had its pools is over, by proof
};
struct ClusterTold {  // answers TellCluster: for `look` where it was to look first, and for the word
  ClusterWord word = ClusterWord::look;
  bool done = false;
  std::string said{};  // why not
  Duration took{};
};
struct ShutdownAsked {};
struct Tick {};
using Event =
    std::variant<Started, PartnerAssessed, PartnerSeen, LocalStrained, PartnerBlock, PartnerHeard, Durable, NotDurable,
                 FenceProgress, FenceDone, ActionDone, OperatorCommand, VetoDone, LeaseGround, OwnershipSeen,
                 QuorumSeen, BallotDone, Poisoned, PoisonOver, ClusterTold, ShutdownAsked, Tick>;

// Commands.
struct RunResource {
  ResourceId resource;
  ResourceAction action = ResourceAction::monitor;
  Duration timeout{};
};
struct StartFence {};    // of the partner; one round through the configured devices
struct AbandonFence {};  // that is under way: its answer is not waited for, and no further device is tried
struct AskVetoes {       // all of the pool's, while it is served on; once at a time
  PoolIndex pool = 0;
};
struct SetPhase {
  ccm::BootPhase phase = ccm::BootPhase::unknown;
};
struct DiscardRecord {};  // the operator decided: the unreadable record goes
struct RunBallot {        // one of a pool at a time; its luck is the shell's to draw
  PoolIndex pool = 0;
  std::optional<Proposal> proposal{};
};
struct LookAtDisks {  // at what the mailbox disks say of the pool; looks need no answer
  PoolIndex pool = 0;
};
struct LookAtQuorum {};  // at what Corosync says of the ring that this node is in
struct FeedUntil {       // the watchdog; nothing: whatever becomes of this agent. It stands until the next one
  std::optional<Instant> until;
};
// Of the partner, at once, that the cluster need not wait until it misses it by itself.
struct TellCluster {
  ClusterWord word = ClusterWord::look;
};
// Of that order: nothing of any pool runs here, and the record on disk holds nothing; or that cannot be reached.
struct AnswerPoison {
  ccm::PoisonOrder order;
  bool obeyed = false;
};
using Command = std::variant<RunResource, StartFence, AbandonFence, AskVetoes, SetPhase, DiscardRecord, RunBallot,
                             LookAtDisks, LookAtQuorum, FeedUntil, AnswerPoison, TellCluster>;

struct PersistRequest {
  std::uint64_t generation = 0;
  DurableState state;
};
struct CommandReply {
  bool accepted = false;
  std::string text;
  std::uint64_t decision = 0;
};
struct EngineOutput {
  std::optional<PersistRequest> persist;
  std::vector<Command> commands;
  std::vector<Record> records;
  bool publish = false;
  std::optional<CommandReply> reply;  // of an OperatorCommand
};

// Why a node is in its state, and what an operator can do; both empty where there is nothing to say.
struct NodeReason {
  std::string why;
  std::string to_do;
  [[nodiscard]] bool empty() const { return why.empty(); }
  [[nodiscard]] std::string text() const { return why.empty() ? std::string() : why + "; " + to_do; }
};

// How a pool stands, for status.
struct InhibitionReport {
  Inhibited what = Inhibited::takeover;
  Inhibition inhibition;
  std::optional<Duration> left;  // nothing: until an operator ends it
};

struct PoolReport {
  PoolState state = PoolState::probing;
  Instant since;
  NodeName owner;  // by the durable record and the partner's page; empty: not known
  Epoch epoch;
  Epoch claim;
  std::string reason;  // the sentence of the last transition, or why it needs an operator
  bool failed_here = false;
  std::optional<Instant> giveback_due;
  bool leased = false;                // it runs here under a lease
  std::optional<Instant> lease_over;  // when that is over, if it is not renewed
  bool armed = false;                 // it may be taken when the partner's lease is over
  std::optional<Instant> expiry;      // when that is, since this node's claim is decided
  bool ordered = false;               // the cluster wants it here
  bool may_be_held = false;           // by what is on disk, on its way there, or may be there
  Epoch highest;                      // that this node knows of; it claims it at most at kClaimReach above it
};

}  // namespace hapair::agent
