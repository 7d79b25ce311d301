#include "agent/corosync/fleet_table.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace hapair::agent {
namespace {

bool same_name(const FleetRow& one, const FleetRow& other) {
  return one.report.pair == other.report.pair && one.report.node == other.report.node;
}

using Rows = std::span<const FleetRow>;

void tell_nodes(Rows pair, Instant now, std::vector<std::string>& out) {
  for (std::size_t i = 0; i < pair.size(); ++i) {
    const FleetRow& row = pair[i];
    const std::string who = fmt::format("{} of {}", row.report.node.view(), row.report.pair.view());
    if (row.conflict) {
      const bool told = i > 0 && pair[i - 1].conflict && same_name(pair[i - 1], row);
      if (!told) out.push_back(fmt::format("{}: several say that they are this node", who));
    } else if (row.lost_since) {
      out.push_back(fmt::format("{} is lost: it is no longer in the group", who));
    } else if (now - row.as_of > kFleetStale) {
      out.push_back(fmt::format("{} is in the group, and its hapaird tells nothing new", who));
    }
    const bool seen = std::ranges::any_of(pair, [&](const FleetRow& r) { return r.report.node == row.report.partner; });
    if (!seen && !row.lost_since) {
      out.push_back(fmt::format("{} of {}, the partner of {}, is not in the group", row.report.partner.view(),
                                row.report.pair.view(), row.report.node.view()));
    }
  }
}

// By who is in the group: what a lost node said of its pools is old.
void tell_pools(Rows pair, std::vector<std::string>& out) {
  std::map<PoolName, std::vector<std::string>> servers;
  for (const FleetRow& row : pair) {
    if (row.lost_since) continue;
    for (const FleetPool& pool : row.report.pools) {
      auto& of_pool = servers[pool.name];
      if (pool.state == "serving") of_pool.push_back(row.report.node.text());
    }
  }
  for (const auto& [pool, nodes] : servers) {
    const std::string which = fmt::format("{} of {}", pool.view(), pair.front().report.pair.view());
    if (nodes.empty()) out.push_back(fmt::format("{}: no node says that it serves it", which));
    if (nodes.size() > 1) {
      out.push_back(fmt::format("{}: {} and {} both say that they serve it", which, nodes[0], nodes[1]));
    }
  }
}

}  // namespace

bool FleetTable::is_member(FleetMember who) const { return std::ranges::binary_search(members_, who); }

void FleetTable::members(Instant now, std::span<const FleetMember> members) {
  members_.assign(members.begin(), members.end());
  std::ranges::sort(members_);
  for (FleetRow& row : rows_) {
    const bool there = is_member(row.from);
    if (there) row.lost_since.reset();
    if (!there && !row.lost_since) row.lost_since = now;
  }
  settle();
}

void FleetTable::message(Instant now, FleetMember from, std::span<const std::byte> bytes) {
  auto news = decode_fleet_message(bytes);
  // Corosync delivers nothing of who is not in the group; were it otherwise, nothing would ever end such a row.
  if (news && !is_member(from)) news = std::unexpected(FleetRefusal::foreign);
  if (!news) {
    ++refused_.at(static_cast<std::size_t>(news.error()));
    return;
  }
  const FleetRow row{from, std::move(news->report), now - news->age, std::nullopt, false};
  // Its own last news, and what was lost under its name: it is back, perhaps elsewhere.
  std::erase_if(rows_, [&](const FleetRow& old) {
    return old.from == from || (old.lost_since.has_value() && same_name(old, row));
  });
  rows_.push_back(row);
  settle();
}

void FleetTable::tick(Instant now) {
  std::erase_if(rows_, [&](const FleetRow& row) { return row.lost_since && now - *row.lost_since > kFleetForget; });
}

// In order, with conflicts marked, and no more than can be shown: who comes and goes under ever new names pushes out
// only what was lost.
void FleetTable::settle() {
  while (rows_.size() > kMaxFleetRows) {
    const auto oldest = std::ranges::min_element(
        rows_, {}, [](const FleetRow& row) { return row.lost_since.value_or(Instant::max()); });
    rows_.erase(oldest);
  }
  std::ranges::sort(rows_, {}, [](const FleetRow& row) {
    return std::tuple(row.report.pair.view(), row.report.node.view(), row.from);
  });
  for (FleetRow& row : rows_) {
    row.conflict = !row.lost_since && std::ranges::any_of(rows_, [&](const FleetRow& other) {
      return other.from != row.from && !other.lost_since && same_name(other, row);
    });
  }
}

std::vector<std::string> fleet_attention(const std::vector<FleetRow>& rows, Instant now) {
  std::vector<std::string> out;
  auto begin = rows.begin();
  while (begin != rows.end()) {
    const auto end =
        std::find_if(begin, rows.end(), [&](const FleetRow& row) { return row.report.pair != begin->report.pair; });
    tell_nodes(Rows(begin, end), now, out);
    tell_pools(Rows(begin, end), out);
    begin = end;
  }
  return out;
}

}  // namespace hapair::agent
