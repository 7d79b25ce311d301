#include "agent/shell/action_ledger.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <sstream>
#include <utility>

#include "agent/shell/process_table.h"
#include "ccm/base/fd.h"

namespace hapair::agent {
namespace {

constexpr std::size_t kMaxEntryBytes = 4096;
constexpr unsigned kLookAgainUs = 5'000;

void append(const Fd& fd, const std::string& line) {
  // A short write leaves an entry without its group: then every process with the token is looked for.
  [[maybe_unused]] const ssize_t n = ::write(fd.get(), line.data(), line.size());
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

std::vector<std::string> names_in(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir(path.c_str()));
  if (!folder) return names;
  while (const dirent* entry = ::readdir(folder.get())) {
    std::string name = static_cast<const char*>(entry->d_name);
    if (!name.starts_with('.')) names.push_back(std::move(name));
  }
  return names;
}

// The processes of the program that live: of its group where that is known, so that a daemon which it started and which
// left the group lives on.
std::vector<ProcessEntry> processes_of(const std::string& token, int group) {
  std::vector<ProcessEntry> out;
  if (group != 0 && !group_lives(group)) return out;
  for (const ProcessEntry& process : living_processes()) {
    const bool candidate = group == 0 || process.group == group;
    if (candidate && carries(process.pid, ActionLedger::setting_of(token))) out.push_back(process);
  }
  return out;
}

struct Entry {
  std::string token;
  Leftover leftover;
};

void remove_entry(const std::string& folder, const std::string& token) {
  const std::string path = folder + "/" + token;
  ::unlink(path.c_str());
}

Entry read_entry(const std::string& folder, const std::string& token) {
  std::istringstream lines(read_file(folder + "/" + token, kMaxEntryBytes).value_or(""));
  Entry entry{token, {}};
  std::getline(lines, entry.leftover.what);
  lines >> entry.leftover.group;
  return entry;
}

}  // namespace

ActionLedger::ActionLedger(std::string folder, const Clock& clock)
    : folder_(std::move(folder)), prefix_(std::to_string(ns_of(clock.now()))) {}

std::string ActionLedger::begin(const std::string& what) {
  if (folder_.empty()) return "";
  std::string token = prefix_ + "-" + std::to_string(next_++);
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
  Fd fd(::open(path_of(token).c_str(), kFlags, 0600));
  if (!fd.valid() && errno == ENOENT) {
    ::mkdir(folder_.c_str(), 0700);
    fd = Fd(::open(path_of(token).c_str(), kFlags, 0600));
  }
  if (!fd.valid()) return "";
  append(fd, what + "\n");
  return token;
}

void ActionLedger::runs(const std::string& token, int group) const {
  if (token.empty()) return;
  const Fd fd(::open(path_of(token).c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (fd.valid()) append(fd, std::to_string(group) + "\n");
}

void ActionLedger::ended(const std::string& token) const {
  if (!token.empty()) ::unlink(path_of(token).c_str());
}

std::vector<Leftover> end_leftovers(const std::string& folder, Duration patience) {
  const SystemClock clock;
  const Instant until = clock.now() + patience;
  std::vector<Leftover> out;
  for (const std::string& token : names_in(folder)) {
    Entry entry = read_entry(folder, token);
    auto living = processes_of(token, entry.leftover.group);
    const bool any = !living.empty();
    if (any && entry.leftover.group == 0) entry.leftover.group = living.front().group;
    // Again each time: what was about to fork has forked.
    while (!living.empty()) {
      for (const ProcessEntry& process : living) ::kill(process.pid, SIGKILL);
      if (clock.now() >= until) break;
      ::usleep(kLookAgainUs);
      living = processes_of(token, entry.leftover.group);
    }
    entry.leftover.ended = living.empty();
    if (entry.leftover.ended) remove_entry(folder, token);
    if (any) out.push_back(std::move(entry.leftover));
  }
  return out;
}

}  // namespace hapair::agent
