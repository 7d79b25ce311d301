#include "agent/core/pool_sequence.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <set>

namespace hapair::agent {
namespace {

using std::chrono::seconds;

constexpr std::size_t kDisk = 0;
constexpr std::size_t kFs = 1;
constexpr std::size_t kTarget = 2;
constexpr std::size_t kAddress = 3;

std::vector<ResourcePlan> plan(OnFailure on_failure = OnFailure::restart) {
  std::vector<ResourcePlan> plans(4);
  plans[kDisk].name = "disk";
  plans[kFs].name = "fs";
  plans[kFs].after = {kDisk};
  plans[kTarget].name = "target";
  plans[kTarget].after = {kFs};
  plans[kAddress].name = "address";
  plans[kAddress].after = {kFs};
  for (ResourcePlan& each : plans) {
    each.start_timeout = seconds(20);
    each.stop_timeout = seconds(30);
    each.monitor_timeout = seconds(5);
    each.monitor_interval = seconds(10);
    each.restarts = 2;
    each.on_failure = on_failure;
  }
  return plans;
}

TakeoverPermit permit() {
  PoolDurable record;
  record.pool = *PoolName::parse("pool-a");
  record.claim = Epoch(1);
  return *TakeoverPermit::from_fence(record, {FenceResult::confirmed, "ipmi", "", Duration{}});
}

const ActionResult kOk{ActionOutcome::succeeded, 0, "", Duration{}};
const ActionResult kNotRunning{ActionOutcome::not_running, 7, "", Duration{}};
const ActionResult kFailed{ActionOutcome::failed, 1, "generic error", Duration{}};
const ActionResult kTimedOut{ActionOutcome::timed_out, 0, "ended at its timeout", Duration{}};

// "start fs, start address": what was asked for.
std::string text(const PoolSequence::Output& output) {
  static constexpr const char* kNames[] = {"disk", "fs", "target", "address"};
  std::string out;
  for (const RunAction& run : output.runs) {
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", text_of(run.action), kNames[run.resource]);
  }
  return out;
}

class Sequence : public ::testing::Test {
 protected:
  PoolSequence::Output done(std::size_t resource, ResourceAction action, const ActionResult& result = kOk) {
    now_ += seconds(1);
    return sequence_.done(now_, resource, action, result);
  }
  void probe_stopped() {
    sequence_.probe(now_);
    for (std::size_t i = 0; i < 4; ++i) done(i, ResourceAction::monitor, kNotRunning);
  }
  void bring_up() {
    probe_stopped();
    sequence_.start(now_, permit());
    for (std::size_t i = 0; i < 4; ++i) done(i, ResourceAction::start);
  }

  Instant now_ = Instant(seconds(100));
  PoolSequence sequence_{plan()};
};

TEST_F(Sequence, probes_all_side_by_side_and_concludes_once_all_have_answered) {
  const auto probe = sequence_.probe(now_);
  EXPECT_EQ(text(probe), "monitor disk, monitor fs, monitor target, monitor address");
  EXPECT_EQ(probe.runs[0].timeout, seconds(5));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_FALSE(done(i, ResourceAction::monitor, kNotRunning).outcome);
  EXPECT_EQ(done(3, ResourceAction::monitor, kNotRunning).outcome, SequenceOutcome::none_running);
}

TEST_F(Sequence, finds_all_running) {
  sequence_.probe(now_);
  for (std::size_t i = 0; i < 3; ++i) done(i, ResourceAction::monitor);
  EXPECT_EQ(done(3, ResourceAction::monitor).outcome, SequenceOutcome::all_running);
}

TEST_F(Sequence, takes_what_cannot_be_told_for_a_part_that_runs) {
  for (const ActionResult& result : {kFailed, kTimedOut, kOk}) {
    sequence_.probe(now_);
    for (std::size_t i = 0; i < 3; ++i) done(i, ResourceAction::monitor, kNotRunning);
    EXPECT_EQ(done(3, ResourceAction::monitor, result).outcome, SequenceOutcome::some_running);
  }
}

TEST_F(Sequence, starts_in_order_and_independent_ones_side_by_side) {
  probe_stopped();
  const auto start = sequence_.start(now_, permit());
  EXPECT_EQ(text(start), "start disk");
  EXPECT_EQ(start.runs[0].timeout, seconds(20));
  EXPECT_EQ(text(done(kDisk, ResourceAction::start)), "start fs");
  EXPECT_EQ(text(done(kFs, ResourceAction::start)), "start target, start address");
  EXPECT_FALSE(done(kAddress, ResourceAction::start).outcome);
  EXPECT_EQ(done(kTarget, ResourceAction::start).outcome, SequenceOutcome::all_started);
}

TEST_F(Sequence, stops_in_reverse) {
  bring_up();
  const auto stop = sequence_.stop(now_);
  EXPECT_EQ(text(stop), "stop target, stop address");
  EXPECT_EQ(stop.runs[0].timeout, seconds(30));
  EXPECT_EQ(text(done(kTarget, ResourceAction::stop)), "");
  EXPECT_EQ(text(done(kAddress, ResourceAction::stop)), "stop fs");
  EXPECT_EQ(text(done(kFs, ResourceAction::stop)), "stop disk");
  EXPECT_EQ(done(kDisk, ResourceAction::stop).outcome, SequenceOutcome::all_stopped);
}

TEST_F(Sequence, is_stopped_at_once_where_nothing_runs) {
  probe_stopped();
  EXPECT_EQ(sequence_.stop(now_).outcome, SequenceOutcome::all_stopped);
}

TEST_F(Sequence, tells_of_a_start_that_failed_and_starts_nothing_more) {
  for (const ActionResult& result : {kFailed, kTimedOut}) {
    sequence_ = PoolSequence(plan());
    probe_stopped();
    sequence_.start(now_, permit());
    done(kDisk, ResourceAction::start);
    const auto failed = done(kFs, ResourceAction::start, result);
    EXPECT_EQ(failed.outcome, SequenceOutcome::start_failed);
    EXPECT_EQ(text(failed), "");
    EXPECT_NE(sequence_.failure().find("fs: start"), std::string::npos) << sequence_.failure();
    EXPECT_NE(sequence_.failure().find(result.reason), std::string::npos);
  }
}

TEST_F(Sequence, stops_a_half_started_resource_too) {
  probe_stopped();
  sequence_.start(now_, permit());
  done(kDisk, ResourceAction::start);
  done(kFs, ResourceAction::start, kTimedOut);
  EXPECT_EQ(text(sequence_.stop(now_)), "stop fs") << "what a start left behind when it was ended is not known";
  EXPECT_EQ(text(done(kFs, ResourceAction::stop)), "stop disk");
  EXPECT_EQ(done(kDisk, ResourceAction::stop).outcome, SequenceOutcome::all_stopped);
}

TEST_F(Sequence, waits_for_a_start_under_way_before_it_stops_that_resource) {
  probe_stopped();
  sequence_.start(now_, permit());
  done(kDisk, ResourceAction::start);
  EXPECT_EQ(text(sequence_.stop(now_)), "") << "the start of fs is under way, and disk is needed by fs";
  EXPECT_EQ(text(done(kFs, ResourceAction::start)), "stop fs");
  EXPECT_EQ(text(done(kFs, ResourceAction::stop)), "stop disk");
  EXPECT_EQ(done(kDisk, ResourceAction::stop).outcome, SequenceOutcome::all_stopped);
}

TEST_F(Sequence, stops_a_resource_whose_start_failed_after_the_stop_was_asked_for) {
  probe_stopped();
  sequence_.start(now_, permit());
  done(kDisk, ResourceAction::start);
  sequence_.stop(now_);
  const auto late = done(kFs, ResourceAction::start, kFailed);
  EXPECT_EQ(text(late), "stop fs");
  EXPECT_FALSE(late.outcome);
}

TEST_F(Sequence, tells_of_a_stop_that_failed_and_does_not_call_that_stopped) {
  bring_up();
  sequence_.stop(now_);
  done(kTarget, ResourceAction::stop);
  EXPECT_EQ(done(kAddress, ResourceAction::stop, kTimedOut).outcome, SequenceOutcome::stop_failed);
  EXPECT_EQ(text(sequence_.stop(now_)), "stop address") << "asked again, it tries again, and no further";
  EXPECT_EQ(text(done(kAddress, ResourceAction::stop)), "stop fs");
}

TEST_F(Sequence, watches_what_runs_one_action_of_a_resource_at_a_time) {
  bring_up();
  ASSERT_TRUE(sequence_.next_due());
  now_ += seconds(20);
  EXPECT_EQ(text(sequence_.tick(now_)), "monitor disk, monitor fs, monitor target, monitor address");
  EXPECT_EQ(text(sequence_.tick(now_ + seconds(60))), "") << "all are busy";
  EXPECT_FALSE(sequence_.next_due());
  done(kFs, ResourceAction::monitor);
  ASSERT_TRUE(sequence_.next_due());
  EXPECT_EQ(*sequence_.next_due(), now_ + seconds(10));
  EXPECT_EQ(text(sequence_.stop(now_)), "") << "target and address are still being looked at";
  EXPECT_EQ(text(done(kTarget, ResourceAction::monitor)), "stop target");
}

TEST_F(Sequence, restarts_what_died_with_everything_that_depends_on_it) {
  bring_up();
  now_ += seconds(20);
  sequence_.tick(now_);
  for (const std::size_t i : {kDisk, kTarget, kAddress}) done(i, ResourceAction::monitor);
  const auto died = done(kFs, ResourceAction::monitor, kNotRunning);
  EXPECT_EQ(text(died), "stop target, stop address");
  ASSERT_EQ(died.notes.size(), 1U);
  EXPECT_EQ(died.notes[0].kind, ResourceNote::Kind::restarting);
  done(kTarget, ResourceAction::stop);
  EXPECT_EQ(text(done(kAddress, ResourceAction::stop)), "stop fs") << "what it left behind is cleared first";
  EXPECT_EQ(text(done(kFs, ResourceAction::stop)), "start fs") << "disk goes on running";
  EXPECT_EQ(text(done(kFs, ResourceAction::start)), "start target, start address");
  done(kTarget, ResourceAction::start);
  const auto up = done(kAddress, ResourceAction::start);
  EXPECT_FALSE(up.outcome) << "the pool was served all along";
  ASSERT_EQ(up.notes.size(), 1U);
  EXPECT_EQ(up.notes[0].kind, ResourceNote::Kind::recovered);
}

TEST_F(Sequence, asks_for_no_wakeup_that_has_passed_while_a_dependent_waits_for_its_stop) {
  bring_up();
  now_ += seconds(20);
  sequence_.tick(now_);
  for (const std::size_t i : {kFs, kTarget, kAddress}) done(i, ResourceAction::monitor);
  done(kDisk, ResourceAction::monitor, kNotRunning);
  now_ += seconds(60);
  EXPECT_EQ(text(sequence_.tick(now_)), "");
  EXPECT_FALSE(sequence_.next_due()) << "fs runs and waits for target and address to stop; it is not watched";
}

TEST_F(Sequence, does_not_count_the_death_of_a_dependent_that_is_being_stopped_anyway) {
  bring_up();
  now_ += seconds(20);
  sequence_.tick(now_);
  done(kDisk, ResourceAction::monitor);
  done(kFs, ResourceAction::monitor, kNotRunning);
  done(kTarget, ResourceAction::monitor, kNotRunning);
  EXPECT_EQ(sequence_.status(kFs).restarts_used, 1);
  EXPECT_EQ(sequence_.status(kTarget).restarts_used, 0);
}

TEST_F(Sequence, is_lost_when_a_resource_dies_more_often_than_allowed) {
  bring_up();
  for (int death = 0; death < 2; ++death) {
    now_ += seconds(20);
    sequence_.tick(now_);
    for (const std::size_t i : {kDisk, kFs, kTarget}) done(i, ResourceAction::monitor);
    EXPECT_FALSE(done(kAddress, ResourceAction::monitor, kNotRunning).outcome);
    done(kAddress, ResourceAction::stop);
    done(kAddress, ResourceAction::start);
  }
  now_ += seconds(20);
  sequence_.tick(now_);
  EXPECT_EQ(done(kAddress, ResourceAction::monitor, kNotRunning).outcome, SequenceOutcome::resource_lost);
}

TEST_F(Sequence, is_lost_when_a_restart_fails_for_good) {
  bring_up();
  now_ += seconds(20);
  sequence_.tick(now_);
  done(kAddress, ResourceAction::monitor, kNotRunning);
  done(kAddress, ResourceAction::stop);
  EXPECT_FALSE(done(kAddress, ResourceAction::start, kFailed).outcome) << "the second attempt";
  done(kAddress, ResourceAction::stop);
  EXPECT_EQ(done(kAddress, ResourceAction::start, kFailed).outcome, SequenceOutcome::resource_lost);
}

TEST_F(Sequence, is_lost_when_what_must_be_restarted_does_not_stop) {
  bring_up();
  now_ += seconds(20);
  sequence_.tick(now_);
  done(kAddress, ResourceAction::monitor, kNotRunning);
  EXPECT_EQ(done(kAddress, ResourceAction::stop, kFailed).outcome, SequenceOutcome::resource_lost);
}

TEST_F(Sequence, gives_away_at_the_first_death_where_it_is_configured_so) {
  sequence_ = PoolSequence(plan(OnFailure::give_away));
  bring_up();
  now_ += seconds(20);
  sequence_.tick(now_);
  EXPECT_EQ(done(kFs, ResourceAction::monitor, kTimedOut).outcome, SequenceOutcome::resource_lost);
}

TEST_F(Sequence, only_tells_of_a_death_that_is_to_be_ignored) {
  sequence_ = PoolSequence(plan(OnFailure::ignore));
  bring_up();
  now_ += seconds(20);
  sequence_.tick(now_);
  const auto died = done(kFs, ResourceAction::monitor, kNotRunning);
  EXPECT_FALSE(died.outcome);
  EXPECT_EQ(text(died), "");
  ASSERT_EQ(died.notes.size(), 1U);
  EXPECT_EQ(died.notes[0].kind, ResourceNote::Kind::ignored);
}

TEST_F(Sequence, adopts_what_runs_without_touching_it) {
  sequence_.probe(now_);
  for (std::size_t i = 0; i < 4; ++i) done(i, ResourceAction::monitor);
  const auto adopted = sequence_.adopt(now_, permit());
  EXPECT_EQ(text(adopted), "");
  EXPECT_FALSE(adopted.outcome);
  EXPECT_TRUE(sequence_.next_due()) << "from now on it is watched";
}

TEST_F(Sequence, stops_what_is_there_in_part_before_it_starts_it) {
  sequence_.probe(now_);
  done(kDisk, ResourceAction::monitor);
  done(kFs, ResourceAction::monitor, kFailed);
  done(kTarget, ResourceAction::monitor);
  EXPECT_EQ(done(kAddress, ResourceAction::monitor, kNotRunning).outcome, SequenceOutcome::some_running);
  EXPECT_EQ(text(sequence_.start(now_, permit())), "stop target") << "it runs on a file system that does not";
  EXPECT_EQ(text(done(kTarget, ResourceAction::stop)), "stop fs");
  EXPECT_EQ(text(done(kFs, ResourceAction::stop)), "start fs");
  EXPECT_EQ(text(done(kFs, ResourceAction::start)), "start target, start address");
}

TEST_F(Sequence, does_not_start_where_what_is_there_in_part_does_not_stop) {
  sequence_.probe(now_);
  for (const std::size_t each : {kDisk, kFs, kTarget}) done(each, ResourceAction::monitor);
  done(kAddress, ResourceAction::monitor, kFailed);
  EXPECT_EQ(text(sequence_.start(now_, permit())), "stop address");
  EXPECT_EQ(done(kAddress, ResourceAction::stop, kTimedOut).outcome, SequenceOutcome::start_failed);
}

TEST_F(Sequence, stops_what_runs_although_what_it_needs_does_not) {
  sequence_.probe(now_);
  done(kDisk, ResourceAction::monitor);
  done(kFs, ResourceAction::monitor, kNotRunning);
  done(kTarget, ResourceAction::monitor);
  done(kAddress, ResourceAction::monitor);
  EXPECT_EQ(text(sequence_.start(now_, permit())), "start fs, stop target, stop address");
}

TEST_F(Sequence, looks_at_a_busy_resource_once_its_action_has_ended) {
  bring_up();
  sequence_.stop(now_);
  done(kTarget, ResourceAction::stop, kFailed);
  const auto probe = sequence_.probe(now_);
  EXPECT_EQ(text(probe), "monitor disk, monitor fs, monitor target") << "address is being stopped";
  for (const std::size_t i : {kDisk, kFs, kTarget}) done(i, ResourceAction::monitor);
  EXPECT_EQ(text(done(kAddress, ResourceAction::stop, kFailed)), "monitor address");
  EXPECT_EQ(done(kAddress, ResourceAction::monitor).outcome, SequenceOutcome::all_running);
}

TEST_F(Sequence, ignores_an_answer_to_what_it_did_not_ask) {
  bring_up();
  const auto stray = done(kFs, ResourceAction::stop);
  EXPECT_TRUE(stray.notes.empty());
  EXPECT_EQ(sequence_.status(kFs).state, ResourceState::running);
}

}  // namespace
}  // namespace hapair::agent
