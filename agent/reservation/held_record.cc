#include "agent/reservation/held_record.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <sstream>
#include <utility>

#include "ccm/base/fd.h"

namespace hapair::agent {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
constexpr const char* kUnfinished = ".new";

}  // namespace

std::string HeldRecord::path_of(std::string title) const {
  std::ranges::replace(title, '/', '.');
  return folder_ + "/" + title;
}

std::expected<void, std::string> HeldRecord::write(const std::string& title,
                                                   const std::vector<std::string>& devices) const {
  if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) return std::unexpected(errno_text(folder_));
  std::string text;
  for (const std::string& device : devices) text += device + "\n";
  const std::string path = path_of(title);
  const Fd file(::open((path + kUnfinished).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file.valid() || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::rename((path + kUnfinished).c_str(), path.c_str()) != 0) {
    return std::unexpected(errno_text(path + " cannot be written"));
  }
  return {};
}

void HeldRecord::remove(const std::string& title) const { ::unlink(path_of(title).c_str()); }

std::expected<std::vector<std::string>, std::string> HeldRecord::devices() const {
  std::vector<std::string> devices;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    if (entry.path().extension() == kUnfinished) continue;
    const auto text = read_file(entry.path().string(), kMaxBytes);
    if (!text) return std::unexpected(text.error());
    std::istringstream lines(*text);
    for (std::string line; std::getline(lines, line);) devices.push_back(line);
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return std::unexpected(folder_ + ": " + error.message());
  }
  return devices;
}

}  // namespace hapair::agent
