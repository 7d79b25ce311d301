#include "agent/cli/reservation_look.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <sstream>

#include "agent/config/reservation_config.h"
#include "ccm/base/fd.h"
#include "ccm/base/time.h"

namespace hapair::cli {
namespace {

struct Ran {
  std::string said;  // on its standard error
  bool ended = false;
  int status = 0;
};

// One that hangs in the kernel is left behind: waiting for its end would hang this program too.
std::expected<Ran, std::string> run(const std::vector<std::string>& words, Duration patience) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::unexpected(errno_text("pipe"));
  const Fd out(ends[0]);
  Fd in(ends[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in.get(), STDERR_FILENO);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, argv.front(), &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    errno = error;
    return std::unexpected(errno_text(words.front()));
  }
  in.reset();
  Ran ran;
  const SystemClock clock;
  const Instant end = clock.now() + patience;
  while (!ran.ended) {
    pollfd wait{.fd = out.get(), .events = POLLIN, .revents = 0};
    const auto left = std::max<std::int64_t>((end - clock.now()) / std::chrono::milliseconds(1), 0);
    if (::poll(&wait, 1, static_cast<int>(left)) <= 0) break;
    std::array<char, 4096> bytes{};
    const ssize_t n = ::read(out.get(), bytes.data(), bytes.size());
    if (n > 0) ran.said.append(bytes.data(), static_cast<std::size_t>(n));
    ran.ended = n <= 0;
  }
  if (!ran.ended) ::kill(pid, SIGKILL);
  ::waitpid(pid, &ran.status, ran.ended ? 0 : WNOHANG);
  return ran;
}

}  // namespace

ReservationLook look_at_reservations(const agent::AgentConfig& config) {
  ReservationLook look;
  const auto disks = agent::reserved_disks(config);
  look.disks = disks.size();
  if (disks.empty() || ::geteuid() != 0) return look;
  look.asked = true;
  Duration longest{};
  for (const agent::PoolConfig& pool : config.pools) {
    for (const agent::ResourceConfig& resource : pool.resources) longest = std::max(longest, resource.command_timeout);
  }
  std::vector<std::string> words{config.places.reserve_program, "check"};
  const auto identity = agent::reserve_identity(config.pair);
  words.insert(words.end(), identity.begin(), identity.end());
  words.insert(words.end(), {"--command-timeout-ms", std::to_string(longest / std::chrono::milliseconds(1)), "--"});
  words.insert(words.end(), disks.begin(), disks.end());
  const auto ran = run(words, 4 * longest);
  if (!ran) {
    look.problems.push_back(ran.error());
    return look;
  }
  if (!ran->ended) {
    look.problems.push_back(
        "a reserved disk does not answer, and hapair-reserve hangs on it (process state D: ps aux)");
    return look;
  }
  if (WIFEXITED(ran->status) && WEXITSTATUS(ran->status) == 0) return look;
  std::istringstream lines(ran->said);
  for (std::string line; std::getline(lines, line);) look.problems.push_back(line);
  if (look.problems.empty()) look.problems.emplace_back("hapair-reserve check failed without a word");
  return look;
}

}  // namespace hapair::cli
