// hapair-node-init: process 1 of a node that is a container; see node_init.h.
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ccm/container/node_init.h"

namespace {

constexpr int kUsage = 2;
constexpr int kFailed = 125;

constexpr const char* kHelp =
    "usage: hapair-node-init [--watchdog SOCKET] [--nowayout] [--boot-id FILE] [--] COMMAND [ARGUMENT...]\n"
    "       hapair-node-init --help | --version\n"
    "\n"
    "Process 1 of a node of hapair that is a container: starts COMMAND, reaps what nobody waits for, hands signals "
    "on,\n"
    "and offers the node's watchdog at SOCKET (default /run/hapair-watchdog; ccm.watchdog.device of ccmd's\n"
    "configuration). Once ccmd holds it and then does not feed it in time, the container ends with all its processes.\n"
    "\n"
    "  --watchdog SOCKET  where\n"
    "  --nowayout         who holds it cannot stop it: ccmd is to be back within its time-out\n"
    "  --boot-id FILE     where the number of this life of the container is written, drawn anew at each start "
    "(default\n"
    "                     /run/hapair-boot-id; boot_id_file of the configuration): the kernel's own is the host's\n"
    "\n"
    "Examples:\n"
    "  unshare --pid --mount --net --fork --kill-child hapair-node-init /etc/node/start\n"
    "\n"
    "All of hapair is to be inside, with /run, /proc and namespaces of its own, no mounts shared with the host "
    "(:rshared),\n"
    "and CAP_SYS_NICE and CAP_IPC_LOCK.\n"
    "\n"
    "Not covered: a container that is frozen as a whole (podman pause); services of the host's kernel that resources "
    "set\n"
    "up (LIO, nfsd, DRBD, md, LVM, device mapper, loop); a process that waits for a disk that hangs; what the kernel "
    "has\n"
    "still to write when it unmounts; mounts that others have too; addresses in a network namespace that is held from\n"
    "outside; the host. So no lease rests on it unless ccm.watchdog.container_covers_pools promises that none of "
    "these\n"
    "holds a pool: `hapair check`.\n"
    "\n"
    "Exit status: COMMAND's, 128 + the signal that ended it, 90 ended by the watchdog, 125 not started, 127 COMMAND\n"
    "cannot be run, 2 wrong usage.\n";

struct Options {
  std::string socket = "/run/hapair-watchdog";
  std::string boot_id = "/run/hapair-boot-id";
  bool nowayout = false;
  std::vector<std::string> command;
};

// Nothing: wrong usage.
std::optional<Options> parse(std::vector<std::string> words) {
  Options options;
  std::size_t i = 0;
  for (; i < words.size() && words[i].starts_with("--"); ++i) {
    if (words[i] == "--") {
      ++i;
      break;
    }
    if (words[i] == "--nowayout") {
      options.nowayout = true;
      continue;
    }
    const bool has_path = i + 1 < words.size() && words[i + 1].starts_with('/');
    if (!has_path || (words[i] != "--watchdog" && words[i] != "--boot-id")) return std::nullopt;
    (words[i] == "--watchdog" ? options.socket : options.boot_id) = words[i + 1];
    ++i;
  }
  options.command.assign(words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
  if (options.command.empty()) return std::nullopt;
  return options;
}

int fail(const std::string& why) {
  std::fprintf(stderr, "hapair-node-init: %s\n", why.c_str());
  return kFailed;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 1 && (words[0] == "--help" || words[0] == "-h")) return std::fputs(kHelp, stdout) < 0 ? 1 : 0;
  if (words.size() == 1 && words[0] == "--version") return std::puts("hapair-node-init " HAPAIR_VERSION) < 0 ? 1 : 0;
  const auto options = parse(words);
  if (!options) {
    std::fputs(kHelp, stderr);
    return kUsage;
  }
  if (const auto why = hapair::ccm::why_no_container()) return fail(*why);
  const hapair::SystemClock clock;
  auto service = hapair::ccm::WatchdogService::open(options->socket, options->nowayout, clock);
  if (!service) return fail(service.error());
  if (const auto drawn = hapair::ccm::draw_boot_id(options->boot_id); !drawn) return fail(drawn.error());
  return hapair::ccm::NodeInit(std::move(*service)).run(options->command);
}
