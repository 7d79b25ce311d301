#include "tests/unit/ccm/daemon/running_ccmd.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "ccm/base/fd.h"

namespace hapair::ccm {
namespace {

constexpr Duration kPatience = std::chrono::seconds(10);

int status_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status); }

}  // namespace

RunningCcmd::RunningCcmd(const TempFolder& folder, CcmdOptions with) : options(std::move(with)), folder_(&folder) {}
RunningCcmd::~RunningCcmd() { kill(); }

std::string RunningCcmd::run_dir() const { return *folder_ / ("run-" + options.node); }
std::string RunningCcmd::config_file() const { return *folder_ / (options.node + ".json"); }

std::string RunningCcmd::rails() const {
  std::string text;
  for (int i = 0; i < options.rails; ++i) {
    const std::string number = i == 0 ? "" : std::to_string(i);
    text += std::string(i == 0 ? "" : ", ") + R"({"name": "shm)" + number + R"(", "fabric": "shm", "dir": ")" +
            (*folder_ / ("shm" + number)) + "\"}";
  }
  return text + options.more_rails;
}

void RunningCcmd::write_files() const {
  const std::string key_file = *folder_ / (options.node + ".key");
  std::ofstream(key_file) << options.key;
  ::chmod(key_file.c_str(), 0600);
  const std::string boot_id_file = *folder_ / (options.node + ".boot_id");
  std::ofstream(boot_id_file) << options.boot_id << "\n";
  std::ofstream(config_file()) << "{\"pair\": \"" << options.pair << "\", \"node\": \"" << options.node
                               << "\", \"partner\": \"" << options.partner << "\", \"key_file\": \"" << key_file
                               << "\", \"run_dir\": \"" << run_dir() << "\", \"boot_id_file\": \"" << boot_id_file
                               << "\", \"pools\": [], // the agent's\n \"ccm\": {\"rails\": [" << rails()
                               << "], \"pace_ms\": " << options.pace_ms << ", \"operation_deadline_ms\": 200"
                               << options.more_ccm << "}}\n";
}

void RunningCcmd::start() {
  kill();
  write_files();
  ++starts_;
  const std::string config = config_file();
  const std::string log_file = *folder_ / (options.node + ".log");
  pid_ = ::fork();
  ASSERT_GE(pid_, 0);
  if (pid_ == 0) {
    const int log =
        options.log_to >= 0 ? options.log_to : ::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    ::dup2(log, STDERR_FILENO);
    std::vector<const char*> words{CCMD_PROGRAM, "--config", config.c_str()};
    if (!options.phase.empty()) words.insert(words.end(), {"--phase", options.phase.c_str()});
    if (options.trace) words.push_back("--trace");
    if (options.adopt) words.push_back("--adopt");
    words.push_back(nullptr);
    ::execv(CCMD_PROGRAM, const_cast<char* const*>(words.data()));
    ::_exit(127);
  }
  ASSERT_TRUE(eventually([this] { return Client::connect(socket(), "looker", Duration{}, kPatience).has_value(); }))
      << log();
}

int RunningCcmd::run_to_end(const std::string& arguments) {
  write_files();
  const std::string command = std::string(CCMD_PROGRAM) + " --config " + config_file() + " " + arguments + " >>" +
                              (*folder_ / (options.node + ".log")) + " 2>&1";
  return status_of(std::system(command.c_str()));
}

void RunningCcmd::signal(int number) const { ::kill(pid_, number); }

int RunningCcmd::wait() {
  int status = 0;
  ::waitpid(std::exchange(pid_, -1), &status, 0);
  return status_of(status);
}

void RunningCcmd::kill() {
  if (pid_ <= 0) return;
  signal(SIGKILL);
  wait();
}

bool RunningCcmd::running() { return pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == 0; }

std::string RunningCcmd::log() const {
  std::ostringstream text;
  text << std::ifstream(*folder_ / (options.node + ".log")).rdbuf();
  return text.str();
}

std::optional<StatusView> RunningCcmd::page() const {
  // A read that met the writer is one to repeat, as the partner does: it says nothing of the node.
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries; ++i) {
    const auto bytes = read_file(*folder_ / ("shm/" + options.node + ".status"), kPageBytes);
    if (!bytes) return std::nullopt;
    auto view = parse_status_page(std::as_bytes(std::span(*bytes)));
    if (view) return *view;
    if (view.error() != PageError::torn) return std::nullopt;
  }
  return std::nullopt;
}

HandshakeState RunningCcmd::handshake() const {
  const auto view = page();
  return view ? view->handshake : HandshakeState::searching;
}

std::optional<ClientView> RunningCcmd::client(const std::string& name) const {
  const auto view = page();
  if (!view) return std::nullopt;
  for (const ClientView& found : view->clients) {
    if (found.name == name) return found;
  }
  return std::nullopt;
}

std::optional<CcmSelfLayout> RunningCcmd::self() const {
  std::optional<CcmSelfLayout> self;
  // The place of the looker before this one may not be free yet.
  eventually([&] {
    auto looker = Client::connect(socket(), "looker", Duration{}, kPatience);
    if (looker) self = looker->self();
    if (looker) looker->leave();
    return self.has_value();
  });
  return self;
}

void RunningCcmd::end_early() const {
  const auto text = read_file(run_dir() + "/ccmd.lock", 64);
  const pid_t early = text ? std::atoi(text->c_str()) : 0;
  if (early <= 0 || early == pid_ || ::kill(early, SIGTERM) != 0) return;
  EXPECT_TRUE(eventually([early] { return ::kill(early, 0) != 0; }));
}

}  // namespace hapair::ccm
