// This node's place in the fleet: it tells a Corosync process group how it stands, and knows what all others tell. One
// thread has everything of Corosync's, for a Corosync that hangs keeps whoever asks it waiting for ever: the loop only
// hands it the newest report, and takes the newest table, under a lock that is never held across a call to Corosync.
//
// What is known of others is for people to look at (fleet_message.h): nothing is decided by it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/corosync/fleet_message.h"
#include "agent/corosync/fleet_table.h"
#include "ccm/base/time.h"

namespace hapair::agent {

// How often a node speaks of itself where nothing changes.
inline constexpr Duration kFleetPublishEvery = std::chrono::seconds(2);
// A Corosync that has not brought this node its own message for so long, or keeps a call waiting, does not answer. A
// ring that is formed anew takes some seven seconds with Corosync's own times, in which nothing is delivered.
inline constexpr Duration kCorosyncPatience = std::chrono::seconds(15);

struct FleetView {
  bool connected = false;
  Instant since;             // since when that is so
  std::string problem;       // of one that is not connected: a sentence
  std::string keys_problem;  // why monitoring's keys (monitor_keys.h) are not written; empty: they are
  std::size_t members = 0;   // processes in the group
  std::vector<FleetRow> rows;
  std::array<std::uint64_t, kFleetRefusals> refused{};
};

class Fleet {
 public:
  // Whether this build has it (CMake leaves it out where libcpg or libcmap is missing). Where not, nothing is ever
  // connected.
  static bool is_built();

  explicit Fleet(const std::string& group);
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;
  ~Fleet();  // leaves the group; does not wait for a Corosync that does not answer

  // How this node stands at `now`.
  void publish(FleetReport report, Instant now);
  [[nodiscard]] FleetView view(Instant now) const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;  // with the thread, which may outlive this in a call
};

}  // namespace hapair::agent
