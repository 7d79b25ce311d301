#include "deploy/demo/watcher/holding.h"

#include <arpa/inet.h>

#include <nlohmann/json.hpp>

#include "ccm/base/fd.h"

namespace hapair::demo {
namespace {

constexpr std::size_t kMaxSpecBytes = 65536;

}  // namespace

std::string_view text_of(Holding holding) {
  switch (holding) {
    case Holding::mount:
      return "mount";
    case Holding::address:
      return "address";
    case Holding::lun:
      return "lun";
  }
  return "unknown";
}

std::expected<WatchSpec, std::string> load_watch_spec(const std::string& file) {
  const auto content = read_file(file, kMaxSpecBytes);
  if (!content) return std::unexpected(content.error());
  const auto json = nlohmann::json::parse(*content, nullptr, false);
  if (!json.is_object() || !json.contains("pools") || !json.contains("nodes")) {
    return std::unexpected(file + ": needs \"pools\" and \"nodes\"");
  }
  WatchSpec spec;
  for (const auto& pool : json["pools"]) {
    WatchedPool watched{pool.value("name", ""), pool.value("image", ""), pool.value("filesystem", ""), 0,
                        pool.value("backing", "")};
    in_addr address{};
    if (::inet_pton(AF_INET, pool.value("address", "").c_str(), &address) != 1) {
      return std::unexpected(file + ": the address of pool " + watched.name + " is no IPv4 address");
    }
    watched.address = address.s_addr;
    spec.pools.push_back(std::move(watched));
  }
  for (const auto& node : json["nodes"]) {
    spec.nodes.push_back({node.value("name", ""), node.value("power_file", "")});
  }
  spec.interval = std::chrono::microseconds(json.value("interval_us", std::int64_t{2000}));
  return spec;
}

}  // namespace hapair::demo
