#include "agent/shell/alert_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <type_traits>

#include "agent/core/engine_events.h"

namespace hapair::agent {
namespace {

using testing::HasSubstr;
using Kind = ClusterAlert::Kind;
using std::chrono::milliseconds;
using std::chrono::seconds;

// What Pacemaker tells is no event of the engine: it cannot become evidence, a permit or a proof.
static_assert(!std::is_constructible_v<Event, ClusterAlert>);
static_assert(!std::is_constructible_v<Event, Record>);

constexpr std::int64_t kWallUs = 1'700'000'000'000'000;
const Instant kNow = instant_of_ns(5'000'000'000'000);

ClusterAlert lost(const std::string& node = "beta") {
  return {.kind = Kind::node, .node = node, .task = "", .desc = "lost", .resource = "", .wall_us = kWallUs};
}

ClusterAlert fenced(const std::string& reference = "1") {
  return {.kind = Kind::fencing,
          .node = "beta",
          .task = "st_notify_fence",
          .desc = "Operation reboot of beta by alpha for pacemaker-controld.7@alpha: OK (ref=" + reference + ")",
          .resource = "",
          .rc = 0,
          .wall_us = kWallUs};
}

ClusterAlert action(const std::string& task, std::int64_t rc = 0, const std::string& desc = "ok") {
  return {.kind = Kind::resource,
          .node = "alpha",
          .task = task,
          .desc = desc,
          .resource = "tank:1",
          .rc = rc,
          .target_rc = 0,
          .status = 0,
          .interval_ms = 0,
          .exec_time_ms = 812,
          .wall_us = kWallUs};
}

class AnAlertBook : public testing::Test {
 protected:
  AnAlertBook()
      : book_({.self = {*NodeName::parse("alpha"), "alpha"},
               .partner = {*NodeName::parse("beta"), "beta.example"},
               .pools = {{*PoolName::parse("pool-a"), "tank"}, {*PoolName::parse("pool-b"), "pool-b"}}}) {}

  // The record's text; where there is none, what was said.
  std::string told(const ClusterAlert& alert, Instant now = kNow) {
    AlertBook::Answer answer = book_.take(now, kWallUs, alert);
    if (answer.records.empty()) return answer.said;
    last_ = answer.records.back();
    EXPECT_EQ(last_.decision, 0U);
    return last_.text;
  }

  AlertBook book_;
  Record last_;
};

TEST_F(AnAlertBook, SaysWhatPacemakerDecidedAndWhereItWasLearnt) {
  EXPECT_EQ(told(lost()), "Pacemaker on alpha: node beta lost");
  EXPECT_EQ(last_.kind, "pacemaker-node");
  EXPECT_EQ(last_.severity, Severity::warning);
  EXPECT_EQ(last_.fields.front(), std::pair(std::string("channel"), std::string("Pacemaker on alpha")));
  ClusterAlert back = lost("beta.example");
  back.desc = "member";
  EXPECT_EQ(told(back), "Pacemaker on alpha: node beta is a member");
  EXPECT_EQ(told(fenced()), "Pacemaker on alpha: fenced beta by alpha (reboot, OK)");
  EXPECT_EQ(last_.kind, "pacemaker-fencing");
  ClusterAlert otherwise = fenced("2");
  otherwise.task = "off";
  otherwise.desc = "somebody pulled the plug";  // of another release of Pacemaker's
  EXPECT_EQ(told(otherwise), "Pacemaker on alpha: fenced beta (off, somebody pulled the plug)");
  EXPECT_EQ(told(action("promote")), "Pacemaker on alpha: promoted pool pool-a here: ok after 812 ms");
  EXPECT_EQ(last_.kind, "pacemaker-resource");
  EXPECT_EQ(last_.pool.view(), "pool-a");
  ClusterAlert there = action("stop");
  there.node = "beta.example";
  EXPECT_EQ(told(there), "Pacemaker on alpha: stopped pool pool-a on beta: ok after 812 ms");
}

TEST_F(AnAlertBook, SaysWhatAnExitCodeMeans) {
  EXPECT_EQ(told(action("promote", 1, "error")),
            "Pacemaker on alpha: promote of pool pool-a here: error, rc 1 where 0 was expected after 812 ms");
  EXPECT_EQ(last_.severity, Severity::warning);
  EXPECT_EQ(
      told(action("monitor", 7, "complete")),
      "Pacemaker on alpha: monitor of pool pool-a here: complete, rc 7 not running where 0 was expected after 812 ms");
  ClusterAlert late = action("demote", 1, "Timed Out");
  late.status = 2;
  EXPECT_EQ(told(late), "Pacemaker on alpha: demote of pool pool-a here: Timed Out after 812 ms");
  ClusterAlert refused = fenced("2");
  refused.rc = -19;
  refused.desc = "Operation reboot of beta by <no-one> for pacemaker-controld.7@alpha: No such device (ref=2)";
  EXPECT_EQ(told(refused),
            "Pacemaker on alpha: did not fence beta by <no-one> (reboot): No such device, rc -19; see crm_mon "
            "--fence-history=2");
  EXPECT_EQ(last_.severity, Severity::error);
}

TEST_F(AnAlertBook, LeavesOutWhatIsNotOfThisPairOrRoutine) {
  EXPECT_THAT(told(lost("gamma")), HasSubstr("gamma is no node of this pair"));
  ClusterAlert other = action("start");
  other.resource = "database";
  EXPECT_THAT(told(other), HasSubstr("database is the resource of no pool here"));
  other.resource = "tank2";
  EXPECT_THAT(told(other), HasSubstr("of no pool here"));
  EXPECT_EQ(book_.counts().foreign, 3U);
  EXPECT_THAT(told(action("monitor")), HasSubstr("routine"));
  ClusterAlert cancelled = action("monitor", 1, "Cancelled");
  cancelled.status = 1;
  EXPECT_THAT(told(cancelled), HasSubstr("routine"));
  EXPECT_THAT(told({.kind = Kind::attribute, .node = "alpha", .task = "", .desc = "", .resource = ""}),
              HasSubstr("routine"));
  EXPECT_EQ(book_.counts().routine, 3U);
  EXPECT_EQ(book_.counts().recorded, 0U);
}

TEST_F(AnAlertBook, RecordsAnAlertOnceHoweverOftenItIsTold) {
  told(action("promote"));
  EXPECT_THAT(told(action("promote")), HasSubstr("told before"));  // by another recipient
  told(fenced());
  ClusterAlert again = fenced();
  again.wall_us += 40'000;  // by another daemon
  EXPECT_THAT(told(again), HasSubstr("told before"));
  told(lost());
  EXPECT_THAT(told(lost("beta.example"), kNow + seconds(1)), HasSubstr("told before"));
  EXPECT_EQ(book_.counts().repeated, 3U);
  EXPECT_EQ(book_.counts().recorded, 3U);
}

TEST_F(AnAlertBook, RecordsWhatIsNewThoughItReadsTheSame) {
  told(action("promote", 1, "error"));
  ClusterAlert again = action("promote", 1, "error");
  again.wall_us += 1;
  EXPECT_THAT(told(again), HasSubstr("promote of pool"));
  told(fenced("1"));
  EXPECT_THAT(told(fenced("2")), HasSubstr("fenced beta"));
  told(lost());
  ClusterAlert member = lost();
  member.desc = "member";
  told(member);
  EXPECT_THAT(told(lost()), HasSubstr("node beta lost"));
  EXPECT_THAT(told(lost(), kNow + seconds(120)), HasSubstr("node beta lost")) << "its return was not told here";
}

TEST_F(AnAlertBook, PlacesAnAlertWherePacemakerMadeIt) {
  ClusterAlert alert = action("promote");
  alert.wall_us = kWallUs - 250'000;
  told(alert);
  EXPECT_EQ(last_.when, kNow - milliseconds(250));
  alert.wall_us = kWallUs + 1'000'000'000;  // a clock that was set back
  told(alert);
  EXPECT_EQ(last_.when, kNow);
  alert.wall_us = 1;
  told(alert);
  EXPECT_EQ(last_.when, kNow - seconds(60));
  alert.wall_us = 0;
  told(alert);
  EXPECT_EQ(last_.when, kNow);
}

TEST_F(AnAlertBook, BoundsAFloodAndTellsHowMuchItLeftOut) {
  constexpr unsigned kFlood = 10'000;
  std::size_t records = 0;
  for (unsigned i = 0; i < kFlood; ++i) {
    ClusterAlert alert = action("promote", 1, "error");
    alert.wall_us += i;
    records += book_.take(kNow, kWallUs, alert).records.size();
  }
  EXPECT_EQ(records, kAlertBurst);
  EXPECT_EQ(book_.counts().left_out, kFlood - kAlertBurst);
  ClusterAlert next = action("promote", 1, "error");
  next.wall_us -= 1;
  EXPECT_THAT(told(next, kNow + kAlertEvery - milliseconds(1)), HasSubstr("too many"));
  next.wall_us -= 1;
  const auto answer = book_.take(kNow + kAlertEvery, kWallUs, next);
  ASSERT_EQ(answer.records.size(), 2U);
  EXPECT_EQ(answer.records[0].kind, "pacemaker-alerts-left-out");
  EXPECT_THAT(answer.records[0].text, HasSubstr(std::to_string(kFlood - kAlertBurst + 1) + " alerts of Pacemaker's"));
  next.wall_us -= 1;
  EXPECT_EQ(book_.take(kNow + std::chrono::hours(10), kWallUs, next).records.size(), 1U) << "it is told once";
}

}  // namespace
}  // namespace hapair::agent
