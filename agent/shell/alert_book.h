// Which alerts of Pacemaker's become records of this node, and in which words. Pure: it is told the time.
//
// Every node's Pacemaker gives an alert to that node's agents alone: of nodes and fences to those of all nodes, of a
// resource to those of the node where it acted. An agent that is configured with several recipients is called once for
// each, and a fence may be told by two of Pacemaker's daemons. So a repeated one is known by its own time and words, of
// a fence by its reference, of a node by its state; it is counted and not recorded. What does not concern the pair, and
// what is routine (a monitor that found what was expected, what was cancelled, attributes), is counted as well:
// `hapair status --json`, cluster_alerts.
//
// A flood is bounded: kAlertBurst records at once, and one more every kAlertEvery, some 1 MB a day at the very most of
// the record files; RecordLog keeps at most kAlertsInMemory of them. How many were left out is told with the next one.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/core/model.h"
#include "agent/shell/cluster_alert.h"
#include "ccm/base/time.h"

namespace hapair::agent {

inline constexpr unsigned kAlertBurst = 64;
inline constexpr Duration kAlertEvery = std::chrono::seconds(30);

// Whom and what an alert must be about, with what the cluster calls each.
struct AlertScope {
  struct Node {
    NodeName name;
    std::string in_cluster;
  };
  struct Pool {
    PoolName name;
    std::string resource;  // its storage-pair resource, without ":N" of an instance
  };
  Node self;
  Node partner;
  std::vector<Pool> pools;
};

class AlertBook {
 public:
  struct Answer {
    std::vector<Record> records;  // of decision 0; empty: it is not recorded
    std::string said;             // what became of it, a sentence
  };
  struct Counts {
    std::uint64_t recorded = 0;
    std::uint64_t repeated = 0;
    std::uint64_t routine = 0;
    std::uint64_t foreign = 0;   // about nothing of this pair
    std::uint64_t left_out = 0;  // too many at once
  };

  explicit AlertBook(AlertScope scope);
  // `wall_us`: what the wall clock says at `now`, by which Pacemaker's time of the alert is placed.
  Answer take(Instant now, std::int64_t wall_us, const ClusterAlert& alert);
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  [[nodiscard]] const AlertScope::Node* node_named(const std::string& name) const;
  [[nodiscard]] const AlertScope::Pool* pool_of(const std::string& resource) const;
  bool is_repeated(Instant when, const ClusterAlert& alert);
  bool may_record(Instant now);
  [[nodiscard]] Record record_of(Instant when, const ClusterAlert& alert, const AlertScope::Node& node) const;

  AlertScope scope_;
  Counts counts_;
  std::deque<std::string> seen_;  // what tells the last ones apart
  struct NodeState {
    std::string state;
    Instant when;
  };
  std::map<std::string, NodeState> node_states_;
  unsigned left_ = kAlertBurst;  // so many may be recorded now
  std::optional<Instant> refilled_;
  std::uint64_t untold_ = 0;  // left out since the last one that was recorded
};

}  // namespace hapair::agent
