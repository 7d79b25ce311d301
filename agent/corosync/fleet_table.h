// What this node knows of every node in the group: from what they say, and from who is in it. Without clock, thread or
// descriptor. For display only: see fleet_message.h.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/corosync/fleet_message.h"
#include "ccm/base/time.h"

namespace hapair::agent {

// A process in the group, as Corosync names it.
struct FleetMember {
  std::uint32_t node_id = 0;
  std::uint32_t pid = 0;
  auto operator<=>(const FleetMember&) const = default;
};

struct FleetRow {
  FleetMember from;
  FleetReport report;
  Instant as_of;                      // when the report was true
  std::optional<Instant> lost_since;  // it left the group, or this node did
  bool conflict = false;              // another that is in the group has the same pair and name
  bool operator==(const FleetRow&) const = default;
};

// A node that is lost is shown for so long.
inline constexpr Duration kFleetForget = std::chrono::hours(24);
// One that is in the group and whose news is older is told of: its hapaird stands still.
inline constexpr Duration kFleetStale = std::chrono::seconds(15);
inline constexpr std::size_t kMaxFleetRows = 512;

class FleetTable {
 public:
  // Who is in the group now. None: this node is not in it, and so sees nobody.
  void members(Instant now, std::span<const FleetMember> members);
  void message(Instant now, FleetMember from, std::span<const std::byte> bytes);
  // What was lost long ago is forgotten.
  void tick(Instant now);

  [[nodiscard]] std::size_t member_count() const { return members_.size(); }
  // By pair, then node.
  [[nodiscard]] const std::vector<FleetRow>& rows() const { return rows_; }
  // Of messages, by FleetRefusal.
  [[nodiscard]] const std::array<std::uint64_t, kFleetRefusals>& refused() const { return refused_; }

 private:
  [[nodiscard]] bool is_member(FleetMember who) const;
  void settle();

  std::vector<FleetMember> members_;  // sorted
  std::vector<FleetRow> rows_;
  std::array<std::uint64_t, kFleetRefusals> refused_{};
};

// What an operator should look at, a sentence each, in the order of the rows.
std::vector<std::string> fleet_attention(const std::vector<FleetRow>& rows, Instant now);

}  // namespace hapair::agent
