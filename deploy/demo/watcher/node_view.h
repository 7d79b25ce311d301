// One node as it is seen from outside: nothing here asks the node's own software.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "ccm/base/fd.h"
#include "ccm/base/time.h"
#include "deploy/demo/watcher/holding.h"

namespace hapair::demo {

class NodeView {
 public:
  NodeView(const WatchedNode& node, const std::vector<WatchedPool>& pools);

  // Looks again. `with_luns`: also at the files that tgtd has open, which costs more than the rest together.
  void look(Instant now, bool with_luns);
  [[nodiscard]] bool holds(std::size_t pool, Holding holding) const {
    return held_[pool][static_cast<std::size_t>(holding)];
  }
  [[nodiscard]] bool holds_any(std::size_t pool) const;
  [[nodiscard]] const std::string& name() const { return node_.name; }

 private:
  struct Disk {
    std::string superblock;  // the path under /sys/fs that is there while the kernel has the file system in use
  };
  // Follows the node to its next life: another power file means other namespaces and loop devices. A power file that
  // is gone changes nothing: what the last life left behind is watched until the next one begins.
  void follow_power();
  void open_address_socket(const std::string& netns);
  void look_at_addresses();
  void look_at_luns(Instant now);
  [[nodiscard]] pid_t find_tgtd() const;

  WatchedNode node_;
  const std::vector<WatchedPool>& pools_;
  std::vector<std::array<bool, kHoldings.size()>> held_;  // by pool
  std::vector<Disk> disks_;                               // by pool
  ino_t power_inode_ = 0;
  std::int64_t power_written_ns_ = 0;
  Fd addresses_;  // an rtnetlink socket in the node's network namespace
  ino_t pid_namespace_ = 0;
  pid_t tgtd_ = 0;
  Instant next_search_;
};

}  // namespace hapair::demo
