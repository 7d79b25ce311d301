// ccmd: the cluster connection manager of one node. See ccm/daemon/ccm.h for what it does; this file starts and ends
// it.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ccm/config/pair_config.h"
#include "ccm/daemon/ccm.h"
#include "ccm/daemon/fabrics.h"
#include "ccm/daemon/notify.h"

namespace hapair::ccm {
namespace {

constexpr int kExitUsage = 2;
constexpr int kExitRunning = 3;
constexpr int kExitConfig = 78;  // EX_CONFIG of sysexits.h

constexpr const char* kUsage =
    "usage: ccmd [--config FILE] [--phase PHASE] [--trace] [--check] [--version] [--help]\n"
    "  --config FILE  the node's configuration (default /etc/hapair/hapair.json)\n"
    "  --phase PHASE  the boot phase to publish where this life of the kernel has none recorded yet;\n"
    "                 an initramfs passes early\n"
    "  --trace        tell each operation on the partner's memory on standard error: its rail, remote address,\n"
    "                 bytes, result and duration\n"
    "  --check        validate configuration and key, then exit\n"
    "exit status: 0 ended as asked, 1 failed, 2 usage, 3 already running, 78 configuration\n";

struct Options {
  std::string config = "/etc/hapair/hapair.json";
  BootPhase phase = BootPhase::unknown;
  bool check = false;
  bool trace = false;
};

// The exit status where the arguments alone decide.
std::optional<int> parse_arguments(int argc, char** argv, Options& options) {
  const auto value_of = [&](int& i) -> const char* { return i + 1 < argc ? argv[++i] : nullptr; };
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
    if (argument == "--check") {
      options.check = true;
      continue;
    }
    if (argument == "--trace") {
      options.trace = true;
      continue;
    }
    if (argument == "--config" || argument == "--phase") {
      const char* value = value_of(i);
      if (value == nullptr) {
        std::fprintf(stderr, "ccmd: %s needs a value\n%s", argument.c_str(), kUsage);
        return kExitUsage;
      }
      if (argument == "--config") {
        options.config = value;
        continue;
      }
      const auto phase = parse_boot_phase(value);
      if (!phase) {
        std::fprintf(stderr,
                     "ccmd: --phase: found \"%s\"; allowed: early, root, awaiting-giveback, storage-starting, "
                     "storage-active, storage-stopping, shutting-down, panicked, unknown\n",
                     value);
        return kExitUsage;
      }
      options.phase = *phase;
      continue;
    }
    std::fprintf(stderr, "ccmd: unknown argument \"%s\"\n%s", argument.c_str(), kUsage);
    return kExitUsage;
  }
  return std::nullopt;
}

// Keys of the same file that are the agent's; hapaird checks them.
constexpr std::array kAgentKeys{"state_dir", "heartbeat", "arbiter", "fencing", "takeover",
                                "giveback",  "shutdown",  "records", "pools"};

std::optional<CcmIdentity> load_identity(const Options& options) {
  auto document = load_document(options.config);
  ConfigProblems problems(options.config);
  CcmIdentity identity;
  if (!document) {
    problems = document.error();
  } else {
    ConfigObject root(&*document, "", problems);
    for (const char* key : kAgentKeys) root.leave(key);
    identity.config = read_pair_config(root);
    root.finish();
  }
  for (const std::string& line : problems.lines()) std::fprintf(stderr, "<3>ccmd: %s\n", line.c_str());
  bool good = problems.empty();
  if (!good) return std::nullopt;
  if (auto key = load_key(identity.config.key_file)) {
    identity.key = *key;
  } else {
    std::fprintf(stderr, "<3>ccmd: %s: %s\n", options.config.c_str(), key.error().c_str());
    good = false;
  }
  if (auto boot_id = load_boot_id(identity.config.boot_id_file)) {
    identity.boot_id = *boot_id;
  } else {
    std::fprintf(stderr, "<3>ccmd: %s: %s\n", options.config.c_str(), boot_id.error().c_str());
    good = false;
  }
  if (!good) return std::nullopt;
  return identity;
}

// Held as long as the process lives. The exit status where it cannot be had.
std::expected<Fd, int> take_lock(const PairConfig& config) {
  if (::mkdir(config.run_dir.c_str(), 0755) != 0 && errno != EEXIST) {
    std::fprintf(stderr, "<3>ccmd: run_dir %s cannot be made: %s\n", config.run_dir.c_str(), std::strerror(errno));
    return std::unexpected(1);
  }
  const std::string path = config.run_dir + "/ccmd.lock";
  Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock.valid()) {
    std::fprintf(stderr, "<3>ccmd: %s: %s\n", path.c_str(), std::strerror(errno));
    return std::unexpected(1);
  }
  std::array<char, 32> text{};
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    (void)!::pread(lock.get(), text.data(), text.size() - 1, 0);
    std::fprintf(stderr,
                 "<3>ccmd: a ccmd of node %s already runs as process %d (it holds %s); it was not touched. To replace "
                 "it: systemctl restart ccmd\n",
                 config.node.text().c_str(), std::atoi(text.data()), path.c_str());
    return std::unexpected(kExitRunning);
  }
  const int n = std::snprintf(text.data(), text.size(), "%d\n", static_cast<int>(::getpid()));
  if (::ftruncate(lock.get(), 0) != 0 || ::pwrite(lock.get(), text.data(), static_cast<std::size_t>(n), 0) != n) {
    std::fprintf(stderr, "<4>ccmd: %s holds no process number: %s\n", path.c_str(), std::strerror(errno));
  }
  return lock;
}

// A partner must not lose sight of this node because others use its processor or its memory.
void become_real_time() {
  if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
    std::fprintf(stderr, "<5>ccmd: its memory is not locked (%s): a node short of memory may beat late\n",
                 std::strerror(errno));
  }
  sched_param priority{};
  priority.sched_priority = 10;
  if (::sched_setscheduler(0, SCHED_FIFO, &priority) != 0) {
    std::fprintf(stderr, "<5>ccmd: no real-time priority (%s): a busy node may beat late\n", std::strerror(errno));
  }
}

struct Loop {
  Fd epoll;
  Fd signals;

  static std::expected<Loop, std::string> make() {
    Loop loop;
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGTERM);
    ::sigaddset(&set, SIGINT);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    loop.epoll = Fd(::epoll_create1(EPOLL_CLOEXEC));
    loop.signals = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!loop.epoll.valid() || !loop.signals.valid()) {
      return std::unexpected(errno_text("epoll or signalfd"));
    }
    loop.watch(loop.signals.get());
    return loop;
  }
  void watch(int fd) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    (void)::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event);
  }
  // Until something is ready, or `until`. A machine that was suspended meanwhile waits what was left of it: less than a
  // beat. One call instead of a timer's three counts at a hundred beats a second.
  int wait(std::span<epoll_event> events, Duration until) const {
    const std::int64_t ns = std::max<std::int64_t>(until.count(), 0);
    const timespec left{ns / 1'000'000'000, ns % 1'000'000'000};
    return ::epoll_pwait2(epoll.get(), events.data(), static_cast<int>(events.size()), &left, nullptr);
  }
};

void run(const Loop& loop, Ccm& ccm, std::span<Fabric* const> fabrics, const PortThread& ports, const Clock& clock,
         const ServiceNotifier& notifier) {
  loop.watch(ports.news_fd());
  for (const Fabric* fabric : fabrics) {
    if (fabric->poll_fd() >= 0) loop.watch(fabric->poll_fd());
  }
  Instant next_watchdog = clock.now();
  std::array<epoll_event, 16> events{};
  while (true) {
    const Instant now = clock.now();
    const Instant next = ccm.turn(now);
    if (const auto interval = notifier.watchdog_interval(); interval && now >= next_watchdog) {
      notifier.watchdog();
      next_watchdog = now + *interval;
    }
    const int count = loop.wait(events, next - clock.now());
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      const int fd = event.data.fd;
      if (fd == loop.signals.get()) return;
      if (fd == ports.news_fd()) ports.acknowledge_news();  // before the next turn takes the news
      ccm.woken_by(fd);
      ccm.clients().handle(fd, event.events);
    }
  }
}

int start(const Options& options) {
  if (!start_crypto()) {
    std::fputs("<3>ccmd: this machine gives no randomness; nothing was started\n", stderr);
    return 1;
  }
  auto identity = load_identity(options);
  if (!identity) return kExitConfig;
  if (options.check) {
    std::printf("%s: the part that ccmd reads is in order\n", options.config.c_str());
    return 0;
  }
  auto lock = take_lock(identity->config);
  if (!lock) return lock.error();

  const SystemClock clock;
  SystemRandom random;
  std::uint64_t incarnation = 0;
  while (incarnation == 0) {
    random.fill(std::as_writable_bytes(std::span(&incarnation, 1)));
    incarnation >>= 1;  // 63 bits: it also fits the signed numbers of others' tools
  }
  identity->incarnation = Incarnation(incarnation);

  const PairConfig& config = identity->config;
  auto fabrics = open_fabrics(config, options.trace);
  if (!fabrics) {
    std::fprintf(stderr, "<3>ccmd: the interconnect cannot be used: %s\n", fabrics.error().c_str());
    return 1;
  }
  auto port_fabrics = open_port_fabrics(config);
  if (!port_fabrics) {
    std::fprintf(stderr, "<3>ccmd: ports cannot be served: %s\n", port_fabrics.error().c_str());
    return 1;
  }
  std::vector<Fabric*> rails;
  for (const auto& fabric : *fabrics) rails.push_back(fabric.get());
  PhaseRecord phase(config.run_dir + "/phase", identity->boot_id, options.phase, clock.now());
  if (auto kept = phase.set(phase.phase(), clock.now()); !kept) {
    std::fprintf(stderr, "<4>ccmd: the boot phase cannot be kept for a restarted ccmd: %s\n", kept.error().c_str());
  }
  auto loop = Loop::make();
  if (!loop) {
    std::fprintf(stderr, "<3>ccmd: %s\n", loop.error().c_str());
    return 1;
  }
  // It has no real-time priority, which is this thread's alone and comes later.
  PortThread ports(std::move(*port_fabrics), clock);
  if (auto started = ports.start(); !started) {
    std::fprintf(stderr, "<3>ccmd: ports cannot be served: %s\n", started.error().c_str());
    return 1;
  }
  auto ccm = std::make_unique<Ccm>(*identity, rails, ports, random, std::move(phase), clock);
  if (auto opened = ccm->open(loop->epoll.get()); !opened) {
    std::fprintf(stderr, "<3>ccmd: clients cannot be served: %s\n", opened.error().c_str());
    return 1;
  }
  become_real_time();
  const ServiceNotifier notifier = ServiceNotifier::from_environment();
  std::string named;
  for (const RailConfig& rail : config.rails) named += " " + rail.name.text();
  std::fprintf(stderr, "<5>ccmd " HAPAIR_VERSION " of node %s, pair %s: incarnation %llu, boot id %s, rails%s\n",
               config.node.text().c_str(), config.pair.text().c_str(), static_cast<unsigned long long>(incarnation),
               identity->boot_id.text().c_str(), named.c_str());
  notifier.ready("serves " + config.ccm_socket());
  run(*loop, *ccm, rails, ports, clock, notifier);
  notifier.stopping();
  ccm->withdraw();
  std::fputs("<5>ccmd ends as asked\n", stderr);
  return 0;
}

}  // namespace
}  // namespace hapair::ccm

int main(int argc, char** argv) {
  hapair::ccm::Options options;
  if (const auto status = hapair::ccm::parse_arguments(argc, argv, options)) return *status;
  return hapair::ccm::start(options);
}
