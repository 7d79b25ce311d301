// The order in which one pool's resources are started, watched and stopped. Pure: actions out, results in.
//
// A resource starts once all that it comes `after` run, so independent ones start side by side; it stops once all that
// come after it are stopped. At most one action of a resource is under way at any time, as OCF agents may expect.
// Starting needs a permit; stopping never does.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/core/model.h"
#include "agent/core/permit.h"
#include "ccm/base/time.h"

namespace hapair::agent {

enum class OnFailure : std::uint8_t { restart, give_away, ignore };

struct ResourcePlan {
  std::string name;
  std::string type;                // "ocf:heartbeat:Filesystem"; shown, not interpreted
  std::vector<std::size_t> after;  // earlier places in the pool's list; the configuration was checked for circles
  Duration start_timeout{};
  Duration stop_timeout{};
  Duration monitor_timeout{};
  Duration monitor_interval{};  // zero: not monitored
  OnFailure on_failure = OnFailure::restart;
  int restarts = 3;  // of this resource, since the pool was last started
};

enum class ResourceState : std::uint8_t { unknown, stopped, starting, running, stopping, failed };
std::string_view text_of(ResourceState state);

struct ResourceStatus {
  ResourceState state = ResourceState::unknown;
  Instant since;
  std::optional<ResourceAction> busy;
  ActionResult last;
  int restarts_used = 0;
};

struct RunAction {
  std::size_t resource = 0;
  ResourceAction action = ResourceAction::monitor;
  Duration timeout{};
};

enum class SequenceOutcome : std::uint8_t {
  all_running,   // of a probe
  some_running,  // of a probe: some run, or one cannot be told
  none_running,  // of a probe
  all_started,
  start_failed,
  all_stopped,
  stop_failed,
  resource_lost,  // failed while the pool was served, and may not or could not be restarted
};

// What is worth telling about one resource.
struct ResourceNote {
  enum class Kind : std::uint8_t { started, stopped, probed, failed, restarting, recovered, ignored };
  Kind kind = Kind::started;
  std::size_t resource = 0;
  ResourceAction action = ResourceAction::monitor;
  ActionResult result;
};

class PoolSequence {
 public:
  struct Output {
    std::vector<RunAction> runs;
    std::vector<ResourceNote> notes;
    std::optional<SequenceOutcome> outcome;
  };

  explicit PoolSequence(std::vector<ResourcePlan> plan);

  Output probe(Instant now);
  Output start(Instant now, const TakeoverPermit& permit);
  // The resources were found running under a permit that this node never gave up: watch them from now on.
  Output adopt(Instant now, const TakeoverPermit& permit);
  Output stop(Instant now);
  Output done(Instant now, std::size_t resource, ResourceAction action, const ActionResult& result);
  // Everything runs, and nothing is being started or stopped.
  [[nodiscard]] bool steady() const;
  // False: its monitors are not run, and what one says that is under way has no consequence.
  void set_watched(bool watched) { watched_ = watched; }
  Output tick(Instant now);  // starts the monitors that are due
  [[nodiscard]] std::optional<Instant> next_due() const;

  [[nodiscard]] const std::vector<ResourcePlan>& plan() const { return plan_; }
  [[nodiscard]] const ResourceStatus& status(std::size_t resource) const { return entries_[resource].status; }
  // The resource whose failure led to the last start_failed, stop_failed or resource_lost, and what it said.
  [[nodiscard]] std::string failure() const { return failure_; }

 private:
  enum class Goal : std::uint8_t { none, probed, up, down };
  struct Entry {
    ResourceStatus status;
    std::vector<std::size_t> dependents;  // those that come after it, directly
    bool must_stop = false;               // on the way to a restart
    bool probed = false;
    Instant monitor_due;
  };

  void run(Output& out, Instant now, std::size_t resource, ResourceAction action);
  void advance(Output& out, Instant now);
  void advance_up(Output& out, Instant now);
  void advance_down(Output& out, Instant now);
  void advance_probe(Output& out, Instant now);
  void started(Output& out, Instant now, std::size_t resource, const ActionResult& result);
  void stopped(Output& out, Instant now, std::size_t resource, const ActionResult& result);
  void monitored(Output& out, Instant now, std::size_t resource, const ActionResult& result);
  void restart_or_lose(Output& out, std::size_t resource, const ActionResult& result);
  void mark_for_stop(std::size_t resource);
  void mark_dependents_for_stop(std::size_t resource);
  void fail(Output& out, std::size_t resource, ResourceAction action, const ActionResult& result,
            SequenceOutcome outcome);
  void set_state(std::size_t resource, ResourceState state, Instant now);
  [[nodiscard]] bool all(ResourceState state) const;
  [[nodiscard]] bool prerequisites_run(std::size_t resource) const;
  [[nodiscard]] bool dependents_stopped(std::size_t resource) const;

  std::vector<ResourcePlan> plan_;
  std::vector<Entry> entries_;
  Goal goal_ = Goal::none;
  bool announced_up_ = false;
  bool failed_ = false;
  bool watched_ = true;
  std::string failure_;
};

}  // namespace hapair::agent
