#include "agent/corosync/fleet_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/agent/corosync/fleet_reports.h"

namespace hapair::agent {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using test::fleet_pool;
using test::fleet_report;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr FleetMember kFirst{1, 100};
constexpr FleetMember kSecond{2, 100};
constexpr FleetMember kThird{3, 100};

FleetReport alpha(const std::string& state = "serving") {
  return fleet_report("pair-1", "alpha", "beta", {fleet_pool("pool-a", "alpha", state, 3)});
}
FleetReport beta(const std::string& state = "elsewhere") {
  return fleet_report("pair-1", "beta", "alpha", {fleet_pool("pool-a", "alpha", state, 3)});
}

class TheFleet : public testing::Test {
 protected:
  void say(FleetMember who, const FleetReport& report, Duration age = {}) {
    table_.message(now_, who, encode_fleet_message({report, age}));
  }
  void in_the_group(const std::vector<FleetMember>& members) { table_.members(now_, members); }
  [[nodiscard]] std::vector<std::string> attention() const { return fleet_attention(table_.rows(), now_); }
  [[nodiscard]] std::vector<std::string> nodes() const {
    std::vector<std::string> names;
    for (const FleetRow& row : table_.rows()) {
      names.push_back(row.report.pair.text() + "/" + row.report.node.text() + (row.lost_since ? " lost" : "") +
                      (row.conflict ? " conflict" : ""));
    }
    return names;
  }

  Instant now_ = instant_of_ns(1'000'000'000'000);
  FleetTable table_;
};

TEST_F(TheFleet, IsInTheOrderOfPairAndNode) {
  in_the_group({kFirst, kSecond, kThird});
  say(kFirst, fleet_report("pair-2", "alpha", "beta", {}));
  say(kSecond, beta());
  say(kThird, alpha());
  EXPECT_THAT(nodes(), ElementsAre("pair-1/alpha", "pair-1/beta", "pair-2/alpha"));
  EXPECT_EQ(table_.rows()[0].report, alpha());
}

TEST_F(TheFleet, KnowsHowOldItsNewsIs) {
  in_the_group({kFirst});
  say(kFirst, alpha(), seconds(3));
  EXPECT_EQ(table_.rows()[0].as_of, now_ - seconds(3));
  now_ += seconds(1);
  say(kFirst, alpha("stopping"));
  ASSERT_EQ(table_.rows().size(), 1U);
  EXPECT_EQ(table_.rows()[0].as_of, now_);
  EXPECT_EQ(table_.rows()[0].report.pools[0].state, "stopping");
}

TEST_F(TheFleet, IsInOrderWhereEachPoolIsServedOnce) {
  in_the_group({kFirst, kSecond});
  say(kFirst, alpha());
  say(kSecond, beta());
  EXPECT_THAT(attention(), IsEmpty());
}

TEST_F(TheFleet, MarksWhoLeftAsLostAndForgetsItAfterADay) {
  in_the_group({kFirst, kSecond});
  say(kFirst, alpha());
  say(kSecond, beta());
  now_ += seconds(10);
  in_the_group({kSecond});
  EXPECT_THAT(nodes(), ElementsAre("pair-1/alpha lost", "pair-1/beta"));
  EXPECT_EQ(*table_.rows()[0].lost_since, now_);
  EXPECT_THAT(attention(), ElementsAre(HasSubstr("alpha of pair-1 is lost"),
                                       HasSubstr("pool-a of pair-1: no node says that it serves it")));
  const Instant lost = now_;
  now_ += seconds(10);
  in_the_group({kSecond, kThird});  // another change does not make it newer
  EXPECT_EQ(*table_.rows()[0].lost_since, lost);
  now_ = lost + hours(24);
  table_.tick(now_);
  EXPECT_EQ(table_.rows().size(), 2U);
  now_ += seconds(1);
  table_.tick(now_);
  EXPECT_THAT(nodes(), ElementsAre("pair-1/beta"));
}

TEST_F(TheFleet, SeesNobodyWhereThisNodeIsInNoGroupAndAllAgainAfterwards) {
  in_the_group({kFirst, kSecond});
  say(kFirst, alpha());
  say(kSecond, beta());
  in_the_group({});
  EXPECT_THAT(nodes(), ElementsAre("pair-1/alpha lost", "pair-1/beta lost"));
  EXPECT_EQ(table_.member_count(), 0U);
  in_the_group({kFirst, kSecond});
  EXPECT_THAT(nodes(), ElementsAre("pair-1/alpha", "pair-1/beta"));
}

TEST_F(TheFleet, KnowsANodeAgainThatComesBackAsAnotherProcess) {
  in_the_group({kFirst});
  say(kFirst, alpha());
  in_the_group({});
  const FleetMember again{4, 777};
  in_the_group({again});
  EXPECT_THAT(nodes(), ElementsAre("pair-1/alpha lost"));
  say(again, alpha());
  EXPECT_THAT(nodes(), ElementsAre("pair-1/alpha"));
}

TEST_F(TheFleet, ShowsTwoThatSayTheyAreTheSameNode) {
  in_the_group({kFirst, kSecond, kThird});
  say(kFirst, alpha());
  say(kSecond, beta());
  say(kThird, alpha("elsewhere"));
  EXPECT_THAT(nodes(), ElementsAre("pair-1/alpha conflict", "pair-1/alpha conflict", "pair-1/beta"));
  EXPECT_THAT(attention(), ElementsAre("alpha of pair-1: several say that they are this node"));
  in_the_group({kFirst, kSecond});
  EXPECT_THAT(nodes(), ElementsAre("pair-1/alpha", "pair-1/alpha lost", "pair-1/beta"));
  say(kFirst, alpha());  // the one that stayed
  EXPECT_THAT(nodes(), ElementsAre("pair-1/alpha", "pair-1/beta"));
}

TEST_F(TheFleet, TellsOfAPoolThatTwoSayTheyServe) {
  in_the_group({kFirst, kSecond});
  say(kFirst, alpha());
  say(kSecond, beta("serving"));
  EXPECT_THAT(attention(), ElementsAre("pool-a of pair-1: alpha and beta both say that they serve it"));
}

TEST_F(TheFleet, TellsOfAPartnerThatWasNeverThereAndOfOneThatTellsNothingNew) {
  in_the_group({kFirst});
  say(kFirst, alpha());
  EXPECT_THAT(attention(), ElementsAre("beta of pair-1, the partner of alpha, is not in the group"));
  in_the_group({kFirst, kSecond});
  say(kSecond, beta());
  now_ += kFleetStale + seconds(1);
  say(kSecond, beta());
  EXPECT_THAT(attention(), ElementsAre("alpha of pair-1 is in the group, and its hapaird tells nothing new"));
}

TEST_F(TheFleet, CountsWhatIsNoNewsAndShowsNothingOfIt) {
  in_the_group({kFirst, kSecond});
  say(kFirst, alpha());
  const auto before = table_.rows();
  auto bytes = encode_fleet_message({beta(), {}});
  table_.message(now_, kSecond, std::span(bytes).first(100));
  bytes[30] ^= std::byte{1};
  table_.message(now_, kSecond, bytes);
  bytes[8] = std::byte{9};
  table_.message(now_, kSecond, bytes);
  table_.message(now_, kSecond, std::as_bytes(std::span("what is this")));
  table_.message(now_, kThird, encode_fleet_message({beta(), {}}));  // not in the group
  EXPECT_THAT(table_.refused(), ElementsAre(2, 1, 1, 1));
  EXPECT_EQ(table_.rows(), before);
}

TEST_F(TheFleet, StaysBoundedAndKeepsWhoIsThere) {
  in_the_group({kFirst});
  say(kFirst, alpha());
  for (std::uint32_t pid = 1000; pid < 1000 + 2 * kMaxFleetRows; ++pid) {
    now_ += seconds(1);
    in_the_group({kFirst, {9, pid}});
    say({9, pid}, fleet_report("flood", "n" + std::to_string(pid), "m", {}));
  }
  EXPECT_EQ(table_.rows().size(), kMaxFleetRows);
  EXPECT_EQ(table_.rows().back().report, alpha());
  EXPECT_FALSE(table_.rows().back().lost_since);
}

}  // namespace
}  // namespace hapair::agent
