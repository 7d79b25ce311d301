#include "agent/cli/fleet_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hapair::cli {
namespace {

using control::v1::FleetNode;
using control::v1::FleetReply;
using testing::HasSubstr;
using testing::Not;

constexpr std::int64_t kSecond = 1'000'000'000;

FleetNode& add_node(FleetReply& fleet, const std::string& pair, const std::string& node, const std::string& partner) {
  FleetNode& out = *fleet.add_nodes();
  out.set_pair(pair);
  out.set_node(node);
  out.set_partner(partner);
  out.set_state("standby");
  out.set_partner_seen("alive");
  out.set_as_of_ns(fleet.now_ns() - kSecond);
  auto& pool = *out.add_pools();
  pool.set_name("tank");
  pool.set_state("elsewhere");
  pool.set_epoch(7);
  return out;
}

FleetReply fleet_of_two() {
  FleetReply fleet;
  fleet.set_pair("east");
  fleet.set_node("alpha");
  fleet.set_now_ns(100 * kSecond);
  fleet.set_built(true);
  fleet.set_on(true);
  fleet.set_connected(true);
  fleet.set_group("hapair");
  auto& alpha = add_node(fleet, "east", "alpha", "beta");
  alpha.set_state("serving");
  alpha.mutable_pools(0)->set_state("serving");
  alpha.mutable_pools(0)->set_owner("alpha");
  add_node(fleet, "east", "beta", "alpha");
  return fleet;
}

TEST(FleetText, IsARowForEachNode) {
  EXPECT_EQ(fleet_text(fleet_of_two(), {}),
            "2 nodes in 1 pair   (group hapair, seen by alpha of east)\n"
            "\n"
            "pair  node   state    partner      news of  pools\n"
            "east  alpha  serving  beta alive   1.0 s    tank serving (alpha, epoch 7)\n"
            "      beta   standby  alpha alive  1.0 s    tank elsewhere (owner not known, epoch 7)\n");
}

TEST(FleetText, SaysWhatToLookAt) {
  FleetReply fleet = fleet_of_two();
  fleet.mutable_nodes(0)->set_lost(true);
  fleet.add_attention("alpha of east is lost");
  (*fleet.mutable_refused())["newer"] = 2;
  (*fleet.mutable_refused())["garbage"] = 5;
  fleet.set_keys_problem("the map takes nothing");
  const std::string text = fleet_text(fleet, {});
  EXPECT_THAT(text, HasSubstr("2 nodes in 1 pair, 1 lost   ("));
  EXPECT_THAT(text, HasSubstr("lost (was serving)"));
  EXPECT_THAT(text, HasSubstr("\nattention\n  alpha of east is lost\n"));
  EXPECT_THAT(text, HasSubstr("\nmessages that were no news: 5 garbage, 2 newer\n"));
  EXPECT_THAT(text, HasSubstr("\nmonitoring's keys are not written: the map takes nothing\n"));
}

TEST(FleetText, OfAConflictSaysSo) {
  FleetReply fleet = fleet_of_two();
  fleet.mutable_nodes(1)->set_conflict(true);
  EXPECT_THAT(fleet_text(fleet, {}), HasSubstr("beta   conflict (standby)"));
}

TEST(FleetText, IsOneSentenceWhereThereIsNoFleet) {
  FleetReply fleet;
  fleet.set_problem("this build of hapair has no fleet");
  EXPECT_EQ(fleet_text(fleet, {}), "this build of hapair has no fleet\n");
  fleet.set_built(true);
  EXPECT_EQ(fleet_text(fleet, {}), "this build of hapair has no fleet\n");
}

TEST(FleetText, SaysFirstThatCorosyncIsGone) {
  FleetReply fleet = fleet_of_two();
  fleet.set_connected(false);
  fleet.set_since_ns(fleet.now_ns() - 12 * kSecond);
  fleet.set_problem("Corosync has gone");
  EXPECT_THAT(
      fleet_text(fleet, {}),
      testing::StartsWith("Corosync has gone (group hapair): this node has not seen the fleet for 12.0 s; it joins "
                          "again by itself\n2 nodes in 1 pair, as last heard:\n\npair"));
  fleet.clear_nodes();
  EXPECT_THAT(fleet_text(fleet, {}), Not(HasSubstr("as last heard")));
}

}  // namespace
}  // namespace hapair::cli
