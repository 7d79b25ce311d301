#include "agent/core/permit.h"

#include <gtest/gtest.h>

namespace hapair::agent {
namespace {

const PoolName kPool = *PoolName::parse("pool-a");
const NodeName kSelf = *NodeName::parse("a");
const NodeName kPartner = *NodeName::parse("b");

BootId boot(std::uint8_t number) {
  BootId id;
  id.bytes[0] = number;
  return id;
}

PoolDurable mine(std::uint64_t epoch, const NodeName& owner) {
  PoolDurable record;
  record.pool = kPool;
  record.epoch = Epoch(epoch);
  record.owner = owner;
  return record;
}

PartnerPool offer(std::uint64_t epoch) {
  PartnerPool pool;
  pool.epoch = Epoch(epoch);
  pool.owner = PoolOwner::publisher;
  pool.state = PoolState::released;
  pool.released = true;
  return pool;
}

TEST(PermitByRelease, is_made_of_the_owners_offer_and_goes_above_its_epoch) {
  const auto permit = TakeoverPermit::from_release(mine(4, kPartner), offer(4));
  ASSERT_TRUE(permit);
  EXPECT_EQ(permit->kind(), PermitKind::released);
  EXPECT_EQ(permit->epoch(), Epoch(5));
  EXPECT_EQ(permit->pool(), kPool);
  EXPECT_FALSE(permit->proof().empty());
}

TEST(PermitByRelease, goes_above_every_epoch_and_claim_that_anyone_has_seen) {
  PoolDurable record = mine(4, kPartner);
  record.claim = Epoch(9);
  EXPECT_EQ(TakeoverPermit::from_release(record, offer(6))->epoch(), Epoch(10));
  PartnerPool partner = offer(6);
  partner.claim = Epoch(20);
  EXPECT_EQ(TakeoverPermit::from_release(record, partner)->epoch(), Epoch(21));
}

TEST(PermitByRelease, is_not_made_of_an_offer_older_than_what_this_node_has_held) {
  EXPECT_FALSE(TakeoverPermit::from_release(mine(7, kSelf), offer(6)));
  EXPECT_TRUE(TakeoverPermit::from_release(mine(7, NodeName()), offer(6)));
}

TEST(PermitByRelease, is_not_made_of_half_an_offer) {
  PartnerPool pool = offer(4);
  pool.released = false;
  EXPECT_FALSE(TakeoverPermit::from_release(mine(4, kPartner), pool));
  pool = offer(4);
  pool.owner = PoolOwner::nobody;
  EXPECT_FALSE(TakeoverPermit::from_release(mine(4, kPartner), pool));
  for (std::uint8_t state = 0; state < kPoolStates; ++state) {
    pool = offer(4);
    pool.state = static_cast<PoolState>(state);
    EXPECT_EQ(TakeoverPermit::from_release(mine(4, kPartner), pool).has_value(), pool.state == PoolState::released);
  }
}

PartnerView answer(std::uint64_t life, std::uint64_t serial) {
  PartnerView view;
  view.saw_life = life;
  view.saw_serial = serial;
  return view;
}

PartnerPool idle() {
  PartnerPool pool;
  pool.owner = PoolOwner::reader;
  pool.state = PoolState::elsewhere;
  return pool;
}

TEST(PermitByAnswer, needs_an_answer_to_this_very_question_of_this_very_life) {
  const PoolDurable record = mine(3, kSelf);
  EXPECT_TRUE(TakeoverPermit::from_disclaimer(record, idle(), answer(1, 8), 1, 8));
  EXPECT_TRUE(TakeoverPermit::from_disclaimer(record, idle(), answer(1, 9), 1, 8));
  EXPECT_FALSE(TakeoverPermit::from_disclaimer(record, idle(), answer(1, 7), 1, 8)) << "an older question";
  EXPECT_FALSE(TakeoverPermit::from_disclaimer(record, idle(), answer(2, 8), 1, 8)) << "another life";
  EXPECT_FALSE(TakeoverPermit::from_disclaimer(record, idle(), answer(1, 8), 1, 0)) << "nothing was asked";
}

TEST(PermitByAnswer, needs_a_partner_that_has_nothing) {
  PartnerPool pool = idle();
  pool.claim = Epoch(4);
  EXPECT_FALSE(TakeoverPermit::from_disclaimer(mine(3, kSelf), pool, answer(1, 8), 1, 8));
  pool = idle();
  pool.state = PoolState::starting;
  EXPECT_FALSE(TakeoverPermit::from_disclaimer(mine(3, kSelf), pool, answer(1, 8), 1, 8));
  pool = idle();
  pool.owner = PoolOwner::publisher;
  EXPECT_FALSE(TakeoverPermit::from_disclaimer(mine(3, kSelf), pool, answer(1, 8), 1, 8));
}

TEST(PermitByOrder, needs_a_durable_claim_and_says_why_the_partner_was_not_asked) {
  PoolDurable record = mine(3, kPartner);
  EXPECT_FALSE(TakeoverPermit::from_order(record, "unreachable"));
  record.claim = Epoch(5);
  const auto permit = TakeoverPermit::from_order(record, "unreachable");
  ASSERT_TRUE(permit);
  EXPECT_EQ(permit->kind(), PermitKind::ordered);
  EXPECT_EQ(permit->epoch(), Epoch(5));
  EXPECT_NE(permit->proof().find("unreachable"), std::string::npos);
}

TEST(PermitByFence, needs_a_confirmed_fence_and_a_durable_claim) {
  PoolDurable record = mine(3, kPartner);
  FenceReport report{FenceResult::confirmed, "ipmi", "", Duration{}};
  EXPECT_FALSE(TakeoverPermit::from_fence(record, report)) << "no claim was durable";
  record.claim = Epoch(5);
  const auto permit = TakeoverPermit::from_fence(record, report);
  ASSERT_TRUE(permit);
  EXPECT_EQ(permit->kind(), PermitKind::fenced);
  EXPECT_EQ(permit->epoch(), Epoch(5));
  report.result = FenceResult::unknown;
  EXPECT_FALSE(TakeoverPermit::from_fence(record, report)) << "unknown is not confirmed";
  report.result = FenceResult::failed;
  EXPECT_FALSE(TakeoverPermit::from_fence(record, report));
}

TEST(PermitByPossession, is_for_this_life_of_the_kernel_only) {
  DurableState state;
  state.boot_id = boot(1);
  PoolDurable record = mine(3, kSelf);
  record.held = true;
  state.pools = {record};
  const auto permit = TakeoverPermit::from_possession(state, kPool, kSelf, boot(1));
  ASSERT_TRUE(permit);
  EXPECT_EQ(permit->kind(), PermitKind::held);
  EXPECT_EQ(permit->epoch(), Epoch(3));
  EXPECT_FALSE(TakeoverPermit::from_possession(state, kPool, kSelf, boot(2))) << "the node has rebooted";
  state.boot_id = BootId{};
  EXPECT_FALSE(TakeoverPermit::from_possession(state, kPool, kSelf, BootId{})) << "no boot id is known";
}

TEST(PermitByPossession, is_for_what_is_held_here_and_not_released) {
  const auto with = [](auto change) {
    DurableState state;
    state.boot_id = boot(1);
    PoolDurable record = mine(3, kSelf);
    record.held = true;
    change(record);
    state.pools = {record};
    return TakeoverPermit::from_possession(state, kPool, kSelf, boot(1)).has_value();
  };
  EXPECT_TRUE(with([](PoolDurable&) {}));
  EXPECT_FALSE(with([](PoolDurable& r) { r.owner = kPartner; }));
  EXPECT_FALSE(with([](PoolDurable& r) { r.held = false; }));
  EXPECT_FALSE(with([](PoolDurable& r) { r.released = true; }));
  EXPECT_FALSE(with([](PoolDurable& r) { r.pool = *PoolName::parse("pool-b"); }));
}

// What a claim is durable at, and a page of the partner after it.
const Instant kClaimed = Instant(std::chrono::seconds(50));

PoolDurable claimed_from(const BootId& partner_boot) {
  PoolDurable record = mine(4, kPartner);
  record.claim = Epoch(6);
  record.partner_boot = partner_boot;
  return record;
}

heartbeat::Sighting seen(const BootId& boot_id, ccm::BootPhase phase = ccm::BootPhase::early) {
  return {kClaimed + std::chrono::milliseconds(1), boot_id, phase};
}

TEST(PermitByReboot, is_made_of_a_page_of_another_life_read_after_the_claim_was_durable) {
  const auto permit = TakeoverPermit::from_reboot(claimed_from(boot(1)), kPartner, seen(boot(2)), kClaimed);
  ASSERT_TRUE(permit);
  EXPECT_EQ(permit->kind(), PermitKind::rebooted);
  EXPECT_EQ(permit->epoch(), Epoch(6));
  EXPECT_EQ(permit->pool(), kPool);
}

TEST(PermitByReboot, counts_in_every_phase_before_the_storage_and_in_a_crash_kernel_and_in_no_other) {
  using ccm::BootPhase;
  for (std::size_t i = 0; i < ccm::kBootPhases; ++i) {
    const auto phase = static_cast<BootPhase>(i);
    const bool counts = phase == BootPhase::early || phase == BootPhase::root ||
                        phase == BootPhase::awaiting_giveback || phase == BootPhase::panicked;
    const auto permit = TakeoverPermit::from_reboot(claimed_from(boot(1)), kPartner, seen(boot(2), phase), kClaimed);
    EXPECT_EQ(permit.has_value(), counts) << text_of(phase);
  }
}

TEST(PermitByReboot, is_not_made_in_the_life_that_held_the_pool_or_where_that_is_not_known) {
  EXPECT_FALSE(TakeoverPermit::from_reboot(claimed_from(boot(1)), kPartner, seen(boot(1)), kClaimed));
  EXPECT_FALSE(TakeoverPermit::from_reboot(claimed_from(BootId()), kPartner, seen(boot(2)), kClaimed));
  EXPECT_FALSE(TakeoverPermit::from_reboot(claimed_from(boot(1)), kPartner, seen(BootId()), kClaimed));
}

TEST(PermitByReboot, is_not_made_of_a_page_that_is_not_later_than_the_claim_or_without_a_claim) {
  heartbeat::Sighting early = seen(boot(2));
  early.when = kClaimed;
  EXPECT_FALSE(TakeoverPermit::from_reboot(claimed_from(boot(1)), kPartner, early, kClaimed));
  PoolDurable record = claimed_from(boot(1));
  record.claim = Epoch();
  EXPECT_FALSE(TakeoverPermit::from_reboot(record, kPartner, seen(boot(2)), kClaimed));
}

TEST(PermitByReboot, is_not_made_for_a_pool_that_the_partner_did_not_hold) {
  for (const NodeName& owner : {kSelf, NodeName()}) {
    PoolDurable record = claimed_from(boot(1));
    record.owner = owner;
    record.released = owner == kSelf;
    EXPECT_FALSE(TakeoverPermit::from_reboot(record, kPartner, seen(boot(2)), kClaimed)) << owner.view();
  }
}

PoolDurable armed() {
  PoolDurable record = mine(4, kPartner);
  record.claim = Epoch(6);
  record.armed = Epoch(4);
  record.lease_over = std::chrono::milliseconds(1000);
  return record;
}

ccm::OwnershipDecision decision(std::uint64_t epoch) { return {3, {Epoch(epoch), ccm::PairSide::lower}}; }

TEST(PermitByExpiry, is_made_when_the_told_time_and_the_drift_have_passed_since_the_claim_was_decided) {
  const Instant at(std::chrono::seconds(100));
  const auto made = [&](Duration later) {
    return TakeoverPermit::from_expiry(armed(), kPartner, decision(7), at, at + later);
  };
  EXPECT_FALSE(made(std::chrono::milliseconds(1000)));
  EXPECT_FALSE(made(std::chrono::milliseconds(1009)));
  const auto permit = made(std::chrono::milliseconds(1010));
  ASSERT_TRUE(permit);
  EXPECT_EQ(permit->kind(), PermitKind::expired);
  EXPECT_EQ(permit->epoch(), Epoch(7)) << "the disks' epoch";
}

TEST(PermitByExpiry, wants_a_claim_arms_against_the_owners_epoch_and_a_decision_at_the_claim_or_above) {
  const Instant at(std::chrono::seconds(100));
  const auto made = [&](const PoolDurable& record, const ccm::OwnershipDecision& decided) {
    return TakeoverPermit::from_expiry(record, kPartner, decided, at, at + std::chrono::hours(1)).has_value();
  };
  EXPECT_TRUE(made(armed(), decision(6)));
  EXPECT_FALSE(made(armed(), decision(5)));
  PoolDurable record = armed();
  record.claim = Epoch();
  EXPECT_FALSE(made(record, decision(6)));
  record = armed();
  record.armed = Epoch(3);
  EXPECT_FALSE(made(record, decision(6))) << "armed against an earlier ownership";
  record = armed();
  record.armed = Epoch();
  EXPECT_FALSE(made(record, decision(6)));
  record = armed();
  record.owner = kSelf;
  EXPECT_FALSE(made(record, decision(6)));
}

TEST(PermitByAnswer, is_not_made_while_the_partner_may_still_wait_for_the_end_of_a_lease) {
  PartnerPool partner;
  partner.state = PoolState::elsewhere;
  partner.owner = PoolOwner::reader;
  PartnerView view;
  view.saw_life = 5;
  view.saw_serial = 9;
  ASSERT_TRUE(TakeoverPermit::from_disclaimer(mine(4, kSelf), partner, view, 5, 9));
  partner.armed = true;
  EXPECT_FALSE(TakeoverPermit::from_disclaimer(mine(4, kSelf), partner, view, 5, 9));
}

}  // namespace
}  // namespace hapair::agent
