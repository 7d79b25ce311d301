#include "ccm/daemon/adoption.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "ccm/base/fd.h"
#include "ccm/daemon/notify.h"
#include "ccm/daemon/say.h"

namespace hapair::ccm {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxFileBytes = 65536;
constexpr int kPatienceMs = 3000;
constexpr int kLookEveryMs = 10;

std::string adoption_path(const std::string& run_dir) { return run_dir + "/adoption.json"; }

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The process number in a note may be another's by now: only one whose first word begins with '@' is meant, and the
// descriptor keeps it from becoming another's meanwhile.
struct Early {
  pid_t pid = 0;
  Fd process;

  static std::optional<Early> find(const EarlyBootNote& note) {
    Early early;
    early.pid = note.pid;
    early.process = Fd(static_cast<int>(::syscall(SYS_pidfd_open, note.pid, 0)));
    if (!early.process.valid()) return std::nullopt;
    const auto words = read_file("/proc/" + std::to_string(note.pid) + "/cmdline", kMaxFileBytes);
    if (!words || words->empty() || words->front() != '@' || words->find("ccmd") == std::string::npos) {
      return std::nullopt;
    }
    return early;
  }
  void signal(int number) const { (void)::syscall(SYS_pidfd_send_signal, process.get(), number, nullptr, 0); }
  [[nodiscard]] bool ends_within(int patience_ms) const {
    pollfd one{process.get(), POLLIN, 0};
    return ::poll(&one, 1, patience_ms) > 0;
  }
};

std::expected<void, std::string> write_text(const std::string& path, const std::string& text, int flags) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | flags, 0600));
  if (!fd.valid() || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return std::unexpected(errno_text(path));
  }
  return {};
}

// Into the control group of this process, which is the service's. Of cgroup v2: "0::/system.slice/ccmd.service".
std::expected<void, std::string> take_into_own_group(pid_t pid) {
  const auto groups = read_file("/proc/self/cgroup", kMaxFileBytes);
  if (!groups) return std::unexpected(groups.error());
  const std::size_t at = groups->find("0::");
  if (at == std::string::npos) return std::unexpected("this machine has no cgroup v2");
  const std::string group = groups->substr(at + 3, groups->find('\n', at) - at - 3);
  return write_text("/sys/fs/cgroup" + group + "/cgroup.procs", std::to_string(pid), 0);
}

// Empty where both are alike; else a sentence's part that says what to do.
std::string difference(const EarlyBootNote& early, const EarlyBootNote& own) {
  std::string what;
  if (early.config != own.config) {
    what = "its configuration is not the one that this system has";
  } else if (early.key.empty()) {
    what = "it has no key";
  } else if (early.key != own.key) {
    what = "its key is not the one that this system has";
  } else if (early.version != own.version) {
    what = "it is version " + early.version + ", this is " + own.version;
  }
  return what.empty() ? what : what + "; build the initramfs anew (update-initramfs -u, or dracut --force)";
}

std::expected<void, std::string> hand_over(const PairConfig& config, const Early& early, BootPhase phase) {
  if (auto taken = take_into_own_group(early.pid); !taken) return taken;
  const nlohmann::json json{{"notify_socket", environment("NOTIFY_SOCKET")},
                            {"watchdog_us", std::atoll(environment("WATCHDOG_USEC").c_str())},
                            {"phase", text_of(phase)},
                            {"adopter", ::getpid()}};
  const std::string path = adoption_path(config.run_dir);
  if (auto written = write_text(path, json.dump() + "\n", O_CREAT | O_TRUNC); !written) return written;
  early.signal(SIGUSR1);
  for (int waited = 0; waited < kPatienceMs; waited += kLookEveryMs) {
    if (::access(path.c_str(), F_OK) != 0) return {};
    if (early.ends_within(kLookEveryMs)) return std::unexpected("it ended meanwhile");
  }
  ::unlink(path.c_str());
  return std::unexpected("it did not answer within 3 s");
}

void end(const Early& early) {
  early.signal(SIGTERM);
  if (early.ends_within(kPatienceMs)) return;
  early.signal(SIGKILL);
  (void)early.ends_within(kPatienceMs);
}

}  // namespace

std::optional<Adoption> read_adoption(const std::string& run_dir) {
  const auto content = read_file(adoption_path(run_dir), kMaxFileBytes);
  if (!content) return std::nullopt;
  const nlohmann::json json = nlohmann::json::parse(*content, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  try {
    Adoption adoption;
    adoption.notify_socket = json.at("notify_socket").get<std::string>();
    adoption.watchdog_us = json.at("watchdog_us").get<std::int64_t>();
    adoption.phase = parse_boot_phase(json.at("phase").get<std::string>()).value_or(BootPhase::unknown);
    adoption.adopter = json.at("adopter").get<pid_t>();
    return adoption;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

void take_standard_error(pid_t adopter) {
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, adopter, 0)));
  if (!process.valid()) return;
  const Fd words(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), STDERR_FILENO, 0)));
  if (words.valid()) (void)::dup2(words.get(), STDERR_FILENO);
}

void remove_adoption(const std::string& run_dir) { ::unlink(adoption_path(run_dir).c_str()); }

Adopted adopt(const PairConfig& config, const EarlyBootNote& own, BootPhase phase) {
  auto note = read_early_boot_note(config.run_dir);
  if (!note) return Adopted::nobody;
  const auto early = Early::find(*note);
  if (!early) return Adopted::nobody;
  std::string reason = difference(*note, own);
  if (reason.empty()) {
    const auto done = hand_over(config, *early, phase);
    if (done) {
      ServiceNotifier::from_environment().adopted(early->pid);
      say(5, "ccmd from the initramfs (process " + std::to_string(early->pid) +
                 ") goes on as this service: same incarnation, same connections");
      return Adopted::yes;
    }
    reason = done.error();
  }
  const std::string problem =
      "the ccmd of the initramfs was ended and another one started, so the partner saw a new incarnation: " + reason;
  say(4, problem);
  end(*early);
  note->problems.push_back(problem);
  note->pid = 0;
  (void)write_early_boot_note(config.run_dir, *note);
  return Adopted::replaced;
}

}  // namespace hapair::ccm
