#include "agent/cli/record_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/cli/json.h"

namespace hapair::cli {
namespace {

using control::v1::RecordEntry;
using control::v1::RecordsReply;
using testing::ElementsAre;
using testing::HasSubstr;

// 2023-11-14 22:13:20 UTC; the boot clock said 100 s then.
constexpr std::int64_t kWallUs = 1'700'000'000'000'000;
constexpr std::int64_t kBootNs = 100'000'000'000;

RecordEntry record(double ms, const char* severity, const char* kind, std::uint64_t decision, const char* text,
                   std::vector<std::pair<const char*, const char*>> fields = {}) {
  RecordEntry entry;
  entry.set_when_ns(kBootNs + static_cast<std::int64_t>(ms * 1e6));
  entry.set_wall_us(kWallUs + static_cast<std::int64_t>(ms * 1e3));
  entry.set_severity(severity);
  entry.set_kind(kind);
  entry.set_decision(decision);
  entry.set_text(text);
  for (const auto& [name, value] : fields) {
    auto& field = *entry.add_fields();
    field.set_name(name);
    field.set_value(value);
    if (std::string_view(name) == "pool") entry.set_pool(value);
  }
  return entry;
}

RecordsReply a_takeover() {
  RecordsReply reply;
  reply.set_node("alpha");
  const auto add = [&](RecordEntry entry) { *reply.add_records() = std::move(entry); };
  add(record(-500, "notice", "verdict", 6, "beta is alive", {{"verdict", "alive"}}));
  // Told when the verdict was reached, observed before it.
  RecordEntry evidence =
      record(0, "info", "evidence", 7, "rail 0: no answer for 31.2 ms (limit 30 ms)", {{"channel", "rail 0"}});
  evidence.set_wall_us(kWallUs + 2'000);
  add(evidence);
  add(record(2, "warning", "verdict", 7, "beta is unreachable", {{"verdict", "unreachable"}}));
  add(record(2, "info", "implication", 7, "its pools are claimed at once; they start when a fence is confirmed"));
  add(record(2.1, "notice", "pool-state", 7, "pool-b: elsewhere -> claiming",
             {{"pool", "pool-b"}, {"to", "claiming"}}));
  add(record(9.5, "info", "claim-durable", 7, "pool-b: the claim of epoch 8 is on disk", {{"pool", "pool-b"}}));
  add(record(10, "notice", "fence-started", 7, "fence of beta: attempt 1 of 3"));
  add(record(300, "info", "resource-probed", 0, "of no decision"));
  add(record(310, "notice", "fence-confirmed", 7, "fence of beta by device power: confirmed after 300 ms",
             {{"took_ms", "300.0"}}));
  add(record(1512.25, "notice", "pool-state", 7, "pool-b: starting -> serving",
             {{"pool", "pool-b"}, {"to", "serving"}}));
  add(record(5000, "notice", "verdict", 8, "beta is alive", {{"verdict", "alive"}}));
  return reply;
}

TEST(Why, IsATimelineFromTheFirstObservation) {
  EXPECT_EQ(why_text(a_takeover(), 7, {}),
            "Decision 7 of alpha, from 2023-11-14 22:13:20.000 UTC: beta is unreachable; pool-b is serving\n"
            "\n"
            "          ms  channel or step  what\n"
            "        +0.0  rail 0           no answer for 31.2 ms (limit 30 ms)\n"
            "        +2.0  verdict          beta is unreachable\n"
            "        +2.0  implication      its pools are claimed at once; they start when a fence is confirmed\n"
            "        +2.1  pool-state       pool-b: elsewhere -> claiming\n"
            "        +9.5  claim-durable    pool-b: the claim of epoch 8 is on disk\n"
            "       +10.0  fence-started    fence of beta: attempt 1 of 3\n"
            "      +310.0  fence-confirmed  fence of beta by device power: confirmed after 300 ms\n"
            "     +1512.2  pool-state       pool-b: starting -> serving\n"
            "\n"
            "8 steps in 1512.2 ms\n");
}

// A partner that died under Pacemaker: what that decided stands between the two decisions of this node.
RecordsReply a_promotion() {
  RecordsReply reply;
  reply.set_node("alpha");
  const auto add = [&](RecordEntry entry) { *reply.add_records() = std::move(entry); };
  const auto cluster = [&](double ms, const char* kind, const char* text, const char* pool = nullptr) {
    RecordEntry entry = record(ms, "notice", kind, 0, text, {{"channel", "Pacemaker on alpha"}});
    entry.set_wall_us(entry.wall_us() + 90'000);  // it is told later than it was
    if (pool != nullptr) entry.set_pool(pool);
    add(std::move(entry));
  };
  cluster(-9000, "pacemaker-node", "Pacemaker on alpha: node beta is a member");
  add(record(-500, "notice", "verdict", 6, "beta is alive", {{"verdict", "alive"}}));
  add(record(0, "info", "evidence", 7, "rail 0: no answer for 31.2 ms", {{"channel", "rail 0"}}));
  add(record(2, "warning", "verdict", 7, "beta is unreachable", {{"verdict", "unreachable"}}));
  cluster(800, "pacemaker-node", "Pacemaker on alpha: node beta lost");
  cluster(950, "pacemaker-resource", "Pacemaker on alpha: monitor of pool pool-a here: error", "pool-a");
  // Told after what it led to.
  add(record(2100, "notice", "command", 8, "pool-b: root wants it served here", {{"pool", "pool-b"}}));
  cluster(2000, "pacemaker-fencing", "Pacemaker on alpha: fenced beta by alpha (off, OK)");
  add(record(2900, "notice", "pool-state", 8, "pool-b: starting -> serving", {{"pool", "pool-b"}, {"to", "serving"}}));
  cluster(2950, "pacemaker-resource", "Pacemaker on alpha: promoted pool pool-b here: ok after 812 ms", "pool-b");
  add(record(9000, "notice", "verdict", 9, "beta is alive", {{"verdict", "alive"}}));
  cluster(9500, "pacemaker-node", "Pacemaker on alpha: node beta is a member");
  return reply;
}

TEST(Why, UnderPacemakerHasWhatPacemakerDecidedInTheOrderOfTime) {
  EXPECT_EQ(why_text(a_promotion(), 8, {}),
            "Decision 8 of alpha, from 2023-11-14 22:13:20.800 UTC: pool-b is serving\n"
            "\n"
            "          ms  channel or step     what\n"
            "        +0.0  Pacemaker on alpha  node beta lost\n"
            "     +1200.0  Pacemaker on alpha  fenced beta by alpha (off, OK)\n"
            "     +1300.0  command             pool-b: root wants it served here\n"
            "     +2100.0  pool-state          pool-b: starting -> serving\n"
            "     +2150.0  Pacemaker on alpha  promoted pool pool-b here: ok after 812 ms\n"
            "\n"
            "5 steps in 2150.0 ms, 3 of them Pacemaker's\n");
}

TEST(Why, OfAVerdictHasWhatPacemakerMadeOfIt) {
  const std::string why = why_text(a_promotion(), 7, {});
  EXPECT_THAT(why, HasSubstr("node beta lost\n"));
  EXPECT_THAT(why, HasSubstr("fenced beta by alpha"));
  EXPECT_THAT(why, HasSubstr("promoted pool pool-b here"));
  EXPECT_THAT(why, testing::Not(HasSubstr("is a member"))) << "before it, and after the partner's return";
  EXPECT_THAT(why, HasSubstr(": beta is unreachable, and no pool moved\n")) << "what hapair itself came to";
}

TEST(Why, LeavesToOtherDecisionsWhatPacemakerDecidedForThem) {
  RecordsReply reply = a_promotion();
  // A demotion later, whose own alert is not the promotion's.
  RecordEntry command = record(3000, "notice", "command", 10, "pool-b: root does not want it", {{"pool", "pool-b"}});
  RecordEntry alert = record(3100, "notice", "pacemaker-resource", 0, "demoted pool pool-b here: ok");
  alert.set_pool("pool-b");
  *reply.add_records() = command;
  *reply.add_records() = alert;
  EXPECT_THAT(why_text(reply, 8, {}), testing::Not(HasSubstr("demoted")));
  EXPECT_THAT(why_text(reply, 10, {}), HasSubstr("demoted"));
  EXPECT_EQ(why_text(reply, 0, {}), "") << "what is of no decision is none";
}

TEST(Why, GoesBackFiveMinutesAndNoFurther) {
  RecordsReply reply = a_promotion();
  RecordEntry late =
      record(700'000, "notice", "command", 11, "pool-a: root wants it served here", {{"pool", "pool-a"}});
  reply.mutable_records()->DeleteSubrange(reply.records_size() - 2, 2);  // it never returned
  *reply.add_records() = late;
  EXPECT_THAT(why_text(reply, 11, {}), HasSubstr("1 steps in"));
}

TEST(Why, OfADecisionThatMovedNothingSaysSo) {
  RecordsReply reply;
  reply.set_node("alpha");
  *reply.add_records() = record(0, "warning", "verdict", 3, "beta is ccm-restarted", {{"verdict", "ccm-restarted"}});
  EXPECT_THAT(why_text(reply, 3, {}), HasSubstr(": beta is ccm-restarted, and no pool moved\n"));
}

TEST(Why, OfAnUnknownDecisionIsEmpty) { EXPECT_EQ(why_text(a_takeover(), 99, {}), ""); }

TEST(Why, BreaksLongLinesUnderTheirColumn) {
  RecordsReply reply;
  *reply.add_records() =
      record(0, "info", "command", 1, "takeover of pool-a asked for by somebody with a rather long name");
  EXPECT_THAT(why_text(reply, 1, {.colour = false, .width = 60}),
              HasSubstr("command          takeover of pool-a asked for\n"
                        "                               by somebody with a rather\n"));
}

TEST(Why, AsksFirstForTheNewestDecisionThatMattered) {
  EXPECT_THAT(decisions_in(a_takeover()), ElementsAre(7));
  RecordsReply reply = a_takeover();
  *reply.add_records() = record(6000, "notice", "command", 9, "giveback of pool-b asked for by root");
  EXPECT_THAT(decisions_in(reply), ElementsAre(9, 7));
  EXPECT_TRUE(decisions_in({}).empty());
}

TEST(AnEvent, IsOneLine) {
  EXPECT_EQ(event_line(record(1.5, "warning", "verdict", 7, "beta is unreachable"), {}),
            "2023-11-14 22:13:20.001Z  warning      7  verdict             beta is unreachable\n");
  EXPECT_EQ(event_line(record(0, "info", "own-ccm", 0, "registered"), {}),
            "2023-11-14 22:13:20.000Z  info         -  own-ccm             registered\n");
}

TEST(AnEvent, AsJsonIsAsInTheFile) {
  EXPECT_EQ(json_of(record(0, "info", "evidence", 7, "x", {{"channel", "rail 0"}})).dump(),
            "{\"when_ns\":100000000000,\"wall_us\":1700000000000000,\"severity\":\"info\",\"kind\":\"evidence\","
            "\"pool\":\"\",\"decision\":7,\"text\":\"x\",\"fields\":{\"channel\":\"rail 0\"}}");
}

}  // namespace
}  // namespace hapair::cli
