#include "ccm/config/pair_config.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "ccm/base/fd.h"

namespace hapair::ccm {
namespace {

constexpr std::size_t kMinKeyFileBytes = 32;
constexpr std::size_t kMaxKeyFileBytes = 4096;

template <class NameType>
NameType read_name(ConfigObject& root, std::string_view key) {
  const std::string text = root.text(key, std::nullopt);
  const auto name = NameType::parse(text);
  if (!name && !text.empty()) {
    root.problems().add(root.path(key), "\"" + text + "\"",
                        "1 to 31 letters, digits, '-', '_' or '.', beginning with a letter or digit");
  }
  return name.value_or(NameType{});
}

std::string in_quotes(const std::string& text) { return '"' + text + '"'; }

int family_of(const std::string& address) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  for (const int family : {AF_INET, AF_INET6}) {
    if (::inet_pton(family, address.c_str(), bytes.data()) == 1) return family;
  }
  return AF_UNSPEC;
}

void require_absolute(ConfigObject& object, std::string_view key, const std::string& path) {
  if (!path.empty() && path.front() != '/') {
    object.problems().add(object.path(key), "\"" + path + "\"", "an absolute path");
  }
}

}  // namespace

namespace {

// The two ends of a rail or network.
void read_addresses(ConfigObject& object, std::string& address, std::string& partner_address) {
  address = object.text("address", std::nullopt);
  partner_address = object.text("partner_address", std::nullopt);
  const int own = family_of(address);
  const int partner = family_of(partner_address);
  for (const auto& [key, text, family] :
       {std::tuple{"address", &address, own}, std::tuple{"partner_address", &partner_address, partner}}) {
    if (family == AF_UNSPEC && !text->empty()) {
      object.problems().add(object.path(key), in_quotes(*text), "a numeric IPv4 or IPv6 address");
    }
  }
  if (own != AF_UNSPEC && partner != AF_UNSPEC && own != partner) {
    object.problems().add_sentence(object.path("partner_address"), "the two addresses are not of one family");
  }
  if (own != AF_UNSPEC && address == partner_address) {
    object.problems().add(object.path("partner_address"), in_quotes(partner_address) + ", which is this node's own",
                          "the address of the other node");
  }
}

void read_path(ConfigObject& rail, RailConfig& config, const Duration& operation_deadline) {
  read_addresses(rail, config.address, config.partner_address);
  config.service_port = static_cast<std::uint16_t>(rail.integer("service_port", 7480, 1, 65534));
  config.retry_timeout = rail.milliseconds("retry_timeout_ms", 50, 1, 10'000);
  if (config.retry_timeout > operation_deadline) {
    rail.problems().add_sentence(rail.path("retry_timeout_ms"),
                                 "retry_timeout_ms is longer than operation_deadline_ms: it would never be reached");
  }
}

// What is said here becomes words of a shell's plan.
bool is_word(std::string_view text, std::string_view others) {
  return !text.empty() && std::ranges::all_of(text, [others](char c) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return plain || others.contains(c);
  });
}

bool is_interface(std::string_view text) {
  for (const std::string_view way : {"name:", "mac:", "path:"}) {
    if (text.starts_with(way)) return is_word(text.substr(way.size()), ":._-@");
  }
  return false;
}

void read_early_boot(ConfigObject& rail, RailConfig& config) {
  if (!rail.has("early_boot")) return;
  static constexpr std::array<std::string_view, 3> kSoft{"none", "rxe", "siw"};
  ConfigObject early = rail.object("early_boot", false);
  EarlyBootConfig& read = config.early_boot.emplace();
  read.interface = early.text("interface", std::nullopt);
  if (!read.interface.empty() && !is_interface(read.interface)) {
    early.problems().add(early.path("interface"), in_quotes(read.interface),
                         "name:NAME, mac:52:54:00:12:34:56 or path:PATH, as udev names it (ID_PATH)");
  }
  const bool ipv6 = family_of(config.address) == AF_INET6;
  read.prefix_length = static_cast<std::uint8_t>(early.integer("prefix_length", ipv6 ? 64 : 24, 1, ipv6 ? 128 : 32));
  if (config.fabric == FabricKind::verbs) {
    const std::size_t soft = early.choice("soft_rdma", 0, kSoft);
    if (soft != 0) read.soft_rdma = kSoft.at(soft);
  }
  read.modules = early.texts("modules");
  for (const std::string& module : read.modules) {
    if (!is_word(module, "_-")) {
      early.problems().add(early.path("modules"), in_quotes(module), "the name of a kernel module, such as mlx5_ib");
    }
  }
  early.finish();
}

void read_rail(ConfigObject& rail, RailConfig& config, const Duration& operation_deadline) {
  static constexpr std::array<std::string_view, 3> kFabrics{"shm", "iwarp", "verbs"};
  config.name = read_name<RailName>(rail, "name");
  config.fabric = static_cast<FabricKind>(rail.choice("fabric", std::nullopt, kFabrics));
  switch (config.fabric) {
    case FabricKind::shm:
      config.dir = rail.text("dir", "/dev/shm/hapair");
      require_absolute(rail, "dir", config.dir);
      break;
    case FabricKind::iwarp:
      read_path(rail, config, operation_deadline);
      config.crc = rail.boolean("crc", true);
      read_early_boot(rail, config);
      break;
    case FabricKind::verbs:
      read_path(rail, config, operation_deadline);
      config.ack_timeout = static_cast<std::uint8_t>(rail.integer("ack_timeout_exponent", 10, 1, 31));
      config.retry_count = static_cast<std::uint8_t>(rail.integer("retry_count", 3, 0, 6));
      read_early_boot(rail, config);
      break;
  }
  rail.finish();
}

// Where a rail listens or lies: no two may share it.
std::string place_of(const RailConfig& rail) {
  if (rail.fabric == FabricKind::shm) return rail.dir;
  return rail.address + " port " + std::to_string(rail.service_port);
}

void read_rails(ConfigObject& ccm, PairConfig& config) {
  std::vector<ConfigObject> rails = ccm.objects("rails", true);
  if (ccm.has("rails") && (rails.empty() || rails.size() > kMaxRails)) {
    ccm.problems().add(ccm.path("rails"), std::to_string(rails.size()) + " rails", "1 to " + std::to_string(kMaxRails));
  }
  for (ConfigObject& rail : rails) {
    RailConfig& read = config.rails.emplace_back();
    read_rail(rail, read, config.operation_deadline);
    for (const RailConfig& other : std::span(config.rails).first(config.rails.size() - 1)) {
      if (!read.name.empty() && other.name == read.name) {
        rail.problems().add(rail.path("name"), in_quotes(read.name.text()) + " a second time", "a name of its own");
      }
      if (place_of(other) == place_of(read)) {
        rail.problems().add_sentence(rail.path("name"), "rails " + in_quotes(other.name.text()) + " and " +
                                                            in_quotes(read.name.text()) + " are both at " +
                                                            place_of(read) + ": a rail has a place of its own");
      }
    }
  }
}

void check_pace(ConfigObject& object, const NetworkConfig& network, Duration pace) {
  if (network.pace % pace == Duration{}) return;
  std::array<char, 128> text{};
  std::snprintf(text.data(), text.size(),
                "pace_ms (%g) is no multiple of ccm.pace_ms (%g), with whose beats these go out", ms_of(network.pace),
                ms_of(pace));
  object.problems().add_sentence(object.path("pace_ms"), text.data());
}

void read_network(ConfigObject& object, NetworkConfig& network, Duration pace) {
  network.name = read_name<NetworkName>(object, "name");
  read_addresses(object, network.address, network.partner_address);
  network.port = static_cast<std::uint16_t>(object.integer("port", 7490, 1, 65535));
  network.pace = object.milliseconds("pace_ms", 2 * ms_of(pace), ms_of(pace), 10'000);
  check_pace(object, network, pace);
  object.finish();
}

void read_mailbox_disk(ConfigObject& object, NetworkConfig& disk, Duration pace) {
  // A beat that one node writes is read by the other at its own pace, and the answer likewise: within a second.
  constexpr double kSlowestMs = 200;
  const double usual_ms = std::min(kSlowestMs, ms_of(pace) * std::ceil(100 / ms_of(pace)));
  disk.name = read_name<NetworkName>(object, "name");
  disk.device = object.text("device", std::nullopt);
  if (!disk.device.empty()) require_absolute(object, "device", disk.device);
  disk.pace =
      object.milliseconds("pace_ms", std::max(usual_ms, ms_of(pace)), ms_of(pace), std::max(kSlowestMs, ms_of(pace)));
  check_pace(object, disk, pace);
  object.finish();
}

void check_alike(ConfigObject& object, const NetworkConfig& network, const NetworkConfig& other) {
  if (!network.name.empty() && other.name == network.name) {
    object.problems().add(object.path("name"), in_quotes(network.name.text()) + " a second time", "a name of its own");
  }
  const std::string both = in_quotes(other.name.text()) + " and " + in_quotes(network.name.text());
  if (network.device.empty() && other.address == network.address && other.port == network.port) {
    object.problems().add_sentence(object.path("port"), "networks " + both + " are both at " + network.address +
                                                            " port " + std::to_string(network.port));
  }
  if (!network.device.empty() && other.device == network.device) {
    object.problems().add_sentence(object.path("device"), "mailbox disks " + both + " are both " + network.device);
  }
}

void read_networks(ConfigObject& ccm, PairConfig& config) {
  std::vector<ConfigObject> networks = ccm.objects("networks", false);
  std::vector<ConfigObject> disks = ccm.objects("mailbox_disks", false);
  if (networks.size() + disks.size() > kMaxNetworks) {
    ccm.problems().add(
        ccm.path(disks.empty() ? "networks" : "mailbox_disks"),
        std::to_string(networks.size()) + " networks and " + std::to_string(disks.size()) + " mailbox disks",
        "at most " + std::to_string(kMaxNetworks) + " of both together");
  }
  const auto add = [&config](ConfigObject& object, const NetworkConfig& network) {
    for (const NetworkConfig& other : config.networks) check_alike(object, network, other);
    config.networks.push_back(network);
  };
  for (ConfigObject& object : networks) {
    NetworkConfig network;
    read_network(object, network, config.pace);
    add(object, network);
  }
  for (ConfigObject& object : disks) {
    NetworkConfig disk;
    read_mailbox_disk(object, disk, config.pace);
    add(object, disk);
  }
}

void check_whole_seconds(ConfigObject& object, std::string_view key, Duration time) {
  if (time % std::chrono::seconds(1) == Duration{}) return;
  std::array<char, 128> text{};
  std::snprintf(text.data(), text.size(), "%s (%g) is no whole number of seconds, in which watchdogs count",
                std::string(key).c_str(), ms_of(time));
  object.problems().add_sentence(object.path(key), text.data());
}

void read_watchdog(ConfigObject& ccm, PairConfig& config) {
  ccm.leave("watchdog");  // known, also where it is not given: a misspelt one is told
  if (!ccm.has("watchdog")) return;
  ConfigObject object = ccm.object("watchdog", false);
  WatchdogConfig& read = config.watchdog.emplace();
  read.device = object.text("device", std::nullopt);
  require_absolute(object, "device", read.device);
  if (read.device.size() > kMaxWatchdogPath) {
    object.problems().add(object.path("device"), "a path of " + std::to_string(read.device.size()) + " bytes",
                          "at most " + std::to_string(kMaxWatchdogPath));
  }
  read.container_covers_pools = object.boolean("container_covers_pools", false);
  if (read.container_covers_pools && !read.names_container()) {
    object.problems().add_sentence(object.path("container_covers_pools"),
                                   read.device +
                                       " resets the machine, with all that is on it; the promise is for the "
                                       "socket of a container's process 1 (/run/hapair-watchdog): leave it "
                                       "out");
  }
  read.timeout = object.milliseconds("timeout_ms", std::nullopt, 2000, 600'000);
  check_whole_seconds(object, "timeout_ms", read.timeout);
  std::array<char, 224> text{};
  if (const Duration least = kPacesPerWatchdogTimeout * config.pace; read.timeout < least) {
    std::snprintf(text.data(), text.size(),
                  "timeout_ms (%g) is shorter than %d x ccm.pace_ms (%d x %g = %g): a few beats that are merely late "
                  "would reset the node",
                  ms_of(read.timeout), kPacesPerWatchdogTimeout, kPacesPerWatchdogTimeout, ms_of(config.pace),
                  ms_of(least));
    object.problems().add_sentence(object.path("timeout_ms"), text.data());
  }
  object.leave("pretimeout_ms");
  if (object.has("pretimeout_ms")) {
    read.pretimeout = object.milliseconds("pretimeout_ms", std::nullopt, 1000, 300'000);
    check_whole_seconds(object, "pretimeout_ms", read.pretimeout);
    if (2 * read.pretimeout > read.timeout) {
      std::snprintf(text.data(), text.size(),
                    "pretimeout_ms (%g) is longer than half of timeout_ms (%g / 2 = %g): it is fed every quarter of "
                    "that, and would tell of a loop that is merely late",
                    ms_of(read.pretimeout), ms_of(read.timeout), ms_of(read.timeout) / 2);
      object.problems().add_sentence(object.path("pretimeout_ms"), text.data());
    }
  }
  object.finish();
}

void read_poison(ConfigObject& ccm, PairConfig& config) {
  static constexpr std::array<std::string_view, 3> kResets{"none", "watchdog", "sysrq"};
  ConfigObject object = ccm.object("poison", false);
  const PoisonReset usual = config.watchdog ? PoisonReset::watchdog : PoisonReset::none;
  config.poison.bound = object.milliseconds("bound_ms", 15'000, 1000, 3'600'000);
  config.poison.reset = static_cast<PoisonReset>(object.choice("reset", static_cast<std::size_t>(usual), kResets));
  if (config.poison.reset == PoisonReset::watchdog && !config.watchdog) {
    object.problems().add_sentence(object.path("reset"),
                                   "reset is \"watchdog\" and ccm.watchdog is not given: nothing would reset this node "
                                   "where its pools do not stop; give the watchdog's device, or another reset");
  }
  object.finish();
}

}  // namespace

PairConfig read_pair_config(ConfigObject& root) {
  PairConfig config;
  config.pair = read_name<PairName>(root, "pair");
  config.node = read_name<NodeName>(root, "node");
  config.partner = read_name<NodeName>(root, "partner");
  if (!config.node.empty() && config.node == config.partner) {
    root.problems().add(root.path("partner"), "\"" + config.partner.text() + "\", which is this node's own name",
                        "the name of the other node");
  }
  config.key_file = root.text("key_file", "/etc/hapair/pair.key");
  config.run_dir = root.text("run_dir", "/run/hapair");
  config.boot_id_file = root.text("boot_id_file", kKernelsBootId);
  require_absolute(root, "key_file", config.key_file);
  require_absolute(root, "run_dir", config.run_dir);
  require_absolute(root, "boot_id_file", config.boot_id_file);

  ConfigObject ccm = root.object("ccm", true);
  config.pace = ccm.milliseconds("pace_ms", 10, 0.5, 1000);
  config.operation_deadline = ccm.milliseconds("operation_deadline_ms", 100, 1, 10'000);
  if (config.operation_deadline < 2 * config.pace) {
    std::array<char, 160> text{};
    std::snprintf(
        text.data(), text.size(),
        "operation_deadline_ms (%g) is shorter than 2 x pace_ms (2 x %g = %g): a read that is merely slow would "
        "end the connection",
        ms_of(config.operation_deadline), ms_of(config.pace), 2 * ms_of(config.pace));
    ccm.problems().add_sentence(ccm.path("operation_deadline_ms"), text.data());
  }
  config.port_memory_bytes = static_cast<std::uint64_t>(ccm.integer("port_memory_mib", 256, 1, 65536)) << 20U;
  read_rails(ccm, config);
  read_networks(ccm, config);
  read_watchdog(ccm, config);
  read_poison(ccm, config);
  ccm.finish();
  return config;
}

std::expected<Key, std::string> load_key(const std::string& file) {
  struct stat st{};
  if (::stat(file.c_str(), &st) != 0) {
    return std::unexpected(errno_text("key_file " + file) +
                           "; allowed: a file of at least 32 random bytes, the same on " +
                           "both nodes (make one: head -c 32 /dev/urandom > " + file + "; chmod 600 " + file + ")");
  }
  if (!S_ISREG(st.st_mode)) return std::unexpected("key_file " + file + ": found something that is not a regular file");
  if ((st.st_mode & 077) != 0) {
    std::array<char, 8> mode{};
    std::snprintf(mode.data(), mode.size(), "%04o", static_cast<unsigned>(st.st_mode & 07777));
    return std::unexpected("key_file " + file + ": found mode " + mode.data() +
                           ", which others can read or write; allowed: 0600 or 0400 (chmod 600 " + file +
                           "; and make a new key, since this one may be known)");
  }
  if (st.st_uid != 0 && st.st_uid != ::geteuid()) {
    return std::unexpected("key_file " + file + ": found an owner (uid " + std::to_string(st.st_uid) +
                           ") who is neither root nor this program's user and can read it; allowed: root (chown root " +
                           file + "; and make a new key, since this one may be known)");
  }
  auto content = read_file(file, kMaxKeyFileBytes);
  if (!content) return std::unexpected("key_file " + content.error());
  if (content->size() < kMinKeyFileBytes) {
    return std::unexpected("key_file " + file + ": found " + std::to_string(content->size()) +
                           " bytes; allowed: at least 32 (head -c 32 /dev/urandom > " + file + ")");
  }
  return Key::from_secret(std::as_bytes(std::span(*content)));
}

std::expected<BootId, std::string> load_boot_id(const std::string& file) {
  const auto content = read_file(file, 256);
  if (!content) return std::unexpected("boot_id_file " + content.error());
  const auto id = BootId::parse(*content);
  if (!id || !id->known())
    return std::unexpected("boot_id_file " + file + ": holds no boot id (8-4-4-4-12 hexadecimal digits)");
  return *id;
}

}  // namespace hapair::ccm
