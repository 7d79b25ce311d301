// This node's keys in Corosync's map (libcmap). Every call may wait for Corosync: see corosync_group.h.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "agent/corosync/monitor_keys.h"

namespace hapair::agent {

class CorosyncMap {
 public:
  // Removes what an earlier life left there. Errors are sentences, and end the connection.
  static std::expected<std::unique_ptr<CorosyncMap>, std::string> open();
  CorosyncMap(const CorosyncMap&) = delete;
  CorosyncMap& operator=(const CorosyncMap&) = delete;
  ~CorosyncMap();

  // Writes what differs from what it wrote last.
  std::expected<void, std::string> write(const MonitorKeys& keys);
  // As at an orderly end: nobody reads what is true no longer.
  void remove_all();

 private:
  CorosyncMap() = default;

  std::uint64_t handle_ = 0;
  bool open_ = false;
  MonitorKeys written_;
};

}  // namespace hapair::agent
