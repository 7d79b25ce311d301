#include "agent/cli/decision_watch.h"

#include <gtest/gtest.h>

namespace hapair::cli {
namespace {

control::v1::RecordEntry move(const char* pool, const char* to, const char* severity = "notice",
                              const char* text = "") {
  control::v1::RecordEntry entry;
  entry.set_kind("pool-state");
  entry.set_pool(pool);
  entry.set_severity(severity);
  entry.set_text(text);
  auto& field = *entry.add_fields();
  field.set_name("to");
  field.set_value(to);
  return entry;
}

TEST(ADecision, HasNotEndedBeforeAnyPoolMoved) {
  EXPECT_FALSE(DecisionWatch(DecisionWatch::Goal::served_here).outcome());
}

TEST(ADecision, HasEndedWhenEveryPoolIsAtRest) {
  DecisionWatch watch(DecisionWatch::Goal::served_here);
  watch.add(move("pool-a", "requesting"));
  watch.add(move("pool-b", "claiming"));
  watch.add(move("pool-a", "serving"));
  EXPECT_FALSE(watch.outcome());
  watch.add(move("pool-b", "serving"));
  ASSERT_TRUE(watch.outcome());
  EXPECT_TRUE(watch.outcome()->succeeded);
  EXPECT_EQ(watch.outcome()->text, "pool-a is serving, pool-b is serving");
}

TEST(ADecision, ThatLeftAPoolElsewhereFailedAsATakeover) {
  DecisionWatch watch(DecisionWatch::Goal::served_here);
  watch.add(move("pool-b", "claiming"));
  watch.add(move("pool-b", "elsewhere", "error", "no fence was confirmed"));
  ASSERT_TRUE(watch.outcome());
  EXPECT_FALSE(watch.outcome()->succeeded);
  EXPECT_EQ(watch.outcome()->text, "pool-b is with the partner; no fence was confirmed");
}

TEST(ADecision, ThatLeftAPoolElsewhereSucceededAsAGiveback) {
  DecisionWatch watch(DecisionWatch::Goal::served_by_partner);
  watch.add(move("pool-b", "stopping"));
  watch.add(move("pool-b", "released"));
  EXPECT_FALSE(watch.outcome());
  watch.add(move("pool-b", "elsewhere"));
  EXPECT_TRUE(watch.outcome()->succeeded);
}

}  // namespace
}  // namespace hapair::cli
