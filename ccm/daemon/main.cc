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
#include "ccm/daemon/adoption.h"
#include "ccm/daemon/boot_plan.h"
#include "ccm/daemon/ccm.h"
#include "ccm/daemon/early_boot.h"
#include "ccm/daemon/fabrics.h"
#include "ccm/daemon/interconnect.h"
#include "ccm/daemon/notify.h"
#include "ccm/daemon/options.h"
#include "ccm/daemon/say.h"
#include "ccm/daemon/watchdog_keeper.h"
#include "ccm/ports/port_thread.h"
#include "ccm/watchdog/configured_watchdog.h"
#include "ccm/watchdog/fed_until_record.h"
#include "ccm/watchdog/sysrq.h"

namespace hapair::ccm {
namespace {

// Keys of the same file that are the agent's; hapaird checks them.
constexpr std::array kAgentKeys{"state_dir", "heartbeat", "arbiter", "lease", "pacemaker", "fencing", "takeover",
                                "giveback",  "shutdown",  "records", "pools", "corosync",  "alerts"};

// The one place that names it: what is written there resets the whole machine.
constexpr const char* kSysrqTrigger = "/proc/sysrq-trigger";

// What this process runs with, and what it has to say about it.
struct Startup {
  CcmIdentity identity;
  EarlyBootNote note;  // its fingerprints, and each problem as a sentence
  bool usable = false;
};

void load_config(const Options& options, Startup& startup) {
  auto document = load_document(options.config);
  ConfigProblems problems(options.config);
  if (!document) {
    problems = document.error();
  } else {
    ConfigObject root(&*document, "", problems);
    for (const char* key : kAgentKeys) root.leave(key);
    startup.identity.config = read_pair_config(root);
    root.finish();
  }
  startup.note.problems = problems.lines();
  startup.usable = problems.empty();
}

// `without_key`: it runs all the same, with a key that nobody has, and says so on its page. That the partner can read
// where this node stands is worth more than silence.
Startup load(const Options& options, bool without_key, Random& random) {
  Startup startup;
  startup.note.version = HAPAIR_VERSION;
  startup.note.config = fingerprint_of_file(options.config);
  load_config(options, startup);
  if (!startup.usable) return startup;
  CcmIdentity& identity = startup.identity;
  const auto problem = [&](const std::string& what) { startup.note.problems.push_back(options.config + ": " + what); };
  if (auto key = load_key(identity.config.key_file)) {
    identity.key = *key;
    startup.note.key = fingerprint_of(*key);
  } else {
    problem(key.error());
    startup.usable = without_key;
    std::array<std::byte, kKeyBytes> nobodys{};
    random.fill(nobodys);
    identity.key = Key::from_secret(nobodys);
    identity.trouble |= kTroubleNoKey;
  }
  if (auto boot_id = load_boot_id(identity.config.boot_id_file)) {
    identity.boot_id = *boot_id;
  } else {
    problem(boot_id.error());
    startup.usable = false;
  }
  return startup;
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
    ::sigaddset(&set, SIGUSR1);  // of whoever adopts this process
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

// Of a ccmd that --early started: it goes on to the real root when it is adopted, or is told a phase after `early`.
class WayToRealRoot {
 public:
  explicit WayToRealRoot(std::string run_dir) : run_dir_(std::move(run_dir)) {}

  void follow() {
    if (std::exchange(followed_, true)) return;
    if (auto there = root_.follow(); !there) {
      say(4, "ccmd stays in the initramfs's root (" + there.error() +
                 "): a device that appears from now on is not found; restart ccmd when the system is up");
    }
  }
  void look(BootPhase phase) {
    const bool here = phase == BootPhase::early || phase == BootPhase::unknown || phase == BootPhase::panicked;
    if (!followed_ && !here) follow();
  }
  // What the service that adopts this process wants of it.
  void be_adopted(Ccm& ccm, ServiceNotifier& notifier) {
    follow();
    const auto adoption = read_adoption(run_dir_);
    if (!adoption) return;
    take_standard_error(adoption->adopter);
    notifier = ServiceNotifier::at(adoption->notify_socket, adoption->watchdog_us);
    notifier.watchdog();
    if (ccm.phase() != adoption->phase) (void)ccm.set_phase(adoption->phase);
    remove_adoption(run_dir_);
  }

 private:
  std::string run_dir_;
  RealRoot root_;
  bool followed_ = false;
};

enum class Signal : std::uint8_t { end, adopt };

Signal read_signal(const Fd& signals) {
  signalfd_siginfo info{};
  const bool whole = ::read(signals.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info);
  return whole && info.ssi_signo == SIGUSR1 ? Signal::adopt : Signal::end;
}

struct Around {
  std::span<Fabric* const> fabrics;
  const PortThread* ports = nullptr;
  const Clock* clock = nullptr;
  std::optional<WayToRealRoot>* way = nullptr;
};

void run(const Loop& loop, Ccm& ccm, const Around& around, ServiceNotifier& notifier) {
  loop.watch(around.ports->news_fd());
  for (const Fabric* fabric : around.fabrics) {
    if (fabric->poll_fd() >= 0) loop.watch(fabric->poll_fd());
  }
  std::optional<WayToRealRoot>& way = *around.way;
  Instant next_watchdog = around.clock->now();
  std::array<epoll_event, 16> events{};
  while (true) {
    const Instant now = around.clock->now();
    const Instant next = ccm.turn(now);
    if (const auto interval = notifier.watchdog_interval(); interval && now >= next_watchdog) {
      notifier.watchdog();
      next_watchdog = now + *interval;
    }
    if (way) way->look(ccm.phase());
    const int count = loop.wait(events, next - around.clock->now());
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      const int fd = event.data.fd;
      if (fd == loop.signals.get()) {
        if (read_signal(loop.signals) == Signal::end) return;
        if (way) way->be_adopted(ccm, notifier);
        continue;
      }
      if (fd == around.ports->news_fd()) around.ports->acknowledge_news();  // before the next turn takes the news
      ccm.woken_by(fd);
      ccm.clients().handle(fd, event.events);
    }
  }
}

int failed(const std::string& what) {
  say(3, "ccmd: " + what);
  return 1;
}

std::vector<Network> networks_of(const CcmIdentity& identity) {
  const PairConfig& config = identity.config;
  std::vector<Network> networks;
  for (std::size_t i = 0; i < config.networks.size(); ++i) {
    const BeatIdentity own{.pair = config.pair,
                           .node = config.node,
                           .partner = config.partner,
                           .incarnation = identity.incarnation,
                           .boot_id = identity.boot_id,
                           .network = static_cast<std::uint8_t>(i),
                           .pace = config.networks[i].pace};
    networks.emplace_back(config.networks[i], own, identity.key, config.pace);
  }
  return networks;
}

Incarnation draw_incarnation(Random& random) {
  std::uint64_t incarnation = 0;
  while (incarnation == 0) {
    random.fill(std::as_writable_bytes(std::span(&incarnation, 1)));
    incarnation >>= 1;  // 63 bits: it also fits the signed numbers of others' tools
  }
  return Incarnation(incarnation);
}

PhaseRecord phase_record(const Options& options, const CcmIdentity& identity, Instant now) {
  PhaseRecord phase(identity.config.run_dir + "/phase", identity.boot_id, options.phase, now);
  const bool goes_on = options.adopt && options.phase != BootPhase::unknown && phase.allows(options.phase);
  if (auto kept = phase.set(goes_on ? options.phase : phase.phase(), now); !kept) {
    say(4, "ccmd: the boot phase cannot be kept for a restarted ccmd: " + kept.error());
  }
  return phase;
}

// The watchdog's keeper with what it keeps, and with the device.
class NodeWatchdog {
 public:
  NodeWatchdog(const CcmIdentity& identity, const Clock& clock) {
    const std::optional<WatchdogConfig>& configured = identity.config.watchdog;
    auto record = FedUntilRecord::open(identity.config.run_dir + "/fed-until", identity.boot_id);
    if (!record && configured) {
      say(4, "ccmd: what clients want of the watchdog cannot be kept for a restarted ccmd: " + record.error());
    }
    const bool kept = record.has_value();
    if (kept) record_.emplace(std::move(*record));
    RunningWatchdog& running = kept ? record_->running() : own_running_;
    const auto held = watchdog_to_hold(configured, running);
    if (held && held != configured) {
      say(4, "ccmd: ccm.watchdog was changed while " + held->device +
                 " runs: it is fed on as before, or it would reset this node. The change is taken up when ccmd is "
                 "stopped and started while no client serves and the driver lets it be stopped, else at the next boot");
    }
    device_.emplace(held ? held->device : std::string());
    // Compared, not told from the path: a copy or a mount of the kernel's is the kernel's too.
    const auto kernels = load_boot_id(kKernelsBootId);
    const WatchdogGround ground{.kept = kept, .kernels_boot_id = kernels && *kernels == identity.boot_id};
    keeper_.emplace(held, identity.config.pace, *device_, kept ? record_->table() : FedUntilTable(own_table_), running,
                    ground, clock);
  }
  NodeWatchdog(const NodeWatchdog&) = delete;
  NodeWatchdog& operator=(const NodeWatchdog&) = delete;
  WatchdogKeeper& keeper() { return *keeper_; }

 private:
  std::optional<ConfiguredWatchdog> device_;
  std::array<FedUntilEntry, kMaxClients> own_table_{};
  RunningWatchdog own_running_{};
  std::optional<FedUntilRecord> record_;
  std::optional<WatchdogKeeper> keeper_;
};

// Everything after it is known that this process is to be the node's ccmd.
int serve(const Options& options, Startup& startup, Random& random, EarlyDaemon* daemon) {
  CcmIdentity& identity = startup.identity;
  const PairConfig& config = identity.config;
  auto lock = take_lock(config);
  if (!lock) return lock.error();
  std::optional<WayToRealRoot> way;
  if (options.early) {
    way.emplace(config.run_dir);
    startup.note.pid = ::getpid();
    if (auto kept = write_early_boot_note(config.run_dir, startup.note); !kept) {
      say(4, "ccmd: the service of the real root cannot adopt this process: " + kept.error());
    }
  }
  const SystemClock clock;
  identity.incarnation = draw_incarnation(random);
  auto fabrics = open_fabrics(config, options.trace);
  if (!fabrics) return failed("the interconnect cannot be used: " + fabrics.error());
  auto port_fabrics = open_port_fabrics(config);
  if (!port_fabrics) return failed("ports cannot be served: " + port_fabrics.error());
  std::vector<Fabric*> rails;
  for (const auto& fabric : *fabrics) rails.push_back(fabric.get());
  auto loop = Loop::make();
  if (!loop) return failed(loop.error());
  // It has no real-time priority, which is this thread's alone and comes later.
  PortThread ports(std::move(*port_fabrics), clock);
  if (auto started = ports.start(); !started) return failed("ports cannot be served: " + started.error());
  NodeWatchdog watchdog(identity, clock);
  const SysrqTrigger sysrq(kSysrqTrigger, "/proc/self/ns/pid");
  auto ccm = std::make_unique<Ccm>(identity, rails, networks_of(identity), ports, watchdog.keeper(), sysrq, random,
                                   phase_record(options, identity, clock.now()), clock);
  if (auto opened = ccm->open(loop->epoll.get()); !opened) return failed("clients cannot be served: " + opened.error());
  become_real_time();
  ServiceNotifier notifier = ServiceNotifier::from_environment();
  std::string named;
  for (const RailConfig& rail : config.rails) named += " " + rail.name.text();
  for (const NetworkConfig& network : config.networks) named += ", " + network.title();
  say(5, "ccmd " HAPAIR_VERSION " of node " + config.node.text() + ", pair " + config.pair.text() + ": incarnation " +
             std::to_string(identity.incarnation.value()) + ", boot id " + identity.boot_id.text() + ", rails" + named);
  notifier.ready("serves " + config.ccm_socket());
  if (daemon != nullptr) daemon->started();
  run(*loop, *ccm, {rails, &ports, &clock, &way}, notifier);
  notifier.stopping();
  ccm->end_watchdog();
  ccm->withdraw();
  say(5, "ccmd ends as asked");
  return 0;
}

// Where nothing can be run, the system that comes up shall at least find out why.
void leave_note_without_config(const EarlyBootNote& note) {
  const std::string run_dir = "/run/hapair";
  (void)::mkdir(run_dir.c_str(), 0755);
  (void)write_early_boot_note(run_dir, note);
}

// What is there of the interconnect is up when the daemon first looks at it; the parent waits for the rest, and
// corrects the note where that came.
EarlyDaemon begin_early(const Options& options, Startup& startup) {
  const PairConfig& config = startup.identity.config;
  Interconnect interconnect(config.rails);
  interconnect.bring_up();
  const std::vector<std::string> before = startup.note.problems;
  const auto with_interconnect = [&] {
    std::vector<std::string> all = before;
    for (std::string& problem : interconnect.problems()) all.push_back(std::move(problem));
    return all;
  };
  startup.note.problems = with_interconnect();
  return EarlyDaemon::become([&] {
    // Deleted with the rest of the initramfs when that is left.
    const auto in_initramfs = [&] { return ::access(options.config.c_str(), F_OK) == 0; };
    interconnect.wait_for_rest(in_initramfs);
    auto note = read_early_boot_note(config.run_dir);
    if (!note || !in_initramfs()) return;
    note->problems = with_interconnect();
    (void)write_early_boot_note(config.run_dir, *note);
  });
}

int start(const Options& options, char** argv) {
  if (!start_crypto()) {
    std::fputs("<3>ccmd: this machine gives no randomness; nothing was started\n", stderr);
    return 1;
  }
  SystemRandom random;
  // Without a key there is still something to put into an initramfs; what is wrong is told either way.
  Startup startup = load(options, options.early || options.boot_plan, random);
  for (const std::string& line : startup.note.problems) say(3, "ccmd: " + line);
  if (!startup.usable) {
    if (options.early) leave_note_without_config(startup.note);
    return kExitConfig;
  }
  if (options.check) {
    std::printf("%s: the part that ccmd reads is in order\n", options.config.c_str());
    return 0;
  }
  if (options.boot_plan) {
    std::fputs(boot_plan(options.config, startup.identity.config).c_str(), stdout);
    return 0;
  }
  if (options.adopt && adopt(startup.identity.config, startup.note, options.phase) == Adopted::yes) return 0;
  std::optional<EarlyDaemon> daemon;
  if (options.early) daemon = begin_early(options, startup);
  if (options.early || options.adopt) mark_as_storage_daemon(argv);
  return serve(options, startup, random, daemon ? &*daemon : nullptr);
}

}  // namespace
}  // namespace hapair::ccm

int main(int argc, char** argv) {
  hapair::ccm::Options options;
  if (const auto status = hapair::ccm::parse_arguments(argc, argv, options)) return *status;
  return hapair::ccm::start(options, argv);
}
