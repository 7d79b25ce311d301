#include "agent/shell/process_table.h"

#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <memory>
#include <sstream>

#include "ccm/base/fd.h"

namespace hapair::agent {
namespace {

constexpr std::size_t kMaxStatBytes = 4096;
constexpr std::size_t kMaxEnvironmentBytes = 8U << 20;

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

// 0 where the process is gone, or only its zombie is left.
int living_group_of(const std::string& pid) {
  const auto stat = read_file("/proc/" + pid + "/stat", kMaxStatBytes);
  if (!stat) return 0;
  // "12 (name) S parent group ...": the name may have blanks and parentheses of its own.
  const std::size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream rest(stat->substr(name_end + 1));
  char state = 'X';
  int parent = 0;
  int group = 0;
  rest >> state >> parent >> group;
  return !rest || state == 'Z' || state == 'X' ? 0 : group;
}

}  // namespace

std::vector<ProcessEntry> living_processes() {
  std::vector<ProcessEntry> out;
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir("/proc"));
  if (!folder) return out;
  while (const dirent* entry = ::readdir(folder.get())) {
    const char* const name = static_cast<const char*>(entry->d_name);
    int pid = 0;
    const auto [end, error] = std::from_chars(name, name + std::strlen(name), pid);
    if (error != std::errc() || *end != '\0') continue;
    if (const int group = living_group_of(name); group != 0) out.push_back({pid, group});
  }
  return out;
}

bool group_lives(int group) {
  if (::kill(-group, 0) != 0 && errno == ESRCH) return false;
  return std::ranges::any_of(living_processes(), [group](const ProcessEntry& entry) { return entry.group == group; });
}

bool carries(int pid, std::string_view setting) {
  const auto environment = read_file("/proc/" + std::to_string(pid) + "/environ", kMaxEnvironmentBytes);
  if (!environment) return false;
  std::istringstream settings(*environment);
  for (std::string each; std::getline(settings, each, '\0');) {
    if (each == setting) return true;
  }
  return false;
}

}  // namespace hapair::agent
