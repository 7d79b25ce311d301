// What both processes of a node read from the one configuration file: who the pair is, where things are, and how the
// early channel runs. agent/config reads the rest of the same file.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/config/document.h"
#include "ccm/poison/taker.h"
#include "ccm/wire/mac.h"
#include "ccm/wire/observation.h"

namespace hapair::ccm {

enum class FabricKind : std::uint8_t { shm, iwarp, verbs };

// How an initramfs brings a rail's interface up, before anything else of the system would.
struct EarlyBootConfig {
  std::string interface;  // "name:eth1", "mac:52:54:00:12:34:56" or "path:pci-0000:00:03.0"
  std::uint8_t prefix_length = 24;
  std::string soft_rdma;  // "rxe" or "siw": the RDMA device to make on it; empty: it has its own, or needs none
  std::vector<std::string> modules;  // of the kernel: the interface's driver and its RDMA driver
};

// One interconnect device and path. A rail's number is its place in the list, which both nodes must have alike.
struct RailConfig {
  RailName name;
  FabricKind fabric = FabricKind::shm;
  std::string dir;  // of shm: the folder that both nodes see
  // Of iwarp and verbs. The early channel listens at `service_port`, the ports of clients at the one after it.
  std::string address;  // this node's, IPv4 or IPv6
  std::string partner_address;
  std::uint16_t service_port = 0;
  Duration retry_timeout{};      // without an answer for so long an operation has failed
  std::uint8_t ack_timeout = 0;  // of verbs: a queue pair's try takes 4.096 us x 2^ack_timeout
  std::uint8_t retry_count = 0;  // of verbs: tries after the first; 7 would mean for ever
  bool crc = true;               // of iwarp: a CRC32C in every frame
  std::optional<EarlyBootConfig> early_boot;
};

// An IP network that both nodes are on, or a mailbox disk that both reach, and that beats go over: what still tells of
// the partner when every rail is silent. A network's number is its place in the list, the disks after the networks,
// which both nodes must have alike.
struct NetworkConfig {
  NetworkName name;
  std::string device;   // of a mailbox disk; empty: an IP network
  std::string address;  // of an IP network, as what follows; this node's, IPv4 or IPv6
  std::string partner_address;
  std::uint16_t port = 0;  // UDP, of both ends
  Duration pace{};         // between two beats over it; a multiple of PairConfig::pace

  // As operators read it: "network mgmt", "disk mailbox".
  [[nodiscard]] std::string title() const { return (device.empty() ? "network " : "disk ") + name.text(); }
};

// The watchdog that ccmd holds (ccm/watchdog). Whole seconds, which is what Linux counts them in.
struct WatchdogConfig {
  std::string device;     // of the machine, or the socket of a container's process 1
  Duration timeout{};     // without a feed for so long, the device resets the node
  Duration pretimeout{};  // so long before it the device tells the kernel, where it can; zero: not
  // Of a container's, a promise of who wrote the file: every resource of every pool ends with the processes of this
  // container. Without it no lease rests on a container's watchdog.
  bool container_covers_pools = false;
  // A device of the machine is below /dev/, the socket of a container's process 1 elsewhere.
  [[nodiscard]] bool names_container() const { return !device.starts_with("/dev/"); }
  bool operator==(const WatchdogConfig&) const = default;
};
inline constexpr std::size_t kMaxWatchdogPath = 95;
// The loop that feeds it does so every quarter of its time-out, at the next beat; what is left is for a beat that is
// late.
inline constexpr int kPacesPerWatchdogTimeout = 10;

// What this node does when its partner poisons it (ccm/poison/taker.h).
struct PoisonConfig {
  Duration bound{};  // everything has stopped by then, or the node is reset
  PoisonReset reset = PoisonReset::none;
};
inline constexpr const char* kKernelsBootId = "/proc/sys/kernel/random/boot_id";

struct PairConfig {
  PairName pair;
  NodeName node;  // this one
  NodeName partner;
  std::string key_file;                 // at least 32 bytes; readable by its owner alone
  std::string run_dir;                  // sockets, locks and the runtime phase; gone after a reboot
  std::string boot_id_file;             // kKernelsBootId; of a container, its own
  std::vector<RailConfig> rails;        // 1 to kMaxRails
  std::vector<NetworkConfig> networks;  // 0 to kMaxNetworks, with the disks
  Duration pace{};                      // between two beats, and between two reads of the partner's page
  Duration operation_deadline{};        // after which the application gives the connection up
  std::uint64_t port_memory_bytes = 0;  // of all ports of all clients together, at the most
  std::optional<WatchdogConfig> watchdog;
  PoisonConfig poison;

  [[nodiscard]] std::string ccm_socket() const { return run_dir + "/ccm.sock"; }
};

// Reads the keys of this layer; problems go to `root.problems()`. Does not call root.finish().
PairConfig read_pair_config(ConfigObject& root);

// The key file, checked: a regular file, no rights for group and others, at least 32 bytes. The error is a sentence
// that names the file, what was found and what is allowed.
std::expected<Key, std::string> load_key(const std::string& file);

// The boot id in `file`; the error is a sentence.
std::expected<BootId, std::string> load_boot_id(const std::string& file);

}  // namespace hapair::ccm
