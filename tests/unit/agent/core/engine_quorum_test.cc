// Leases on Corosync's quorum: the rules of agent/core/quorum_lease.h, each with what breaks it.
#include "agent/core/lease.h"
#include "agent/core/permit.h"
#include "agent/core/quorum_lease.h"
#include "tests/unit/agent/core/engine_rig.h"

namespace hapair::agent {
namespace {

constexpr std::chrono::milliseconds kLeaseOver = seconds(10);
const std::uint64_t kDigest = quorum_digest("cluster one");
const Duration kSlack = seconds(3);

TEST(QuorumLease, its_digest_is_none_of_mailbox_disks) {
  EXPECT_TRUE(of_quorum(kDigest));
  EXPECT_TRUE(same_mailbox(kDigest, kDigest));
  EXPECT_FALSE(same_mailbox(kDigest, quorum_digest("cluster two")));
  EXPECT_TRUE(other_mailbox(kDigest, quorum_digest("cluster two")));
  const std::optional<ccm::DiskAreaId> area = ccm::DiskAreaId{7};
  for (const auto& disks : {std::vector{area}, std::vector{area, area, area}}) {
    EXPECT_FALSE(of_quorum(mailbox_digest(disks)));
    EXPECT_FALSE(same_mailbox(kDigest, mailbox_digest(disks)));
    EXPECT_TRUE(other_mailbox(kDigest, mailbox_digest(disks)));
  }
  EXPECT_FALSE(of_quorum(0));
}

TEST(QuorumLease, a_vigil_lasts_the_slack_twice_and_the_lease_with_the_drift_of_the_clocks) {
  EXPECT_EQ(vigil_wait(Duration{}, kLeaseOver), milliseconds(10'100));
  EXPECT_EQ(vigil_wait(kSlack, kLeaseOver), milliseconds(10'100 + 2 * 3030));
}

class QuorumPermit : public ::testing::Test {
 protected:
  QuorumPermit() {
    durable_.pool = kPool;
    durable_.owner = kPartner;
    durable_.epoch = durable_.armed = Epoch(3);
    durable_.claim = Epoch(5);
    durable_.lease_over = kLeaseOver;
    durable_.mailbox = kDigest;
    vigil_.since = Instant(seconds(50));
    vigil_.slack = kSlack;
    vigil_.newest = vigil_.since + vigil_wait(kSlack, kLeaseOver);
  }
  std::optional<TakeoverPermit> permit() { return TakeoverPermit::from_quorum(durable_, kPartner, vigil_); }
  PoolDurable durable_;
  QuorumVigil vigil_;
};

TEST_F(QuorumPermit, is_made_by_an_unbroken_vigil_over_an_owner_that_this_node_is_armed_against) {
  ASSERT_TRUE(permit());
  EXPECT_EQ(permit()->kind(), PermitKind::expired);
  EXPECT_EQ(permit()->epoch(), Epoch(5));
}
TEST_F(QuorumPermit, is_not_made_a_moment_too_early) {
  vigil_.newest -= Duration(1);
  EXPECT_FALSE(permit());
}
TEST_F(QuorumPermit, is_not_made_without_a_claim) {
  durable_.claim = Epoch();
  EXPECT_FALSE(permit());
}
TEST_F(QuorumPermit, is_not_made_where_this_node_is_armed_against_nobody_or_another_epoch) {
  durable_.armed = Epoch();
  EXPECT_FALSE(permit());
  durable_.armed = Epoch(2);
  EXPECT_FALSE(permit());
}
TEST_F(QuorumPermit, is_not_made_of_a_lease_on_mailbox_disks_nor_the_other_way_round) {
  durable_.mailbox = mailbox_digest({ccm::DiskAreaId{7}});
  EXPECT_FALSE(permit());
  ccm::OwnershipDecision decided;
  decided.value.epoch = Epoch(5);
  const Instant later = vigil_.since + seconds(100);
  EXPECT_TRUE(TakeoverPermit::from_expiry(durable_, kPartner, decided, vigil_.since, later));
  durable_.mailbox = kDigest;
  EXPECT_FALSE(TakeoverPermit::from_expiry(durable_, kPartner, decided, vigil_.since, later));
}

// A node beside an owner that serves under a lease, each with a watchdog and a Corosync.
class QuorumEngine : public EngineContract {
 protected:
  QuorumEngine() {
    EngineConfig config = engine_->config();
    config.policy.lease_arbiter = LeaseArbiter::quorum;
    config.policy.lease = seconds(4);
    config.policy.lease_stop = seconds(3);
    config.policy.fences = false;
    config.policy.automatic_giveback = false;
    engine_.emplace(config);
  }
  void write(const EngineOutput& output) {
    if (output.persist) generation_ = output.persist->generation;
    for (EngineOutput done = step(Durable{generation_}); done.persist; done = step(Durable{generation_})) {
      generation_ = done.persist->generation;
    }
  }
  EngineOutput ground(std::optional<Instant> fed_until) {
    return step(
        LeaseGround{.watchdog = true, .bound = seconds(3), .fed_until = fed_until, .mailbox = kDigest, .problem = {}});
  }
  PublishedView partners_view(bool leased) {
    PublishedView view;
    view.node_state = NodeState::serving;
    view.lease_over = kLeaseOver;
    view.mailbox = kDigest;
    view.pools.push_back(
        {kPool, Epoch(3), Epoch(), PoolOwner::publisher, PoolState::serving, PoolRequest::none, false, false});
    view.pools[0].leased = leased;
    return view;
  }
  EngineOutput partner_says(const PublishedView& view, std::uint64_t saw_serial = 0) {
    return step(PartnerBlock{write_block(view, ++partner_serial_, 9, partner_config_hash_, saw_serial, 5)});
  }
  EngineOutput look(QuorumLook look) {
    look.began = now_;
    now_ += milliseconds(5);
    return step(QuorumSeen{look});
  }
  const QuorumLook kBoth{
      .began = {}, .quorate = true, .partner_member = true, .standing = 1, .slack = seconds(3), .ring = {}};
  const QuorumLook kAlone{
      .began = {}, .quorate = true, .partner_member = false, .standing = 2, .slack = seconds(3), .ring = {}};
  const QuorumLook kNone{
      .began = {}, .quorate = false, .partner_member = false, .standing = 0, .slack = seconds(3), .ring = {}};
  bool armed() { return engine_->pool_report(0).armed; }

  std::uint64_t generation_ = 0;
};

class QuorumClaimant : public QuorumEngine {
 protected:
  void beside_an_owner() {
    step(Started{std::nullopt, std::nullopt, boot_});
    ground(std::nullopt);
    probed(ActionOutcome::not_running);
    verdict(Verdict::alive);
    write(partner_says(partners_view(true)));
    ASSERT_EQ(state(), PoolState::elsewhere);
  }
  void armed_and_claiming() {
    beside_an_owner();
    write(look(kBoth));
    ASSERT_TRUE(armed());
    const EngineOutput claims = verdict(Verdict::unreachable);
    write(claims);
    ASSERT_EQ(state(), PoolState::fencing);
  }
  [[nodiscard]] Duration wait() const { return vigil_wait(kSlack, kLeaseOver); }
  void tick_after(Duration time) {
    now_ += time;
    step(Tick{});
  }
};

TEST_F(QuorumClaimant, is_armed_by_a_look_with_quorum_that_shows_the_owner) {
  beside_an_owner();
  EXPECT_FALSE(armed());
  write(look(kAlone));
  EXPECT_FALSE(armed()) << "the owner is in another ring, or another Corosync";
  QuorumLook without_quorum = kBoth;
  without_quorum.quorate = false;
  write(look(without_quorum));
  EXPECT_FALSE(armed());
  write(look(kBoth));
  EXPECT_TRUE(armed());
}

TEST_F(QuorumClaimant, is_not_armed_by_a_look_that_is_older_than_a_lease) {
  step(Started{std::nullopt, std::nullopt, boot_});
  ground(std::nullopt);
  probed(ActionOutcome::not_running);
  verdict(Verdict::alive);
  look(kBoth);
  now_ += seconds(5);
  write(partner_says(partners_view(true)));
  EXPECT_FALSE(armed());
}

TEST_F(QuorumClaimant, is_not_armed_where_corosync_decides_by_something_else) {
  beside_an_owner();
  PublishedView other = partners_view(true);
  other.mailbox = quorum_digest("cluster two");
  write(partner_says(other));
  write(look(kBoth));
  EXPECT_FALSE(armed());
}

TEST_F(QuorumClaimant, takes_the_pool_by_a_look_that_was_begun_when_the_wait_was_over) {
  armed_and_claiming();
  look(kAlone);
  const Instant over = now_ + wait();
  now_ = over - milliseconds(5);
  look(kAlone);  // completed when it is over, and begun before
  EXPECT_EQ(state(), PoolState::fencing);
  tick_after(seconds(20));
  EXPECT_EQ(state(), PoolState::fencing) << "time alone proves nothing";
  look(kAlone);
  EXPECT_EQ(state(), PoolState::acquiring);
}

TEST_F(QuorumClaimant, asks_for_that_look_when_the_wait_is_over) {
  armed_and_claiming();
  look(kAlone);
  const Instant over = now_ + wait();
  int asked = 0;
  while (engine_->next_wakeup() && *engine_->next_wakeup() <= over) {
    now_ = *engine_->next_wakeup();
    asked = count<LookAtQuorum>(step(Tick{}));
  }
  EXPECT_EQ(now_, over);
  EXPECT_EQ(asked, 1);
}

TEST_F(QuorumClaimant, begins_anew_where_its_vigil_is_broken) {
  QuorumLook other_ring = kAlone;
  other_ring.standing = 7;
  for (const QuorumLook& breaks : {kBoth, kNone, other_ring}) {
    engine_.emplace(EngineConfig(engine_->config()));
    partner_serial_ = generation_ = 0;
    armed_and_claiming();
    look(kAlone);
    now_ += wait() / 2;
    look(breaks);
    look(breaks.standing == 7 ? other_ring : kAlone);
    now_ += wait() - wait() / 2;
    look(breaks.standing == 7 ? other_ring : kAlone);
    EXPECT_EQ(state(), PoolState::fencing);
    now_ += wait() / 2 + milliseconds(10);
    look(breaks.standing == 7 ? other_ring : kAlone);
    EXPECT_EQ(state(), PoolState::acquiring);
  }
}

TEST_F(QuorumClaimant, waits_for_nothing_where_it_has_no_quorum) {
  armed_and_claiming();
  look(kNone);
  now_ += seconds(100);
  look(kNone);
  EXPECT_EQ(state(), PoolState::fencing);
}

TEST_F(QuorumClaimant, waits_for_nothing_while_the_owner_is_in_its_ring) {
  armed_and_claiming();
  look(kBoth);
  now_ += wait();
  look(kBoth);
  EXPECT_EQ(state(), PoolState::fencing);
}

TEST_F(QuorumClaimant, waits_for_a_slack_that_grew_meanwhile) {
  armed_and_claiming();
  QuorumLook plain = kAlone;
  plain.slack = {};
  look(plain);
  now_ += vigil_wait({}, kLeaseOver);
  look(kAlone);
  EXPECT_EQ(state(), PoolState::fencing);
}

class QuorumOwner : public QuorumEngine {
 protected:
  PublishedView bystander(bool armed) {
    PublishedView view = partners_view(false);
    view.pools[0].owner = PoolOwner::reader;
    view.pools[0].state = PoolState::elsewhere;
    view.pools[0].armed = armed;
    return view;
  }
  DurableState mine(bool leased) {
    DurableState state;
    state.boot_id = boot_;
    PoolDurable pool;
    pool.pool = kPool;
    pool.owner = kSelf;
    pool.epoch = Epoch(3);
    pool.held = true;
    pool.leased = leased;
    pool.lease_over = seconds(30);
    pool.mailbox = kDigest;
    state.pools.push_back(pool);
    return state;
  }
  // It found its pool running, as an earlier life of its agent left it.
  void serves(bool leased, std::optional<Instant> fed_until) {
    step(Started{mine(leased), std::nullopt, boot_});
    ground(fed_until);
    verdict(Verdict::alive);
    partner_says(bystander(leased));
    probed(ActionOutcome::succeeded);
    ASSERT_EQ(state(), PoolState::serving);
  }
  std::optional<Instant> lease_over() { return engine_->pool_report(0).lease_over; }
};

TEST_F(QuorumOwner, renews_a_lease_that_holds_up_to_so_long_after_the_look_began) {
  serves(true, now_ + seconds(5));  // 2 s of the lease of its earlier life, and the stop's
  now_ += seconds(1);
  const Instant began = now_;
  look(kBoth);
  EXPECT_EQ(lease_over(), began + seconds(4));
}

TEST_F(QuorumOwner, renews_nothing_by_a_look_without_quorum) {
  serves(true, now_ + seconds(5));
  now_ += seconds(1);
  const auto before = lease_over();
  look(kNone);
  EXPECT_EQ(lease_over(), before);
}

TEST_F(QuorumOwner, renews_nothing_that_has_lapsed_before_the_look_was_completed) {
  serves(true, now_ + seconds(5));
  look(kBoth);
  const Instant until = *lease_over();
  now_ = until - milliseconds(5);  // begun in time, completed when it is over
  look(kBoth);
  EXPECT_EQ(state(), PoolState::stopping);
}

TEST_F(QuorumOwner, has_no_lease_by_a_look_after_the_one_of_its_earlier_life_is_over) {
  serves(true, now_ + seconds(5));
  now_ += milliseconds(1995);
  look(kBoth);
  EXPECT_EQ(state(), PoolState::stopping);
}

TEST_F(QuorumOwner, has_none_of_an_earlier_life_whose_watchdog_is_fed_without_an_end) {
  serves(true, std::nullopt);
  const auto before = lease_over();
  look(kBoth);
  EXPECT_EQ(lease_over(), before);
}

TEST_F(QuorumOwner, has_no_lease_of_an_earlier_life_for_what_it_finds_stopped) {
  step(Started{mine(true), std::nullopt, boot_});
  ground(now_ + seconds(7));  // another pool's lease goes on
  verdict(Verdict::alive);
  partner_says(bystander(true));
  look(kBoth);  // before it is known what runs
  probed(ActionOutcome::not_running);
  ASSERT_EQ(state(), PoolState::probing);
  now_ += milliseconds(100);
  look(kBoth);
  probed(ActionOutcome::not_running);
  EXPECT_EQ(state(), PoolState::probing);
}

TEST_F(QuorumOwner, stopped_for_its_lease_starts_nothing_by_quorum_and_everything_by_the_partners_word) {
  serves(true, now_ + seconds(5));
  now_ += seconds(3);
  step(Tick{});
  ASSERT_EQ(state(), PoolState::stopping);
  write(step(ActionDone{{0, 0}, ResourceAction::stop, {ActionOutcome::succeeded, 0, "", Duration{}}}));
  ASSERT_EQ(state(), PoolState::probing);
  probed(ActionOutcome::not_running);
  ground(now_ + seconds(20));
  look(kBoth);
  now_ += milliseconds(100);
  look(kBoth);
  EXPECT_EQ(state(), PoolState::probing);
  write(partner_says(bystander(false), 1000));
  probed(ActionOutcome::not_running);
  EXPECT_EQ(state(), PoolState::starting);
}

}  // namespace
}  // namespace hapair::agent
