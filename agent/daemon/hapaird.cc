// hapaird: the agent of one node. This file starts and ends it; agent/daemon/agent.h is what it does.
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "agent/config/agent_config.h"
#include "agent/daemon/agent.h"
#include "ccm/config/pair_config.h"
#include "ccm/wire/mac.h"

namespace hapair::agent {
namespace {

// A killed process ends within milliseconds, or it hangs in the kernel.
constexpr Duration kLeftoverPatience = std::chrono::seconds(1);
constexpr int kExitRunning = 3;
constexpr int kExitConfig = 78;  // EX_CONFIG of sysexits.h

struct LoopRelease {
  void operator()(sd_event* loop) const { sd_event_unref(loop); }
};
using Loop = std::unique_ptr<sd_event, LoopRelease>;

void complain(const std::string& line) { std::fprintf(stderr, "<3>hapaird: %s\n", line.c_str()); }

// The configuration, or nothing where it was refused and the reasons were told.
std::optional<AgentConfig> load(const std::string& file) {
  auto config = load_agent_config(file);
  if (!config) {
    for (const std::string& line : config.error().lines()) complain(line);
    return std::nullopt;
  }
  if (const auto key = ccm::load_key(config->pair.key_file); !key) {
    complain(file + ": " + key.error());
    return std::nullopt;
  }
  if (const auto boot_id = ccm::load_boot_id(config->pair.boot_id_file); !boot_id) {
    complain(file + ": " + boot_id.error());
    return std::nullopt;
  }
  return *config;
}

int on_signal(sd_event_source* /*source*/, const signalfd_siginfo* /*info*/, void* agent) {
  static_cast<Agent*>(agent)->shut_down();
  return 0;
}

int run(AgentConfig config) {
  if (!ccm::start_crypto()) {
    complain("this machine gives no randomness; nothing was started");
    return 1;
  }
  const auto boot_id = ccm::load_boot_id(config.pair.boot_id_file);
  if (!boot_id) {
    complain(boot_id.error());
    return kExitConfig;
  }
  const auto pair_key = ccm::load_key(config.pair.key_file);
  if (!pair_key) {
    complain(pair_key.error());
    return kExitConfig;
  }
  auto lock = lock_state_dir(config.state_dir, config.pair.node);
  if (!lock) {
    complain(lock.error());
    return kExitRunning;
  }
  // Before the first thread: one that does not block SIGTERM would be ended by it, and the process with it.
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const SystemClock clock;
  auto log = RecordLog::open(config.state_dir, config.record_file_bytes, clock, journal_or_stderr(config.pair.node));
  if (!log) {
    complain(log.error());
    return 1;
  }
  const auto state = load_state(config.state_dir, {config.pair.pair, config.pair.node});

  sd_event* raw_loop = nullptr;
  if (sd_event_default(&raw_loop) < 0) {
    complain("no event loop could be made: out of memory or descriptors");
    return 1;
  }
  const Loop loop(raw_loop);
  std::uint64_t life = 0;
  ccm::SystemRandom random;
  while (life == 0) random.fill(std::as_writable_bytes(std::span(&life, 1)));

  auto leftovers = end_leftovers(ledger_folder(config), kLeftoverPatience);
  Agent agent(loop.get(), clock,
              {std::move(config), *boot_id, life, std::move(*log), std::move(leftovers), *pair_key,
               std::make_shared<const Fd>(std::move(*lock))});
  sd_event_add_signal(loop.get(), nullptr, SIGTERM, on_signal, &agent);
  sd_event_add_signal(loop.get(), nullptr, SIGINT, on_signal, &agent);
  sd_event_set_watchdog(loop.get(), 1);  // nothing where the service manager asks for none
  if (const auto started = agent.start(state); !started) {
    complain(started.error());
    return 1;
  }
  sd_notify(0, "READY=1\nSTATUS=watches its partner; what it does and why: hapair status");
  const int status = sd_event_loop(loop.get());
  return status < 0 ? 1 : status;
}

}  // namespace
}  // namespace hapair::agent

int main(int argc, char** argv) {
  CLI::App app{
      "hapaird: the agent of one node of a storage pair\n"
      "exit status: 0 ended as asked, 1 failed, 2 usage, 3 already running, 78 configuration"};
  std::string file = "/etc/hapair/hapair.json";
  bool check = false;
  app.add_option("--config", file, "the node's configuration")->capture_default_str();
  app.add_flag("--check", check, "validate the configuration, then exit");
  app.set_version_flag("--version", "hapaird " HAPAIR_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  auto config = hapair::agent::load(file);
  if (!config) return hapair::agent::kExitConfig;
  if (check) {
    std::printf("%s: in order\n", file.c_str());
    return 0;
  }
  return hapair::agent::run(std::move(*config));
}
