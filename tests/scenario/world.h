// Two nodes on one table: the real engine and the real judge of each, and around them a world that is simulated and
// deterministic: power, kernels, CCMs that publish and read pages, agents that crash or hang, disks, resources and the
// fence device. Commands change the world, advance() lets time pass, checkers look on.
//
// What survives what:
//   agent killed    its in-flight actions and fence end with it (the next agent ends them); resources stay as they are
//   CCM killed      the page goes with it; the runtime phase stays
//   node paused     nothing on it runs; its page can still be read; what is under way goes on after the resume
//   power off       everything but the disk
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "agent/core/engine.h"
#include "agent/core/partner_blocks.h"
#include "ccm/base/time.h"
#include "ccm/network/beat_exchange.h"
#include "ccm/poison/giver.h"
#include "ccm/poison/taker.h"
#include "ccm/wire/notice.h"
#include "heartbeat/local_health.h"
#include "heartbeat/partner_watch.h"
#include "tests/scenario/checker.h"
#include "tests/scenario/leap_clock.h"
#include "tests/scenario/pacemaker_model.h"

namespace hapair::world {

using std::chrono::milliseconds;
using std::chrono::seconds;

inline constexpr Duration kCcmPace = milliseconds(10);
inline constexpr Duration kPoisonBound = seconds(5);

enum class FenceBehaviour : std::uint8_t {
  confirmed,
  failed,
  unknown,             // and the partner runs on
  unknown_but_done,    // the partner is off, and the answer was lost
  confirmed_but_lies,  // no fence device may do this: what then happens is only repaired, not prevented
  poison,              // no device: the partner's CCM is told to stop its pools (world_poison.cc)
};

// What of a resource is really there. Broken: a part of it; it may use the pool's disk like a running one.
enum class RealState : std::uint8_t { stopped, running, broken };

enum class RailFault : std::uint8_t {
  cut,        // both ways, and neither node's own end shows it
  cut_way,    // what that node sends
  unplugged,  // that node's own end, which knows
};

struct WorldOptions {
  std::uint64_t seed = 0;                  // 0: every duration is its nominal one; otherwise they vary by the seed
  bool write_survives = true;              // a write under way when its agent is killed reaches the disk
  bool failed_write_lands = false;         // a write that is reported as failed is on the disk all the same
  bool network = false;                    // beats also go over an IP network
  bool vetoes = false;                     // each pool has a veto program on each node
  bool leap = false;                       // over quiet, in which nothing but beats would happen (world_leap.cc)
  Duration monitor_interval = seconds(1);  // of each resource
  // So many rails, over which the shipped handshake and session run (world_rails.h); 0: looks at the partner are a
  // stand-in that knows the whole world.
  std::size_t rails = 0;
  // 1 or 3: mailbox disks, and a watchdog on each node; policy.lease_arbiter says whether leases rest on them.
  std::size_t mailbox_disks = 0;
  bool pacemaker = false;  // it decides (pacemaker_model.h): with policy.cluster_decides
  // In their place: a Corosync on each node, and its quorum; policy.lease_arbiter is quorum.
  bool corosync = false;
  // The third vote is a quorum device's, and so long a node counts it after it was lost; 0: a third node's.
  Duration device_slack{};
  bool mailbox_beats = false;  // beats and notices go over the mailbox disks too (world_disk_beats.cc)
  ccm::PoisonReset poison_reset = ccm::PoisonReset::watchdog;  // of a node that is poisoned and does not stop
  agent::EnginePolicy policy;
};
agent::EnginePolicy scenario_policy();

struct Told {
  NodeIndex node = 0;
  agent::Record record;
};

// What tests/bench/detection puts the nodes under, as far as beats and looks feel it.
struct Load {
  Duration late{};           // each beat and look comes up to so much later
  int stalls_per_mille = 0;  // and so many of them
  Duration stall{};          // so much later
  int lost_per_cent = 0;     // of the answers, and of the network's beats
  int delayed_looks = 0;     // an answer comes up to so many looks later
  Duration delay{};          // over rails: each way takes up to so long
  int memory_per_cent = 0;   // of the time everything waits for memory
  int io_per_cent = 0;       // likewise for disks
};

class World {
 public:
  static constexpr std::size_t kNodes = 2;

  explicit World(const WorldOptions& options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Of both nodes, from now on: their beats and looks come late, some very late; answers are late or lost.
  void set_load(const Load& load);

  // Commands. Each is harmless where it does not apply.
  void boot(NodeIndex node, bool with_agent = true);  // without: its agent never comes up
  void power_off(NodeIndex node);
  void reset(NodeIndex node);  // its power goes and comes back, without a warning
  void panic(NodeIndex node);  // its crash kernel comes up, publishes that, and reboots later
  void shut_down(NodeIndex node, bool and_boot);
  void pause(NodeIndex node);
  void resume(NodeIndex node);
  void kill_agent(NodeIndex node);
  void start_agent(NodeIndex node);
  void stop_agent(NodeIndex node);  // politely: it hands over and says goodbye
  void hang_agent(NodeIndex node);
  void wake_agent(NodeIndex node);
  // Its storage software, a client of the CCM that tells its progress from the first time on: no work is completed, or
  // it is again.
  void set_storage(NodeIndex node, bool stands);
  void hang_client(NodeIndex node);  // that client: neither beats nor works, and has nothing to do
  void kill_ccm(NodeIndex node);
  void start_ccm(NodeIndex node);
  void stall_boot(NodeIndex node);  // the next boot gets no further than its initramfs
  void go_on_booting(NodeIndex node);
  void set_link(bool up);  // of every rail; up: whatever was wrong with one
  // Where the world has rails, of that one.
  void set_rail(std::size_t rail, RailFault fault, NodeIndex node, bool there);
  // There, the storage software: the client of the CCM that wants ports. With each start it is another one.
  void kill_client(NodeIndex node);
  void start_client(NodeIndex node);
  void set_network(bool up);
  std::optional<agent::CommandReply> command(NodeIndex node, const agent::OperatorCommand& command);
  // What the fence device says when `asker` asks; the last one holds for all that follow.
  void set_fence(NodeIndex asker, std::deque<FenceBehaviour> answers);
  void set_action_fails(NodeIndex node, agent::ResourceId resource, agent::ResourceAction action, bool fails);
  void set_action_hangs(NodeIndex node, agent::ResourceId resource, agent::ResourceAction action, bool hangs);
  // What that program says against a planned move from now on; empty: nothing.
  void set_veto(NodeIndex node, agent::PoolIndex pool, std::string said);
  void kill_resource(NodeIndex node, agent::ResourceId resource);
  void corrupt_record(NodeIndex node);
  void set_disk_fails(NodeIndex node, bool fails);
  void set_wrong_key(NodeIndex node, bool wrong);
  // The mailbox disk for that node, or for both.
  void set_mailbox(NodeIndex node, std::size_t disk, bool works);
  void set_mailbox_disk(std::size_t disk, bool works);
  // Corosync (world_quorum.cc): its rings are cut or whole; of one node, it runs or not, and its quorum device is
  // reached or not.
  void set_ring(bool whole);
  void set_corosync(NodeIndex node, bool runs);
  void set_device(NodeIndex node, bool reached);
  // What the node's block of beats holds now is kept, and from then on read in place of what it writes.
  void record_block(NodeIndex node, std::size_t disk);
  void replay_block(NodeIndex node, std::size_t disk);
  // Where the world has one.
  PacemakerModel* pacemaker() { return pacemaker_ ? &*pacemaker_ : nullptr; }
  void cluster_told(NodeIndex by, agent::ClusterWord word);  // it has done so
  void repair_everything();  // links, disks, resources, fence devices, hung agents, paused nodes
  void advance(Duration time);
  // Until `done` or `at_most` has passed; checked after every event.
  bool advance_until(const std::function<bool()>& done, Duration at_most);

  void add_checker(std::unique_ptr<Checker> checker) { checkers_.push_back(std::move(checker)); }

  // What there is to see.
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] bool powered(NodeIndex node) const { return nodes_[node].powered; }
  [[nodiscard]] bool paused(NodeIndex node) const { return nodes_[node].paused; }
  [[nodiscard]] bool panicked(NodeIndex node) const { return nodes_[node].phase == ccm::BootPhase::panicked; }
  [[nodiscard]] bool agent_hung(NodeIndex node) const { return nodes_[node].agent_hung; }
  [[nodiscard]] std::uint64_t boots(NodeIndex node) const { return nodes_[node].boots; }  // of its power or a reset
  [[nodiscard]] bool wrong_key(NodeIndex node) const { return nodes_[node].wrong_key; }
  [[nodiscard]] const agent::Engine* engine(NodeIndex node) const;
  [[nodiscard]] const heartbeat::PartnerWatch* watch(NodeIndex node) const;
  [[nodiscard]] const std::optional<agent::DurableState>& disk(NodeIndex node) const { return nodes_[node].disk; }
  // What was last read from the disk, or reported as being on it.
  [[nodiscard]] const std::optional<agent::DurableState>& relied_on(NodeIndex node) const {
    return nodes_[node].relied_on;
  }
  [[nodiscard]] const BootId& boot_id(NodeIndex node) const { return nodes_[node].boot_id; }
  [[nodiscard]] RealState real(NodeIndex node, agent::ResourceId resource) const;
  [[nodiscard]] std::optional<agent::ResourceAction> under_way(NodeIndex node, agent::ResourceId resource) const;
  [[nodiscard]] bool has_any(NodeIndex node, agent::PoolIndex pool) const;  // of its resources, as they really are
  [[nodiscard]] bool has_all(NodeIndex node, agent::PoolIndex pool) const;
  [[nodiscard]] bool served_once(agent::PoolIndex pool) const;
  // Both agents run and agree who serves what, and nothing is on the way.
  [[nodiscard]] bool settled() const;
  [[nodiscard]] std::size_t pools() const { return plans_.size(); }
  [[nodiscard]] const agent::PoolPlan& plan(agent::PoolIndex pool) const { return plans_[pool]; }
  [[nodiscard]] std::string name(NodeIndex node) const { return node == 0 ? "a" : "b"; }
  [[nodiscard]] std::uint64_t engine_steps(NodeIndex node) const { return nodes_[node].engine_steps; }
  [[nodiscard]] bool fault_injected() const { return fault_injected_; }
  [[nodiscard]] bool fence_lied() const { return fence_lied_; }
  // An operator had a pool taken by a node that had not seen its partner: it cannot know the partner's epoch.
  [[nodiscard]] bool taken_blindly() const { return taken_blindly_; }
  // Its partner's order is obeyed and answered, as its CCM has it.
  [[nodiscard]] bool poison_obeyed(NodeIndex node) const;
  // When its CCM took its partner's order, as its agent knows.
  [[nodiscard]] Instant poisoned_at(NodeIndex node) const { return nodes_[node].agent->poisoned_at; }
  [[nodiscard]] bool record_reset(NodeIndex node) const { return nodes_[node].record_reset; }
  [[nodiscard]] bool record_corrupt(NodeIndex node) const { return nodes_[node].record_corrupt; }
  [[nodiscard]] bool forced(NodeIndex node) const { return nodes_[node].forced; }
  [[nodiscard]] std::string describe() const;
  // How often each row of the transition table was taken, by all agents that there were.
  [[nodiscard]] std::vector<std::uint64_t> rows_taken() const;
  // All that beats on both nodes has done so for so long that quiet can be leapt over.
  [[nodiscard]] bool steady() const { return steady(0) && steady(1); }
  [[nodiscard]] Duration leapt() const { return leapt_; }
  [[nodiscard]] Instant wire_now() const { return wire(); }

  // What really is so, and no node can know (world_truth.cc). All of the node that beats does, and nothing of it
  // leaves.
  [[nodiscard]] bool sound(NodeIndex node) const;
  // Both are sound, and the beats of the one reach the other, over the rail or a network.
  [[nodiscard]] bool in_touch() const;
  // Nothing is wrong with any rail, or with the one of them that is left.
  [[nodiscard]] bool rail_works() const;
  // That node's CCM runs, and so does its client that wants ports; each of these is ready, as it was told.
  [[nodiscard]] bool wants_ports(NodeIndex node) const;
  [[nodiscard]] bool ports_ready(NodeIndex node) const;
  // Another number with each life of that node's CCM, of its client, and with each change of a rail.
  [[nodiscard]] std::uint64_t port_changes() const { return port_changes_; }

  std::vector<Told>& told() { return told_; }
  void violation(std::string text);
  [[nodiscard]] const std::vector<std::string>& violations() const { return violations_; }

 private:
  struct Rails;     // world_rails.h: what the world has of them
  struct CcmRails;  // and one life of a CCM
  // Who must be able to run for an event to happen: anything, the node, or its agent.
  enum class Scope : std::uint8_t {
    world,
    node,
    beat,  // the node, for a round of its CCM's loop
    agent,
  };
  struct Scheduled {
    Instant at;
    std::uint64_t serial = 0;  // of equal times, the first scheduled comes first
    Scope scope = Scope::world;
    NodeIndex node = 0;
    std::uint64_t life = 0;  // of the node's power or of the agent
    std::function<void()> run;
    bool operator>(const Scheduled& other) const { return at != other.at ? at > other.at : serial > other.serial; }
  };

  // Of the looks of an agent's judge, one a round of its CCM, what a leap rests on.
  struct LookNotes {
    Instant last;
    std::uint64_t steady = 0;                 // in a row, as all before them
    std::array<Duration, 4> silences{};       // after the last one, of each detector
    std::optional<Instant> may_have_flapped;  // a detector remembers that for a minute
  };
  struct Mailbox {  // an agent's
    std::vector<agent::OwnershipBallot> ballots;
    std::vector<agent::OwnershipLook> looks;
  };
  struct MailboxDisk {
    bool lost = false;
    std::array<std::map<agent::PoolIndex, ccm::OwnershipSlot>, 2> slots;  // of each node
    std::array<std::array<ccm::DiskBlock, 2>, 2> beats{};  // of each node: the newest write, and the one before it
    std::array<std::optional<ccm::DiskBlock>, 2> recorded;
    std::array<bool, 2> replays{};
  };

  // Corosync on a node.
  struct Corosync {
    bool stopped = false;
    bool cut_off = false;  // from the quorum device
    bool running = false;
    bool partner = false;  // is a member of its ring
    bool quorate = false;
    std::uint64_t ring = 0;
    std::uint64_t standing = 0;  // QuorumLook::standing
    Instant formed;              // nothing is delivered in that ring before
    Instant votes_until;         // that it does not have any more, of the device
  };
  // Of a CCM at one disk.
  struct DiskBeats {
    DiskBeats(const ccm::BeatIdentity& identity, const ccm::Key& key) : exchange(identity, key) {}
    ccm::BeatExchange exchange;
    bool under_way = false;
    std::array<std::byte, ccm::kBeatBytes> last{};  // the beat that was read last
    std::optional<ccm::DiskBlock> came;
  };
  struct Notice {
    agent::BlockReading reading;
    agent::AgentBeat agent;
    ccm::AgentBlockLayout block{};
    std::string channel;
  };
  struct Seen {  // in the CCM's ring
    heartbeat::Observation observation;
    Instant posted;  // when it was asked for
    std::optional<Notice> notice;
  };

  struct Agent {
    Agent(agent::EngineConfig config, const heartbeat::WatchLimits& limits)
        : engine(std::move(config)), watch(limits), health(limits.floor), blocks(limits.ceiling + kCcmPace) {}
    agent::Engine engine;
    heartbeat::PartnerWatch watch;
    heartbeat::LocalHealth health;
    heartbeat::LocalSample sample;
    agent::PartnerBlocks blocks;
    bool told_heard = false;
    std::string channel;     // of the last notice that counted
    std::deque<Seen> inbox;  // the CCM's ring
    std::optional<heartbeat::Sighting> told_sighting;
    std::optional<Instant> wakeup;
    std::optional<ccm::AgentBlockLayout> block;
    std::optional<ccm::BootPhase> phase;
    bool leaves = false;
    Instant disk_free_at;
    LeapClock clock;
    LookNotes looks;
    std::unique_ptr<Mailbox> mailbox;
    std::optional<agent::FeedUntil> fed_until;  // asked of the CCM
    std::optional<agent::LeaseGround> told_ground;
    // Its words in the CCM's memory, and what it knows of the CCM's.
    std::uint64_t poison_asked = 0;
    std::uint64_t poison_stopped = 0;
    std::uint64_t poison_cannot = 0;
    std::uint64_t poison_known = 0;  // PoisonTaker::number() of the last that it was told of
    ccm::PoisonOrder poison_order;   // that one
    Incarnation poison_ccm;          // by this CCM
    Instant poisoned_at = Instant::min();
    Instant poison_asked_at;
  };
  struct Ccm {
    Ccm(Incarnation own, const ccm::PoisonSettings& poison);
    ~Ccm();
    Incarnation incarnation;
    ccm::PoisonTaker poison_taker;
    ccm::PoisonGiver poison_giver;
    std::optional<ccm::PoisonOrder> poison_slot;  // of its mailbox
    ccm::PoisonAnswerLayout poison_answer{};      // as published
    std::uint64_t beat = 0;
    ccm::StatusView page;
    std::optional<ccm::ClientView> slot;  // the agent's
    std::optional<ccm::ClientView> storage;
    bool storage_stands = false;
    bool storage_hangs = false;
    std::optional<ccm::AgentBlockLayout> block;
    Incarnation session;  // of the partner's CCM that has proved itself; 0: none
    Incarnation met;
    int met_reads = 0;
    int delayed_reads = 0;  // in a row
    Duration latest{};      // of its own ticks since the agent looked at itself
    std::optional<Instant> unanswered_since;
    std::uint64_t network_serial = 0;    // of this one's beats over the network
    Incarnation network_met;             // whose beats came over it last
    std::uint64_t network_met_beat = 0;  // and the newest
    std::vector<DiskBeats> disk_beats;
    std::unique_ptr<CcmRails> rails;
  };
  struct Resource {
    RealState state = RealState::stopped;
    std::optional<agent::ResourceAction> busy;
    std::array<bool, 3> fails{};
    std::array<bool, 3> hangs{};
  };
  struct Node {
    bool powered = false;
    bool paused = false;
    bool agent_hung = false;
    bool wrong_key = false;
    bool host_up = false;     // its kernel answers
    bool client_up = true;    // that wants ports
    bool goes_down = false;   // an orderly shutdown is under way
    bool comes_back = false;  // and boots again after it
    std::uint64_t power_life = 0;
    std::uint64_t agent_life = 0;
    std::uint64_t boots = 0;
    BootId boot_id;
    ccm::BootPhase phase = ccm::BootPhase::unknown;
    Instant phase_since;
    bool boot_stalls = false;
    bool forced = false;  // an operator once asked it to fence its partner whatever it sees
    std::optional<Ccm> ccm;
    std::unique_ptr<Agent> agent;
    std::optional<agent::DurableState> disk;
    std::optional<agent::DurableState> relied_on;  // what was last read from the disk, or reported as being on it
    bool record_corrupt = false;
    bool record_reset = false;
    bool disk_fails = false;
    std::deque<FenceBehaviour> fence{FenceBehaviour::confirmed};
    std::vector<std::vector<Resource>> pools;
    std::map<agent::PoolIndex, std::string> vetoes;
    std::uint64_t fence_rounds = 0;
    bool starved = false;  // its watchdog is never fed again in this life of the kernel
    agent::WallTime wall_error{};
    std::array<bool, ccm::kMaxOwnershipDisks> mailbox_lost{};
    std::array<Instant, ccm::kMaxOwnershipDisks> mailbox_free_at{};
    std::optional<Instant> fed_until;  // kept by the CCM beyond its clients' lives and its own
    Instant fed_at;
    bool watchdog_runs = false;
    std::vector<Scheduled> deferred;
    std::uint64_t engine_steps = 0;
  };

  void boot_kernel(NodeIndex node, ccm::BootPhase phase);
  void finish_boot(NodeIndex node, bool with_agent);
  void schedule(Duration after, Scope scope, NodeIndex node, std::function<void()> run);
  void run_next();
  void release_deferred(NodeIndex node);
  void check();
  Duration vary(Duration nominal);
  void end_agent(NodeIndex node);
  void fault() { fault_injected_ = true; }

  // world_node.cc: the parts of a node
  void ccm_tick(NodeIndex node, Incarnation incarnation);
  heartbeat::Observation look(NodeIndex node);
  std::optional<heartbeat::Observation> hear(NodeIndex node);
  void drain(NodeIndex node);
  void judge(NodeIndex node, heartbeat::Observation seen, Instant posted);
  void hand_over(NodeIndex node, Seen seen);
  void take_in(NodeIndex node);

  // world_disk_beats.cc: beats and notices over the mailbox disks
  void limits_of_disk_beats(heartbeat::WatchLimits& limits) const;
  void begin_disk_beats(NodeIndex node);
  void disk_beat_turn(NodeIndex node, std::vector<Seen>& seen);
  void take_disk_block(NodeIndex node, std::size_t disk, const ccm::DiskBlock& block, std::vector<Seen>& seen);
  void write_disk_beat(NodeIndex node, std::size_t disk);
  void read_disk_beat(NodeIndex node, std::size_t disk, Incarnation incarnation);
  DiskBeats& writer_of(NodeIndex node, std::size_t disk);
  Duration stall();
  void take_notice(NodeIndex node, const Notice& notice);
  void look_whether_heard(NodeIndex node);
  void hand_on(NodeIndex node, const ccm::AgentBlockLayout& block, const BootId& boot_id, const std::string& channel);

  // world_node.cc, again
  Duration lateness();
  bool answer_is_late(Ccm& own);
  void look_at_self(NodeIndex node);
  void register_agent(NodeIndex node);
  void step(NodeIndex node, const agent::Event& event);
  void carry_out(NodeIndex node, agent::EngineOutput output);
  void arm_wakeup(NodeIndex node);
  void write(NodeIndex node, const agent::PersistRequest& request);
  void act(NodeIndex node, const agent::RunResource& action);
  void finish_action(NodeIndex node, const agent::RunResource& action, bool hung, Duration time);
  void fence(NodeIndex asker);
  void ask_vetoes(NodeIndex node, agent::PoolIndex pool);
  [[nodiscard]] agent::WallTime wall(NodeIndex node) const;

  // world_mailbox.cc: the mailbox disks and the watchdog
  [[nodiscard]] std::unique_ptr<Mailbox> mailbox_of(NodeIndex node, std::uint64_t life) const;
  void run_ballot(NodeIndex node, const agent::RunBallot& run);
  void carry_ballot(NodeIndex node, agent::PoolIndex pool, const agent::BallotOutput& out);
  void request_of_ballot(NodeIndex node, agent::PoolIndex pool, std::size_t disk, agent::DiskRequest request,
                         std::uint64_t round, const ccm::OwnershipSlot& slot);
  void look_at_disks(NodeIndex node, agent::PoolIndex pool);
  [[nodiscard]] agent::DiskSight sight_of(NodeIndex node, agent::PoolIndex pool, std::size_t disk) const;
  Duration disk_time(NodeIndex node, std::size_t disk);
  [[nodiscard]] bool disk_answers(NodeIndex node, std::size_t disk) const;
  // world_quorum.cc
  void look_at_quorum(NodeIndex node);
  void complete_look(NodeIndex node, Instant began, std::uint64_t life);
  void follow_corosync();
  void form_rings();
  void give_vote();
  void regroup(NodeIndex node);
  [[nodiscard]] bool has_corosync(NodeIndex node) const;
  [[nodiscard]] bool counts_votes(NodeIndex node) const;

  void feed_watchdog(NodeIndex node);
  void watch_watchdog(NodeIndex node);
  void set_phase(NodeIndex node, ccm::BootPhase phase);
  void pacemaker_turn();
  void agent_gone(NodeIndex node, ccm::ClientState how);
  void leave_if_done(NodeIndex node);
  void agent_left(NodeIndex node);
  void put_on_disk(NodeIndex node, std::optional<agent::DurableState> state, bool reported);

  // world_poison.cc
  void poison(NodeIndex asker);
  void poison_turn(NodeIndex node, bool sees_partner);
  void take_poison(NodeIndex node);
  void see_poisoned(NodeIndex node);
  void give_poison(NodeIndex node, const ccm::PoisonWrite& write);
  void answer_poison(NodeIndex node, const agent::AnswerPoison& answer);
  void end_poison(NodeIndex asker, agent::FenceResult result, const std::string& reason);
  void tell_agent_of_poison(NodeIndex node);
  void reset_by(NodeIndex node, const std::string& what);

  // world_rails.cc
  [[nodiscard]] Instant wire() const { return now_ - leapt_; }
  void open_rails(NodeIndex node);
  std::unique_ptr<Rails> make_rails();
  void register_client(NodeIndex node);
  void publish_over_rails(NodeIndex node);
  void look_over_rails(NodeIndex node, bool beats);
  void take_observations(NodeIndex node);
  void turn_rails(NodeIndex node, Incarnation incarnation);
  void arm_rails();
  void apply_rails();
  [[nodiscard]] std::string describe_ports(NodeIndex node) const;
  [[nodiscard]] bool rails_steady(NodeIndex node) const;
  void skip_rails(NodeIndex node, Duration length);
  [[nodiscard]] bool reread_key(NodeIndex node);

  // world_leap.cc: over quiet
  void note_look(NodeIndex node);
  [[nodiscard]] bool steady(NodeIndex node) const;
  void leap(Instant end);
  void skip(NodeIndex node, Duration length, Instant last_round);

  WorldOptions options_;
  std::mt19937_64 random_;
  std::vector<agent::PoolPlan> plans_;
  Instant now_ = Instant(seconds(1000));
  std::uint64_t serial_ = 0;
  std::priority_queue<Scheduled, std::vector<Scheduled>, std::greater<>> queue_;
  std::unique_ptr<Rails> rails_;  // outlives what the nodes have of it
  std::array<Node, kNodes> nodes_;
  std::array<MailboxDisk, ccm::kMaxOwnershipDisks> disks_;
  std::array<Corosync, kNodes> corosync_;
  bool ring_cut_ = false;
  std::optional<NodeIndex> vote_;  // of the device, where the two are in rings of their own
  std::uint64_t rings_ = 0;
  std::uint64_t standings_ = 0;
  Load load_;
  bool link_up_ = true;
  bool network_up_ = true;
  bool fault_injected_ = false;
  bool fence_lied_ = false;
  bool taken_blindly_ = false;
  std::uint64_t next_incarnation_ = 1;
  std::uint64_t next_life_ = 1;
  std::uint64_t next_poison_ = 1;
  std::uint64_t port_changes_ = 0;
  std::optional<agent::CommandReply> reply_;
  std::vector<Told> told_;
  std::vector<std::string> violations_;
  std::vector<std::unique_ptr<Checker>> checkers_;
  std::optional<PacemakerModel> pacemaker_;
  std::vector<std::uint64_t> ended_rows_;  // of the agents that have ended
  Duration leapt_{};
  Instant stirred_;  // when anything was last done to the world from outside
};

}  // namespace hapair::world
