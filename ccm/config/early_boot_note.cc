#include "ccm/config/early_boot_note.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>

#include "ccm/base/fd.h"

namespace hapair::ccm {
namespace {

constexpr std::size_t kMaxNoteBytes = 65536;

std::string note_path(const std::string& run_dir) { return run_dir + "/early-boot.json"; }

std::string hexadecimal(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", byte);
    text += digits.data();
  }
  return text;
}

}  // namespace

std::optional<EarlyBootNote> read_early_boot_note(const std::string& run_dir) {
  const auto content = read_file(note_path(run_dir), kMaxNoteBytes);
  if (!content) return std::nullopt;
  const nlohmann::json json = nlohmann::json::parse(*content, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  try {
    EarlyBootNote note;
    note.pid = json.at("pid").get<pid_t>();
    note.version = json.at("version").get<std::string>();
    note.config = json.at("config").get<std::string>();
    note.key = json.at("key").get<std::string>();
    note.problems = json.at("problems").get<std::vector<std::string>>();
    return note;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

std::expected<void, std::string> write_early_boot_note(const std::string& run_dir, const EarlyBootNote& note) {
  const nlohmann::json json{{"pid", note.pid},
                            {"version", note.version},
                            {"config", note.config},
                            {"key", note.key},
                            {"problems", note.problems}};
  const std::string path = note_path(run_dir);
  const std::string temporary = path + ".new";
  const Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const std::string text = json.dump(2) + "\n";
  if (!fd.valid() || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return std::unexpected(errno_text(temporary));
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return std::unexpected(errno_text(path));
  return {};
}

std::string fingerprint_of_file(const std::string& file) {
  const auto content = read_file(file, std::size_t{1} << 20U);
  if (!content) return "";
  return hexadecimal(mac_of(Key(), {std::as_bytes(std::span(*content))}));
}

std::string fingerprint_of(const Key& key) { return hexadecimal(key.derive("fingerprint", {}).bytes()); }

}  // namespace hapair::ccm
