#include "ccm/config/pair_config.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cstdio>

#include "ccm/base/fd.h"

namespace hapair::ccm {
namespace {

constexpr std::size_t kMinKeyFileBytes = 32;
constexpr std::size_t kMaxKeyFileBytes = 4096;

template <class NameType>
NameType read_name(ConfigObject& root, std::string_view key) {
  const std::string text = root.text(key, std::nullopt);
  const auto name = NameType::parse(text);
  if (!name && !text.empty()) {
    root.problems().add(root.path(key), "\"" + text + "\"",
                        "1 to 31 letters, digits, '-', '_' or '.', beginning with a letter or digit");
  }
  return name.value_or(NameType{});
}

void require_absolute(ConfigObject& object, std::string_view key, const std::string& path) {
  if (!path.empty() && path.front() != '/') {
    object.problems().add(object.path(key), "\"" + path + "\"", "an absolute path");
  }
}

}  // namespace

PairConfig read_pair_config(ConfigObject& root) {
  PairConfig config;
  config.pair = read_name<PairName>(root, "pair");
  config.node = read_name<NodeName>(root, "node");
  config.partner = read_name<NodeName>(root, "partner");
  if (!config.node.empty() && config.node == config.partner) {
    root.problems().add(root.path("partner"), "\"" + config.partner.text() + "\", which is this node's own name",
                        "the name of the other node");
  }
  config.key_file = root.text("key_file", "/etc/hapair/pair.key");
  config.run_dir = root.text("run_dir", "/run/hapair");
  config.boot_id_file = root.text("boot_id_file", "/proc/sys/kernel/random/boot_id");
  require_absolute(root, "key_file", config.key_file);
  require_absolute(root, "run_dir", config.run_dir);
  require_absolute(root, "boot_id_file", config.boot_id_file);

  ConfigObject ccm = root.object("ccm", true);
  static constexpr std::array<std::string_view, 1> kFabrics{"shm"};
  config.fabric = static_cast<FabricKind>(ccm.choice("fabric", std::nullopt, kFabrics));
  config.shm_dir = ccm.text("shm_dir", "/dev/shm/hapair");
  require_absolute(ccm, "shm_dir", config.shm_dir);
  config.pace = ccm.milliseconds("pace_ms", 10, 0.5, 1000);
  config.operation_deadline = ccm.milliseconds("operation_deadline_ms", 100, 1, 10'000);
  if (config.operation_deadline < 2 * config.pace) {
    std::array<char, 160> text{};
    std::snprintf(
        text.data(), text.size(),
        "operation_deadline_ms (%g) is shorter than 2 x pace_ms (2 x %g = %g): a read that is merely slow would "
        "end the connection",
        ms_of(config.operation_deadline), ms_of(config.pace), 2 * ms_of(config.pace));
    ccm.problems().add_sentence(ccm.path("operation_deadline_ms"), text.data());
  }
  ccm.finish();
  return config;
}

std::expected<Key, std::string> load_key(const std::string& file) {
  struct stat st{};
  if (::stat(file.c_str(), &st) != 0) {
    return std::unexpected(errno_text("key_file " + file) +
                           "; allowed: a file of at least 32 random bytes, the same on " +
                           "both nodes (make one: head -c 32 /dev/urandom > " + file + "; chmod 600 " + file + ")");
  }
  if (!S_ISREG(st.st_mode)) return std::unexpected("key_file " + file + ": found something that is not a regular file");
  if ((st.st_mode & 077) != 0) {
    std::array<char, 8> mode{};
    std::snprintf(mode.data(), mode.size(), "%04o", static_cast<unsigned>(st.st_mode & 07777));
    return std::unexpected("key_file " + file + ": found mode " + mode.data() +
                           ", which others can read or write; allowed: 0600 or 0400 (chmod 600 " + file +
                           "; and make a new key, since this one may be known)");
  }
  auto content = read_file(file, kMaxKeyFileBytes);
  if (!content) return std::unexpected("key_file " + content.error());
  if (content->size() < kMinKeyFileBytes) {
    return std::unexpected("key_file " + file + ": found " + std::to_string(content->size()) +
                           " bytes; allowed: at least 32 (head -c 32 /dev/urandom > " + file + ")");
  }
  return Key::from_secret(std::as_bytes(std::span(*content)));
}

std::expected<BootId, std::string> load_boot_id(const std::string& file) {
  const auto content = read_file(file, 256);
  if (!content) return std::unexpected("boot_id_file " + content.error());
  const auto id = BootId::parse(*content);
  if (!id || !id->known())
    return std::unexpected("boot_id_file " + file + ": holds no boot id (8-4-4-4-12 hexadecimal digits)");
  return *id;
}

}  // namespace hapair::ccm
