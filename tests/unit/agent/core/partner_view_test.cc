#include "agent/core/partner_view.h"

#include <gtest/gtest.h>

#include <random>

namespace hapair::agent {
namespace {

const std::vector<PoolName> kPools = {*PoolName::parse("pool-a"), *PoolName::parse("pool-b")};

PublishedView sample() {
  PublishedView view;
  view.node_state = NodeState::serving_both;
  view.leaving = true;
  view.pools.push_back(
      {kPools[0], Epoch(7), Epoch(9), PoolOwner::publisher, PoolState::released, PoolRequest::hand_over, true, false});
  view.pools.push_back(
      {kPools[1], Epoch(1), Epoch(), PoolOwner::reader, PoolState::elsewhere, PoolRequest::answer, false, true});
  return view;
}

TEST(PartnerView, is_read_as_it_was_written) {
  const auto view = read_block(write_block(sample(), 5, 11, 13, 17, 19), kPools);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->serial, 5U);
  EXPECT_EQ(view->life, 11U);
  EXPECT_EQ(view->config_hash, 13U);
  EXPECT_EQ(view->saw_serial, 17U);
  EXPECT_EQ(view->saw_life, 19U);
  EXPECT_EQ(view->node_state, NodeState::serving_both);
  EXPECT_TRUE(view->leaving);
  ASSERT_EQ(view->pools.size(), 2U);
  EXPECT_EQ(view->pools[0].epoch, Epoch(7));
  EXPECT_EQ(view->pools[0].claim, Epoch(9));
  EXPECT_EQ(view->pools[0].owner, PoolOwner::publisher);
  EXPECT_EQ(view->pools[0].state, PoolState::released);
  EXPECT_EQ(view->pools[0].request, PoolRequest::hand_over);
  EXPECT_TRUE(view->pools[0].released);
  EXPECT_FALSE(view->pools[0].failed_there);
  EXPECT_EQ(view->pools[1].owner, PoolOwner::reader);
  EXPECT_EQ(view->pools[1].request, PoolRequest::answer);
  EXPECT_TRUE(view->pools[1].failed_there);
}

TEST(PartnerView, finds_the_pools_by_name_whatever_their_order_is_there) {
  const auto view = read_block(write_block(sample(), 5, 11, 13, 17, 19), {kPools[1], kPools[0]});
  ASSERT_TRUE(view);
  EXPECT_EQ(view->pools[0].owner, PoolOwner::reader);
  EXPECT_EQ(view->pools[1].owner, PoolOwner::publisher);
}

TEST(PartnerView, takes_a_pool_that_the_partner_does_not_list_for_one_that_may_answer_nothing) {
  const auto view = read_block(write_block(sample(), 5, 11, 13, 17, 19), {*PoolName::parse("other")});
  ASSERT_TRUE(view);
  EXPECT_EQ(view->pools[0].state, PoolState::probing);
  EXPECT_FALSE(holds_nothing(view->pools[0]));
}

TEST(PartnerView, is_nothing_before_the_first_publication) {
  EXPECT_FALSE(read_block(ccm::AgentBlockLayout{}, kPools));
}

TEST(PartnerView, is_nothing_where_a_field_has_no_meaning) {
  const ccm::AgentBlockLayout good = write_block(sample(), 5, 11, 13, 17, 19);
  const auto refused = [&good](auto spoil) {
    ccm::AgentBlockLayout bad = good;
    spoil(bad);
    return !read_block(bad, kPools);
  };
  EXPECT_TRUE(refused([](auto& b) { b.pool_count = ccm::kMaxPools + 1; }));
  EXPECT_TRUE(refused([](auto& b) { b.node_state = static_cast<std::uint8_t>(NodeState::maintenance) + 1; }));
  EXPECT_TRUE(refused([](auto& b) { b.pools[1].state = kPoolStates; }));
  EXPECT_TRUE(refused([](auto& b) { b.pools[1].owner = 3; }));
  EXPECT_TRUE(refused([](auto& b) { b.pools[0].request = 4; }));
}

TEST(PartnerView, survives_any_bytes) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    ccm::AgentBlockLayout block = write_block(sample(), 5, 11, 13, 17, 19);
    auto* bytes = reinterpret_cast<unsigned char*>(&block);
    for (int flips = 0; flips < 8; ++flips) bytes[random() % sizeof block] = static_cast<unsigned char>(random());
    const auto view = read_block(block, kPools);
    if (!view) continue;
    EXPECT_EQ(view->pools.size(), kPools.size());
    for (const PartnerPool& pool : view->pools) EXPECT_FALSE(holds_nothing(pool) && may_run(pool));
  }
}

TEST(PartnerView, holds_nothing_only_where_nothing_runs_is_owned_or_claimed) {
  for (std::uint8_t state = 0; state < kPoolStates; ++state) {
    PartnerPool pool;
    pool.state = static_cast<PoolState>(state);
    pool.owner = PoolOwner::reader;
    const bool idle =
        pool.state == PoolState::unsettled || pool.state == PoolState::elsewhere || pool.state == PoolState::requesting;
    EXPECT_EQ(holds_nothing(pool), idle) << text_of(pool.state);
    EXPECT_FALSE(holds_nothing(pool) && may_run(pool)) << text_of(pool.state);
    pool.claim = Epoch(3);
    EXPECT_FALSE(holds_nothing(pool)) << text_of(pool.state);
    pool.claim = Epoch();
    pool.owner = PoolOwner::publisher;
    EXPECT_FALSE(holds_nothing(pool)) << text_of(pool.state);
  }
}

TEST(PartnerView, tells_of_leases_and_arms_each_by_itself) {
  PublishedView shown = sample();
  shown.lease_over = std::chrono::milliseconds(21'000);
  shown.mailbox = 0x1234'5678'9abc'def0;
  shown.pools[0].leased = true;
  shown.pools[1].armed = true;
  const auto view = read_block(write_block(shown, 5, 11, 13, 17, 19), kPools);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->lease_over, std::chrono::milliseconds(21'000));
  EXPECT_EQ(view->mailbox, 0x1234'5678'9abc'def0U);
  EXPECT_TRUE(view->pools[0].leased && !view->pools[0].armed && !view->pools[0].unleased);
  EXPECT_TRUE(view->pools[1].armed && !view->pools[1].leased && !view->pools[1].unleased);
  shown.pools[1].unleased = true;
  EXPECT_TRUE(read_block(write_block(shown, 5, 11, 13, 17, 19), kPools)->pools[1].unleased);
}

TEST(PartnerView, with_a_lease_that_never_ends_is_refused) {
  PublishedView shown = sample();
  shown.lease_over = std::chrono::hours(2);
  EXPECT_FALSE(read_block(write_block(shown, 5, 11, 13, 17, 19), kPools));
}

}  // namespace
}  // namespace hapair::agent
