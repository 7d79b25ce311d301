// What the configuration says about pools, fencing and policy, as plain values.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/core/pool_sequence.h"
#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/names.h"

namespace hapair::agent {

// Names and values in the order of the names; what they mean is the agent's that gets them.
using ParameterList = std::vector<std::pair<std::string, std::string>>;

enum class ResourceKind : std::uint8_t { ocf, systemd, reservation };

struct ResourceConfig {
  std::string name;
  ResourceKind kind = ResourceKind::ocf;
  std::string type;      // as configured: "ocf:heartbeat:Filesystem", "systemd:nfs-server.service", "scsi:reservation"
  std::string provider;  // of ocf: "heartbeat"
  std::string agent;     // of ocf: "Filesystem"
  std::string unit;      // of systemd: "nfs-server.service"
  ParameterList parameters;
  std::vector<std::string> devices{};  // of a reservation: the disks, each as a whole
  Duration command_timeout{};          // of a reservation: of each SCSI command
  std::vector<std::size_t> after;      // places in the pool's list; started after these and stopped before them
  Duration start_timeout{};
  Duration stop_timeout{};
  Duration monitor_timeout{};
  Duration monitor_interval{};  // from the start of one monitor to the next; zero: never
  OnFailure on_failure = OnFailure::restart;
  int restarts = 0;  // of OnFailure::restart
};

// A program that is asked before a planned move of the pool.
struct VetoConfig {
  std::string name;
  std::vector<std::string> program;  // the first is an absolute path
  Duration timeout{};
};

struct PoolConfig {
  PoolName name;
  NodeName home;
  std::vector<ResourceConfig> resources;  // at least one; `after` has no circle
  std::vector<VetoConfig> vetoes{};       // asked in this order
};

enum class FenceAction : std::uint8_t { off, reboot };
std::string_view text_of(FenceAction action);

enum class FenceKind : std::uint8_t {
  agent,   // of the fence-agents package, or of the same form
  scsi,    // hapair-reserve: takes the disks of all pools, and stops nothing but writes to them
  poison,  // no device: the partner's ccmd is told over a rail to stop its pools, or to reset itself
};

struct FenceDeviceConfig {
  std::string name;
  FenceKind kind = FenceKind::agent;
  std::string program;                   // absolute path of the fence agent
  std::vector<std::string> arguments{};  // of its command line; those of the package need none
  ParameterList options;
  FenceAction action = FenceAction::off;
  Duration timeout{};  // of each call of the agent; of poison, for its answer
  Duration delay{};    // before its first call
};

struct FencingConfig {
  std::vector<FenceDeviceConfig> devices;  // against the partner, in the order in which they are tried
  int attempts = 0;                        // rounds through the devices before a takeover is given up
  Duration retry{};                        // between two rounds
  int limit = 0;                           // fences by itself within `limit_within`; 0: any number
  Duration limit_within{};
};

struct HeartbeatConfig {
  Duration floor{};        // a partner is never called silent earlier than this
  Duration ceiling{};      // nor later than this
  Duration agent_floor{};  // the same floor for the beat of the partner's agent
  // How long the partner may stand in a phase of its boot or shutdown, by the phase's number; zero: without a bound.
  std::array<Duration, ccm::kBootPhases> phase_bounds{};
};

enum class ArbiterKind : std::uint8_t {
  none,     // only confirmed fencing, a release or a reboot permits
  mailbox,  // and the end of a lease that the mailbox disks give (agent/core/lease.h)
  // Pacemaker says which node serves a pool, through ocf:hapair:storage-pair (agent/core/engine_cluster.cc)
  pacemaker,
  corosync,  // as mailbox, of a lease that Corosync's quorum gives (agent/core/quorum_lease.h)
};
std::string_view text_of(ArbiterKind arbiter);

// Of ArbiterKind::pacemaker.
struct PacemakerConfig {
  // A partner that is silent here: have Corosync look for it at once, and give it up when it has not answered within
  // `consensus`, instead of waiting until its token is lost.
  bool look_at_once = true;
  Duration consensus{};
  bool request_fence = false;  // have Pacemaker fence it, also where Corosync still finds it
  std::string node{};          // what the cluster calls this node, and the partner; empty: as hapair does
  std::string partner_node{};
  ParameterList resources{};    // what the cluster calls the storage-pair resource of a pool; others: as the pool
  std::string stonith_admin{};  // programs of Pacemaker's and Corosync's
  std::string cmapctl{};
  Duration timeout{};  // of a request
};

// What this node tells a larger cluster, where it is in one; independent of the arbiter.
struct CorosyncConfig {
  bool fleet = false;  // tell a process group how this node stands, and show all that others tell (`hapair fleet`)
  std::string group{};
};

// A program of the form of Pacemaker's alert agents, told what this node decides.
struct AlertAgentConfig {
  std::string path;  // absolute
  std::string recipient{};
  ParameterList options{};  // further variables of its environment: the instance attributes of an alert
  Duration timeout{};
};

// Of ArbiterKind::mailbox and corosync.
struct LeaseConfig {
  Duration duration{};  // how long a look at the mailbox disks, or at Corosync, lets a pool run
  Duration stop{};      // its stop may take so long after that before the watchdog resets the node
};

struct TakeoverConfig {
  bool automatic = true;
  Duration hold{};                          // how long a verdict must stand before it is acted on
  Duration agent_silent{};                  // how long a partner may be without its agent before its pools are taken
  Duration ccm_silent{};                    // the same of its CCM
  std::optional<Duration> storage_stalled;  // the same of a storage that stands still; nothing: an operator decides
  Duration reboot_silent{};  // the same of all of it, where it went down in an orderly way and keeps its pools
};

struct GivebackConfig {
  bool automatic = true;
  Duration stable{};  // how long the partner must be well before it gets its pool back
  Duration bound{};   // how long it may take to take it; then this node takes it back
  int limit = 0;      // givebacks of one pool by itself within `limit_within`; 0: any number
  Duration limit_within{};
};

}  // namespace hapair::agent
