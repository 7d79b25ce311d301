#include "agent/corosync/corosync_configuration.h"

#include <corosync/cmap.h>
#include <corosync/corotypes.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <map>

namespace hapair::agent {
namespace {

// A connection, closed at its end.
class Map {
 public:
  Map() : error_(cmap_initialize(&handle_)) {}
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;
  ~Map() {
    if (error_ == CS_OK) cmap_finalize(handle_);
  }
  [[nodiscard]] cs_error_t error() const { return error_; }

  [[nodiscard]] std::string text(const std::string& key) const {
    char* value = nullptr;
    if (cmap_get_string(handle_, key.c_str(), &value) != CS_OK || value == nullptr) return {};
    std::string text(value);
    std::free(value);
    return text;
  }
  // Of whichever type Corosync has it. Nothing: there is none, or it is no number.
  [[nodiscard]] std::optional<std::uint32_t> number(const std::string& key) const {
    std::array<std::uint8_t, sizeof(std::uint64_t)> raw{};
    std::size_t size = raw.size();
    cmap_value_types_t type{};
    if (cmap_get(handle_, key.c_str(), raw.data(), &size, &type) == CS_OK && type == CMAP_VALUETYPE_UINT32) {
      std::uint32_t value = 0;
      return cmap_get_uint32(handle_, key.c_str(), &value) == CS_OK ? std::optional(value) : std::nullopt;
    }
    if (std::uint8_t value = 0; cmap_get_uint8(handle_, key.c_str(), &value) == CS_OK) return value;
    const std::string digits = text(key);
    std::uint32_t value = 0;
    const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.empty() || problem != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  }
  [[nodiscard]] Duration time(const std::string& key, Duration otherwise) const {
    const auto value = number(key);
    return value ? Duration(std::chrono::milliseconds(*value)) : otherwise;
  }
  // The numbers of the sections of the nodelist.
  [[nodiscard]] std::vector<std::string> node_sections() const {
    cmap_iter_handle_t iteration = 0;
    std::map<std::string, bool> found;
    const std::string prefix = "nodelist.node.";
    if (cmap_iter_init(handle_, prefix.c_str(), &iteration) != CS_OK) return {};
    std::array<char, CMAP_KEYNAME_MAXLEN + 1> key{};
    while (cmap_iter_next(handle_, iteration, key.data(), nullptr, nullptr) == CS_OK) {
      const std::string rest = std::string(key.data()).substr(prefix.size());
      found[rest.substr(0, rest.find('.'))] = true;
    }
    cmap_iter_finalize(handle_, iteration);
    std::vector<std::string> sections;
    sections.reserve(found.size());
    for (const auto& [section, there] : found) sections.push_back(section);
    return sections;
  }

 private:
  cmap_handle_t handle_ = 0;
  cs_error_t error_;
};

}  // namespace

std::expected<QuorumConfiguration, std::string> read_quorum_configuration() {
  const Map map;
  if (map.error() != CS_OK) {
    return std::unexpected(std::string("Corosync does not run on this node, or takes no clients: ") +
                           cs_strerror(map.error()));
  }
  QuorumConfiguration out;
  out.cluster = map.text("totem.cluster_name");
  std::uint32_t votes = 0;
  for (const std::string& section : map.node_sections()) {
    const std::string prefix = "nodelist.node." + section + ".";
    out.nodes.push_back({.id = map.number(prefix + "nodeid").value_or(0),
                         .name = map.text(prefix + "name"),
                         .votes = map.number(prefix + "quorum_votes").value_or(1)});
    votes += out.nodes.back().votes;
  }
  if (const std::string model = map.text("quorum.device.model"); !model.empty()) {
    const std::string algorithm = map.text("quorum.device.net.algorithm");
    // Of the votes and the timeout: votequorum's own defaults.
    out.device = QuorumDevice{.model = model,
                              .algorithm = algorithm.empty() ? "ffsplit" : algorithm,
                              .host = map.text("quorum.device.net.host"),
                              .votes = map.number("quorum.device.votes").value_or(votes > 0 ? votes - 1 : 0),
                              .timeout = map.time("quorum.device.timeout", std::chrono::seconds(10))};
  }
  out.token = map.time("runtime.config.totem.token", std::chrono::seconds(3));
  out.consensus = map.time("runtime.config.totem.consensus", out.token * 6 / 5);
  return out;
}

}  // namespace hapair::agent
