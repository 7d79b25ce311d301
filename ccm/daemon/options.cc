#include "ccm/daemon/options.h"

#include <array>
#include <cstdio>
#include <string_view>

namespace hapair::ccm {
namespace {

constexpr const char* kUsage =
    "usage: ccmd [--config FILE] [--phase PHASE] [--trace] [--early | --adopt | --check | --boot-plan]\n"
    "       ccmd --version | --help\n"
    "  --config FILE  the node's configuration (default /etc/hapair/hapair.json)\n"
    "  --phase PHASE  the boot phase to publish where this life of the kernel has none recorded yet;\n"
    "                 with --adopt, the phase that the adopted ccmd goes on to\n"
    "  --trace        tell each operation on the partner's memory on standard error: its rail, remote address,\n"
    "                 bytes, result and duration\n"
    "  --early        as an initramfs starts it: in the background, in phase early (unless --phase says another),\n"
    "                 telling the kernel's log; it lives through the switch to the real root\n"
    "  --adopt        as its service starts it: a ccmd that --early started becomes the service's process as it is;\n"
    "                 where none runs, or not with this configuration and key, an ordinary start\n"
    "  --check        validate configuration and key, then exit\n"
    "  --boot-plan    tell what an initramfs needs for this node: modules, interfaces, files; then exit\n"
    "exit status: 0 ended as asked, 1 failed, 2 usage, 3 already running, 78 configuration\n";

struct Flag {
  std::string_view word;
  bool Options::* set;
};
constexpr std::array kFlags{Flag{"--check", &Options::check}, Flag{"--trace", &Options::trace},
                            Flag{"--boot-plan", &Options::boot_plan}, Flag{"--early", &Options::early},
                            Flag{"--adopt", &Options::adopt}};

int misused(const std::string& why) {
  std::fprintf(stderr, "ccmd: %s\n%s", why.c_str(), kUsage);
  return kExitUsage;
}

bool take_flag(std::string_view argument, Options& options) {
  for (const Flag& flag : kFlags) {
    if (argument != flag.word) continue;
    options.*flag.set = true;
    return true;
  }
  return false;
}

}  // namespace

std::optional<int> parse_arguments(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      std::fputs(kUsage, stdout);
      return 0;
    }
    if (argument == "--version") {
      std::puts("ccmd " HAPAIR_VERSION);
      return 0;
    }
    if (take_flag(argument, options)) continue;
    if (argument != "--config" && argument != "--phase") return misused("unknown argument \"" + argument + "\"");
    if (i + 1 == argc) return misused(argument + " needs a value");
    const std::string value = argv[++i];
    if (argument == "--config") {
      options.config = value;
      continue;
    }
    const auto phase = parse_boot_phase(value);
    if (!phase) {
      std::fprintf(stderr,
                   "ccmd: --phase: found \"%s\"; allowed: early, root, awaiting-giveback, storage-starting, "
                   "storage-active, storage-stopping, shutting-down, panicked, unknown\n",
                   value.c_str());
      return kExitUsage;
    }
    options.phase = *phase;
  }
  const int modes = int{options.early} + int{options.adopt} + int{options.check} + int{options.boot_plan};
  if (modes > 1) return misused("--early, --adopt, --check and --boot-plan exclude each other");
  if (options.early && options.phase == BootPhase::unknown) options.phase = BootPhase::early;
  return std::nullopt;
}

}  // namespace hapair::ccm
