#include "deploy/demo/init/spec.h"

#include <nlohmann/json.hpp>

#include "ccm/base/fd.h"

namespace hapair::demo {
namespace {

constexpr std::size_t kMaxSpecBytes = 65536;

std::string text(const nlohmann::json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

}  // namespace

std::expected<NodeSpec, std::string> load_spec(const std::string& file) {
  const auto content = read_file(file, kMaxSpecBytes);
  if (!content) return std::unexpected(content.error());
  const auto json = nlohmann::json::parse(*content, nullptr, false);
  if (!json.is_object()) return std::unexpected(file + ": is not a JSON object");

  NodeSpec spec;
  const std::pair<const char*, std::string*> texts[] = {
      {"node", &spec.node},     {"netns", &spec.netns},
      {"root", &spec.root},     {"etc", &spec.etc},
      {"var", &spec.var},       {"programs", &spec.programs},
      {"shm", &spec.shm},       {"power_socket", &spec.power_socket},
      {"status", &spec.status},
  };
  for (const auto& [key, into] : texts) {
    *into = text(json, key);
    if (into->empty()) return std::unexpected(file + ": \"" + key + "\" is missing");
  }
  if (const auto disks = json.find("disks"); disks != json.end() && disks->is_object()) {
    for (const auto& [name, device] : disks->items()) {
      if (device.is_string()) spec.disks.emplace_back(name, device.get<std::string>());
    }
  }
  spec.watchdog = text(json, "watchdog");
  if (const auto cluster = json.find("cluster"); cluster != json.end() && cluster->is_boolean()) {
    spec.cluster = cluster->get<bool>();
  }
  return spec;
}

}  // namespace hapair::demo
