#include "agent/core/pool_sequence.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "ccm/base/check.h"

namespace hapair::agent {

std::string_view text_of(ResourceState state) {
  switch (state) {
    case ResourceState::unknown:
      return "unknown";
    case ResourceState::stopped:
      return "stopped";
    case ResourceState::starting:
      return "starting";
    case ResourceState::running:
      return "running";
    case ResourceState::stopping:
      return "stopping";
    case ResourceState::failed:
      return "failed";
  }
  return "unknown";
}

PoolSequence::PoolSequence(std::vector<ResourcePlan> plan) : plan_(std::move(plan)), entries_(plan_.size()) {
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    for (const std::size_t before : plan_[i].after) {
      HAPAIR_CHECK(before < plan_.size() && before != i, "the configuration was checked");
      entries_[before].dependents.push_back(i);
    }
  }
}

PoolSequence::Output PoolSequence::probe(Instant now) {
  Output out;
  goal_ = Goal::probed;
  failed_ = false;
  for (Entry& entry : entries_) {
    entry.probed = false;
    entry.must_stop = false;
  }
  advance(out, now);
  return out;
}

PoolSequence::Output PoolSequence::start(Instant now, const TakeoverPermit& /*permit*/) {
  Output out;
  goal_ = Goal::up;
  announced_up_ = false;
  failed_ = false;
  for (Entry& entry : entries_) {
    entry.must_stop = false;
    entry.status.restarts_used = 0;
  }
  // What is there in part, or runs although what it needs does not, is stopped before it is started.
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const ResourceState state = entries_[i].status.state;
    if (state == ResourceState::failed) mark_for_stop(i);
    if (state == ResourceState::stopped) mark_dependents_for_stop(i);
  }
  advance(out, now);
  return out;
}

PoolSequence::Output PoolSequence::adopt(Instant now, const TakeoverPermit& permit) {
  Output out = start(now, permit);
  HAPAIR_CHECK(out.runs.empty() && announced_up_, "only running resources are adopted");
  out.outcome.reset();
  return out;
}

PoolSequence::Output PoolSequence::stop(Instant now) {
  Output out;
  goal_ = Goal::down;
  failed_ = false;
  advance(out, now);
  return out;
}

PoolSequence::Output PoolSequence::done(Instant now, std::size_t resource, ResourceAction action,
                                        const ActionResult& result) {
  Output out;
  Entry& entry = entries_.at(resource);
  if (entry.status.busy != action) return out;  // an answer to a question of an earlier life of this agent
  entry.status.busy.reset();
  entry.status.last = result;
  switch (action) {
    case ResourceAction::start:
      started(out, now, resource, result);
      break;
    case ResourceAction::stop:
      stopped(out, now, resource, result);
      break;
    case ResourceAction::monitor:
      monitored(out, now, resource, result);
      break;
  }
  advance(out, now);
  return out;
}

void PoolSequence::started(Output& out, Instant now, std::size_t resource, const ActionResult& result) {
  if (result.outcome == ActionOutcome::succeeded) {
    set_state(resource, ResourceState::running, now);
    entries_[resource].monitor_due = now + plan_[resource].monitor_interval;
    out.notes.push_back({ResourceNote::Kind::started, resource, ResourceAction::start, result});
    return;
  }
  set_state(resource, ResourceState::failed, now);
  if (goal_ != Goal::up || failed_) return;
  if (announced_up_) {
    restart_or_lose(out, resource, result);
  } else {
    fail(out, resource, ResourceAction::start, result, SequenceOutcome::start_failed);
  }
}

void PoolSequence::stopped(Output& out, Instant now, std::size_t resource, const ActionResult& result) {
  if (result.outcome == ActionOutcome::succeeded || result.outcome == ActionOutcome::not_running) {
    set_state(resource, ResourceState::stopped, now);
    entries_[resource].must_stop = false;
    out.notes.push_back({ResourceNote::Kind::stopped, resource, ResourceAction::stop, result});
    return;
  }
  set_state(resource, ResourceState::failed, now);
  if (goal_ != Goal::down && goal_ != Goal::up) return;  // a probe is under way: its monitor tells
  // What was there in part is stopped before it is started: where that fails, so does the start.
  const SequenceOutcome going_up = announced_up_ ? SequenceOutcome::resource_lost : SequenceOutcome::start_failed;
  fail(out, resource, ResourceAction::stop, result, goal_ == Goal::down ? SequenceOutcome::stop_failed : going_up);
}

void PoolSequence::monitored(Output& out, Instant now, std::size_t resource, const ActionResult& result) {
  Entry& entry = entries_[resource];
  entry.monitor_due = now + plan_[resource].monitor_interval;
  if (goal_ == Goal::probed) {
    entry.probed = true;
    if (result.outcome == ActionOutcome::succeeded) {
      set_state(resource, ResourceState::running, now);
    } else if (result.outcome == ActionOutcome::not_running) {
      set_state(resource, ResourceState::stopped, now);
    } else {
      set_state(resource, ResourceState::failed, now);
    }
    out.notes.push_back({ResourceNote::Kind::probed, resource, ResourceAction::monitor, result});
    return;
  }
  if (goal_ != Goal::up || failed_ || !watched_ || result.outcome == ActionOutcome::succeeded) return;
  if (entry.must_stop) return;  // it is stopped already for what it needs: no failure of its own
  if (plan_[resource].on_failure == OnFailure::ignore) {
    out.notes.push_back({ResourceNote::Kind::ignored, resource, ResourceAction::monitor, result});
    return;
  }
  set_state(resource, ResourceState::failed, now);
  restart_or_lose(out, resource, result);
}

void PoolSequence::restart_or_lose(Output& out, std::size_t resource, const ActionResult& result) {
  ResourceStatus& status = entries_[resource].status;
  if (plan_[resource].on_failure == OnFailure::restart && status.restarts_used < plan_[resource].restarts) {
    ++status.restarts_used;
    mark_for_stop(resource);
    out.notes.push_back({ResourceNote::Kind::restarting, resource, ResourceAction::monitor, result});
    return;
  }
  fail(out, resource, ResourceAction::monitor, result, SequenceOutcome::resource_lost);
}

void PoolSequence::mark_for_stop(std::size_t resource) {
  entries_[resource].must_stop = true;
  mark_dependents_for_stop(resource);
}

void PoolSequence::mark_dependents_for_stop(std::size_t resource) {
  for (const std::size_t dependent : entries_[resource].dependents) {
    const ResourceState state = entries_[dependent].status.state;
    if (state != ResourceState::stopped && !entries_[dependent].must_stop) mark_for_stop(dependent);
  }
}

void PoolSequence::fail(Output& out, std::size_t resource, ResourceAction action, const ActionResult& result,
                        SequenceOutcome outcome) {
  failure_ = fmt::format("{}: {} {} after {:.0f} ms{}{}", plan_[resource].name, text_of(action),
                         text_of(result.outcome), ms_of(result.took), result.reason.empty() ? "" : ": ", result.reason);
  failed_ = true;
  out.notes.push_back({ResourceNote::Kind::failed, resource, action, result});
  if (!out.outcome) out.outcome = outcome;
}

void PoolSequence::advance(Output& out, Instant now) {
  if (failed_) return;  // whoever drives this decides what comes next
  switch (goal_) {
    case Goal::none:
      return;
    case Goal::probed:
      advance_probe(out, now);
      return;
    case Goal::up:
      advance_up(out, now);
      return;
    case Goal::down:
      advance_down(out, now);
      return;
  }
}

void PoolSequence::advance_probe(Output& out, Instant now) {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    // What was under way when the probe began is looked at once that has ended.
    if (!entries_[i].probed && !entries_[i].status.busy) run(out, now, i, ResourceAction::monitor);
  }
  if (!std::ranges::all_of(entries_, &Entry::probed)) return;
  goal_ = Goal::none;
  if (all(ResourceState::running)) {
    out.outcome = SequenceOutcome::all_running;
  } else if (all(ResourceState::stopped)) {
    out.outcome = SequenceOutcome::none_running;
  } else {
    out.outcome = SequenceOutcome::some_running;
  }
}

void PoolSequence::advance_up(Output& out, Instant now) {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    if (entry.status.busy) continue;
    if (entry.must_stop) {
      if (dependents_stopped(i)) run(out, now, i, ResourceAction::stop);
    } else if (entry.status.state != ResourceState::running && prerequisites_run(i)) {
      run(out, now, i, ResourceAction::start);
    }
  }
  if (!all(ResourceState::running)) return;
  if (!announced_up_) {
    announced_up_ = true;
    out.outcome = SequenceOutcome::all_started;
    return;
  }
  for (std::size_t i = 0; i < out.notes.size(); ++i) {
    if (out.notes[i].kind == ResourceNote::Kind::started) out.notes[i].kind = ResourceNote::Kind::recovered;
  }
}

void PoolSequence::advance_down(Output& out, Instant now) {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    if (entry.status.busy || entry.status.state == ResourceState::stopped || !dependents_stopped(i)) continue;
    run(out, now, i, ResourceAction::stop);
  }
  if (!all(ResourceState::stopped)) return;
  goal_ = Goal::none;
  out.outcome = SequenceOutcome::all_stopped;
}

PoolSequence::Output PoolSequence::tick(Instant now) {
  Output out;
  if (goal_ != Goal::up || !announced_up_ || failed_ || !watched_) return out;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    const bool watched = plan_[i].monitor_interval.count() > 0 && entry.status.state == ResourceState::running;
    if (watched && !entry.status.busy && !entry.must_stop && now >= entry.monitor_due) {
      run(out, now, i, ResourceAction::monitor);
    }
  }
  return out;
}

std::optional<Instant> PoolSequence::next_due() const {
  std::optional<Instant> due;
  if (goal_ != Goal::up || !announced_up_ || failed_ || !watched_) return due;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    const bool watched = plan_[i].monitor_interval.count() > 0 && entry.status.state == ResourceState::running;
    if (!watched || entry.status.busy || entry.must_stop) continue;
    if (!due || entry.monitor_due < *due) due = entry.monitor_due;
  }
  return due;
}

void PoolSequence::run(Output& out, Instant now, std::size_t resource, ResourceAction action) {
  ResourceStatus& status = entries_[resource].status;
  HAPAIR_CHECK(!status.busy, "one action of a resource at a time");
  status.busy = action;
  const ResourcePlan& plan = plan_[resource];
  switch (action) {
    case ResourceAction::start:
      set_state(resource, ResourceState::starting, now);
      out.runs.push_back({resource, action, plan.start_timeout});
      return;
    case ResourceAction::stop:
      set_state(resource, ResourceState::stopping, now);
      out.runs.push_back({resource, action, plan.stop_timeout});
      return;
    case ResourceAction::monitor:
      out.runs.push_back({resource, action, plan.monitor_timeout});
      return;
  }
}

void PoolSequence::set_state(std::size_t resource, ResourceState state, Instant now) {
  ResourceStatus& status = entries_[resource].status;
  if (status.state == state) return;
  status.state = state;
  status.since = now;
}

bool PoolSequence::all(ResourceState state) const {
  return std::ranges::all_of(entries_,
                             [state](const Entry& entry) { return !entry.must_stop && entry.status.state == state; });
}

bool PoolSequence::steady() const {
  return all(ResourceState::running) && std::ranges::all_of(entries_, [](const Entry& entry) {
           return !entry.status.busy || entry.status.busy == ResourceAction::monitor;
         });
}

bool PoolSequence::prerequisites_run(std::size_t resource) const {
  return std::ranges::all_of(plan_[resource].after, [this](std::size_t before) {
    return entries_[before].status.state == ResourceState::running && !entries_[before].must_stop;
  });
}

bool PoolSequence::dependents_stopped(std::size_t resource) const {
  return std::ranges::all_of(entries_[resource].dependents, [this](std::size_t dependent) {
    return entries_[dependent].status.state == ResourceState::stopped;
  });
}

}  // namespace hapair::agent
