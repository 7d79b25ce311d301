#include "agent/corosync/corosync_map.h"

#include <corosync/cmap.h>
#include <corosync/corotypes.h>

#include <array>
#include <vector>

namespace hapair::agent {
namespace {

std::unexpected<std::string> failed(const std::string& what, cs_error_t error) {
  return std::unexpected(what + ": " + cs_strerror(error));
}

cs_error_t set(cmap_handle_t handle, const std::string& key, const MonitorValue& value) {
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return cmap_set_uint64(handle, key.c_str(), *number);
  return cmap_set_string(handle, key.c_str(), std::get<std::string>(value).c_str());
}

}  // namespace

std::expected<std::unique_ptr<CorosyncMap>, std::string> CorosyncMap::open() {
  std::unique_ptr<CorosyncMap> map(new CorosyncMap());
  if (const cs_error_t error = cmap_initialize(&map->handle_); error != CS_OK) {
    return failed("Corosync's map cannot be opened", error);
  }
  map->open_ = true;
  map->remove_all();
  return map;
}

CorosyncMap::~CorosyncMap() {
  if (open_) cmap_finalize(handle_);
}

std::expected<void, std::string> CorosyncMap::write(const MonitorKeys& keys) {
  for (const auto& [key, value] : keys) {
    const auto known = written_.find(key);
    if (known != written_.end() && known->second == value) continue;
    if (const cs_error_t error = set(handle_, key, value); error != CS_OK) {
      return failed("Corosync's map does not take " + key, error);
    }
    written_[key] = value;
  }
  return {};
}

void CorosyncMap::remove_all() {
  cmap_iter_handle_t iteration = 0;
  if (cmap_iter_init(handle_, kMonitorPrefix, &iteration) != CS_OK) return;
  std::vector<std::string> found;
  std::array<char, CMAP_KEYNAME_MAXLEN + 1> key{};
  while (cmap_iter_next(handle_, iteration, key.data(), nullptr, nullptr) == CS_OK) found.emplace_back(key.data());
  cmap_iter_finalize(handle_, iteration);
  for (const std::string& each : found) cmap_delete(handle_, each.c_str());
  written_.clear();
}

}  // namespace hapair::agent
