// What a scenario cannot show: the contract of the engine with the shell around it. The flows of two nodes are in
// tests/scenario.
#include "agent/core/engine.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hapair::agent {
namespace {

using heartbeat::Verdict;
using std::chrono::milliseconds;
using std::chrono::seconds;

const PoolName kPool = *PoolName::parse("pool-b");
const NodeName kSelf = *NodeName::parse("a");
const NodeName kPartner = *NodeName::parse("b");

class EngineContract : public ::testing::Test {
 protected:
  EngineContract() {
    EngineConfig config;
    config.self = kSelf;
    config.partner = kPartner;
    PoolPlan pool;
    pool.name = kPool;
    pool.home = kPartner;
    pool.resources.resize(1);
    pool.resources[0].name = "disk";
    config.pools = {pool};
    config.policy.fence_attempts = 2;
    config.policy.fence_retry = seconds(1);
    config.policy.beats_end = milliseconds(620);
    config.policy.agent_silent = seconds(10);
    config.life = 5;
    config.first_decision = 40;
    engine_.emplace(config);
    boot_.bytes[0] = 1;
  }

  EngineOutput step(const Event& event) { return engine_->step(now_, event); }
  EngineOutput verdict(Verdict verdict) {
    heartbeat::Assessment assessment;
    assessment.verdict = verdict;
    assessment.since = now_;
    return step(PartnerAssessed{assessment});
  }
  EngineOutput probed(ActionOutcome outcome) {
    return step(ActionDone{{0, 0}, ResourceAction::monitor, {outcome, 0, "", Duration{}}});
  }
  // The partner's page: it serves its pool at `epoch`.
  EngineOutput partner_serves(std::uint64_t epoch) {
    PublishedView view;
    view.node_state = NodeState::serving;
    view.pools.push_back(
        {kPool, Epoch(epoch), Epoch(), PoolOwner::publisher, PoolState::serving, PoolRequest::none, false, false});
    return step(PartnerBlock{write_block(view, ++partner_serial_, 9, 0, 0, 0)});
  }
  // Up to: nothing runs here, the partner serves it at epoch 3, and this node has written that down.
  void settle() {
    step(Started{std::nullopt, std::nullopt, boot_});
    probed(ActionOutcome::not_running);
    verdict(Verdict::alive);
    const EngineOutput seen = partner_serves(3);
    ASSERT_TRUE(seen.persist);
    step(Durable{seen.persist->generation});
    ASSERT_EQ(state(), PoolState::elsewhere);
  }

  template <class T>
  static int count(const EngineOutput& output) {
    return static_cast<int>(std::ranges::count_if(
        output.commands, [](const Command& command) { return std::holds_alternative<T>(command); }));
  }
  PoolState state() { return engine_->pool_report(0).state; }

  std::optional<Engine> engine_;
  Instant now_ = Instant(seconds(100));
  BootId boot_;
  std::uint64_t partner_serial_ = 0;
};

TEST_F(EngineContract, asks_for_the_fence_only_after_it_was_told_that_the_claim_is_durable) {
  settle();
  const EngineOutput down = verdict(Verdict::unreachable);
  ASSERT_TRUE(down.persist);
  EXPECT_GT(down.persist->state.pools[0].claim, Epoch(3));
  EXPECT_EQ(count<StartFence>(down), 0);
  EXPECT_EQ(count<StartFence>(step(Tick{})), 0);
  EXPECT_EQ(count<StartFence>(step(Durable{down.persist->generation})), 1);
}

TEST_F(EngineContract, with_its_own_link_down_lets_a_partner_that_may_be_well_go_first) {
  settle();
  heartbeat::Assessment blind;
  blind.verdict = Verdict::unreachable;
  blind.since = now_;
  blind.own_link_down = true;
  step(PartnerAssessed{blind});
  EXPECT_EQ(state(), PoolState::elsewhere);
  const auto wakeup = engine_->next_wakeup();
  ASSERT_TRUE(wakeup);
  EXPECT_EQ(*wakeup, now_ + seconds(2));
  now_ += seconds(2);
  step(Tick{});
  EXPECT_EQ(state(), PoolState::claiming) << "a partner that is dead takes its link down with it on a direct cable";
}

TEST_F(EngineContract, starts_nothing_before_the_epoch_is_durable) {
  settle();
  const EngineOutput down = verdict(Verdict::unreachable);
  step(Durable{down.persist->generation});
  const EngineOutput fenced = step(FenceDone{{FenceResult::confirmed, "ipmi", "", Duration{}}});
  ASSERT_TRUE(fenced.persist);
  EXPECT_TRUE(fenced.persist->state.pools[0].held);
  EXPECT_EQ(fenced.persist->state.pools[0].epoch, down.persist->state.pools[0].claim);
  EXPECT_EQ(count<RunResource>(fenced), 0);
  EXPECT_EQ(engine_->block().pools[0].epoch, 3U) << "what is not durable is not shown";
  const EngineOutput durable = step(Durable{fenced.persist->generation});
  EXPECT_EQ(count<RunResource>(durable), 1);
  EXPECT_EQ(engine_->block().pools[0].epoch, fenced.persist->state.pools[0].epoch.value());
}

TEST_F(EngineContract, starts_nothing_when_the_epoch_cannot_be_written) {
  settle();
  const EngineOutput down = verdict(Verdict::unreachable);
  step(Durable{down.persist->generation});
  const EngineOutput fenced = step(FenceDone{{FenceResult::confirmed, "ipmi", "", Duration{}}});
  const EngineOutput failed = step(NotDurable{fenced.persist->generation, "no space left on device"});
  EXPECT_EQ(count<RunResource>(failed), 0);
  EXPECT_EQ(state(), PoolState::elsewhere);
  EXPECT_EQ(engine_->node_state(), NodeState::failed);
  EXPECT_FALSE(engine_->node_reason().empty());
}

TEST_F(EngineContract, writes_one_record_at_a_time) {
  settle();
  const EngineOutput down = verdict(Verdict::unreachable);
  ASSERT_TRUE(down.persist);
  const EngineOutput back = verdict(Verdict::alive);
  EXPECT_EQ(state(), PoolState::elsewhere);
  EXPECT_FALSE(back.persist) << "the claim is still being written";
  const EngineOutput next = step(Durable{down.persist->generation});
  ASSERT_TRUE(next.persist);
  EXPECT_EQ(next.persist->generation, down.persist->generation + 1);
  EXPECT_EQ(next.persist->state.pools[0].claim, Epoch());
  EXPECT_EQ(count<StartFence>(next), 0) << "the claim was withdrawn while it was written";
}

TEST_F(EngineContract, tries_a_write_that_failed_again) {
  step(Started{std::nullopt, std::nullopt, boot_});
  probed(ActionOutcome::not_running);
  verdict(Verdict::alive);
  const EngineOutput seen = partner_serves(3);
  ASSERT_TRUE(seen.persist);
  EXPECT_FALSE(step(NotDurable{seen.persist->generation, "no space left on device"}).persist) << "not at once";
  ASSERT_TRUE(engine_->next_wakeup());
  now_ = *engine_->next_wakeup();
  const EngineOutput again = step(Tick{});
  ASSERT_TRUE(again.persist);
  EXPECT_EQ(again.persist->state.pools[0].owner, kPartner);
}

TEST_F(EngineContract, takes_unknown_for_not_confirmed) {
  settle();
  step(Durable{verdict(Verdict::unreachable).persist->generation});
  EngineOutput answer = step(FenceDone{{FenceResult::unknown, "ipmi", "no answer", Duration{}}});
  EXPECT_EQ(state(), PoolState::fencing);
  EXPECT_FALSE(answer.persist);
  now_ += seconds(1);
  EXPECT_EQ(count<StartFence>(step(Tick{})), 1);
  answer = step(FenceDone{{FenceResult::failed, "ipmi", "refused", Duration{}}});
  EXPECT_EQ(state(), PoolState::elsewhere) << "no attempt is left";
  EXPECT_FALSE(engine_->node_reason().empty());
  now_ += seconds(60);
  EXPECT_EQ(count<StartFence>(step(Tick{})), 0) << "not again before something changes";
}

TEST_F(EngineContract, ignores_the_answer_of_a_fence_that_it_did_not_ask_for) {
  settle();
  const EngineOutput stray = step(FenceDone{{FenceResult::confirmed, "ipmi", "", Duration{}}});
  EXPECT_FALSE(stray.persist);
  EXPECT_EQ(state(), PoolState::elsewhere);
}

TEST_F(EngineContract, never_takes_a_pool_from_a_partner_that_only_boots_leaves_or_is_heard_elsewhere) {
  settle();
  for (const Verdict verdict_ : {Verdict::rebooted, Verdict::leaving, Verdict::interconnect_lost, Verdict::unknown,
                                 Verdict::unproven, Verdict::alive}) {
    verdict(verdict_);
    now_ += seconds(3600);
    EXPECT_EQ(count<StartFence>(step(Tick{})), 0) << heartbeat::text_of(verdict_);
    EXPECT_EQ(state(), PoolState::elsewhere) << heartbeat::text_of(verdict_);
  }
}

TEST_F(EngineContract, asks_for_no_wakeup_that_has_passed_where_it_may_not_act) {
  settle();
  OperatorCommand stop;
  step(ShutdownAsked{});  // this node takes nothing any more
  verdict(Verdict::agent_hung);
  now_ += seconds(60);
  step(Tick{});
  const auto due = engine_->next_wakeup();
  EXPECT_TRUE(!due || *due > now_);
}

TEST_F(EngineContract, touches_nothing_with_a_record_that_cannot_be_read) {
  const EngineOutput started = step(Started{std::nullopt, "state: the checksum does not match", boot_});
  EXPECT_TRUE(started.commands.empty());
  EXPECT_FALSE(started.persist);
  EXPECT_EQ(engine_->node_state(), NodeState::offline);
  EXPECT_NE(engine_->node_reason().text().find("hapair reset-state"), std::string::npos);
  verdict(Verdict::unreachable);
  now_ += seconds(60);
  EXPECT_TRUE(step(Tick{}).commands.empty());
  OperatorCommand takeover;
  const EngineOutput refused = step(takeover);
  ASSERT_TRUE(refused.reply);
  EXPECT_FALSE(refused.reply->accepted);
}

TEST_F(EngineContract, discards_an_unreadable_record_when_the_operator_says_so_and_looks_what_runs) {
  step(Started{std::nullopt, "state: the checksum does not match", boot_});
  OperatorCommand reset;
  reset.kind = OperatorCommand::Kind::reset_record;
  reset.by = "root";
  const EngineOutput output = step(reset);
  ASSERT_TRUE(output.reply);
  EXPECT_TRUE(output.reply->accepted);
  EXPECT_EQ(count<DiscardRecord>(output), 1);
  ASSERT_EQ(count<RunResource>(output), 1);
  EXPECT_EQ(engine_->node_state(), NodeState::joining);
}

TEST_F(EngineContract, numbers_decisions_above_those_of_earlier_lives) {
  const EngineOutput started = step(Started{std::nullopt, std::nullopt, boot_});
  ASSERT_FALSE(started.records.empty());
  EXPECT_GE(started.records.front().decision, 40U);
}

TEST_F(EngineContract, counts_the_rows_that_were_taken) {
  settle();
  EXPECT_EQ(engine_->rows_taken().size(), transitions().size());
  EXPECT_GT(std::ranges::count_if(engine_->rows_taken(), [](std::uint64_t taken) { return taken > 0; }), 0);
}

// The partner, which serves its pool in its first life, is seen in `life` of its kernel.
class EngineSeesReboot : public EngineContract {
 protected:
  static BootId life(std::uint8_t number) {
    BootId id;
    id.bytes[0] = 0xb0;
    id.bytes[1] = number;
    return id;
  }
  EngineOutput seen(std::uint8_t number, ccm::BootPhase phase) {
    now_ += milliseconds(10);
    return step(PartnerSeen{{now_, life(number), phase}});
  }
  EngineOutput block(std::uint8_t number, PoolOwner owner, PoolState state, PoolRequest request) {
    PublishedView view;
    view.pools.push_back(
        {kPool, Epoch(owner == PoolOwner::nobody ? 0 : 3), Epoch(), owner, state, request, false, false});
    return step(PartnerBlock{write_block(view, ++partner_serial_, 10U + number, 0, 0, 0), life(number)});
  }
  void settle_with_boot() {
    step(Started{std::nullopt, std::nullopt, boot_});
    probed(ActionOutcome::not_running);
    seen(1, ccm::BootPhase::storage_active);
    verdict(Verdict::alive);
    const EngineOutput out = block(1, PoolOwner::publisher, PoolState::serving, PoolRequest::none);
    ASSERT_TRUE(out.persist);
    EXPECT_EQ(out.persist->state.pools[0].partner_boot, life(1));
    step(Durable{out.persist->generation});
    ASSERT_EQ(state(), PoolState::elsewhere);
  }
  bool answered(std::uint8_t number) { return engine_->block().saw_partner_life == 10U + number; }
};

TEST_F(EngineSeesReboot, takes_the_pool_only_on_a_page_read_after_the_claim_is_durable_and_fences_nobody) {
  settle_with_boot();
  seen(2, ccm::BootPhase::early);
  const EngineOutput claim = verdict(Verdict::rebooted);
  ASSERT_EQ(state(), PoolState::claiming);
  ASSERT_TRUE(claim.persist);
  EXPECT_TRUE(engine_->wants_sighting());
  seen(2, ccm::BootPhase::early);
  EXPECT_EQ(state(), PoolState::claiming) << "the claim is not on disk yet";
  now_ += milliseconds(1);
  const EngineOutput durable = step(Durable{claim.persist->generation});
  EXPECT_EQ(count<StartFence>(durable), 0);
  EXPECT_EQ(state(), PoolState::claiming);
  const EngineOutput taken = seen(2, ccm::BootPhase::early);
  EXPECT_EQ(state(), PoolState::acquiring);
  ASSERT_TRUE(taken.persist);
  EXPECT_EQ(taken.persist->state.pools[0].owner, kSelf);
  EXPECT_FALSE(taken.persist->state.pools[0].partner_boot.known());
}

TEST_F(EngineSeesReboot, asks_for_a_fence_after_all_where_the_partner_is_not_seen_again) {
  settle_with_boot();
  seen(2, ccm::BootPhase::early);
  const EngineOutput claim = verdict(Verdict::rebooted);
  step(Durable{claim.persist->generation});
  now_ += milliseconds(40);
  EXPECT_EQ(count<StartFence>(verdict(Verdict::unreachable)), 1);
  EXPECT_EQ(state(), PoolState::fencing);
}

TEST_F(EngineSeesReboot, claims_nothing_for_a_new_incarnation_in_the_same_life) {
  settle_with_boot();
  for (const auto phase : {ccm::BootPhase::early, ccm::BootPhase::root, ccm::BootPhase::unknown}) {
    seen(1, phase);
    verdict(Verdict::rebooted);
    EXPECT_EQ(state(), PoolState::elsewhere);
  }
}

TEST_F(EngineSeesReboot, answers_no_new_life_of_the_partner_before_its_record_names_it) {
  settle_with_boot();
  seen(2, ccm::BootPhase::root);
  verdict(Verdict::alive);
  const EngineOutput asked = block(2, PoolOwner::nobody, PoolState::asking, PoolRequest::answer);
  EXPECT_FALSE(answered(2));
  ASSERT_TRUE(asked.persist);
  EXPECT_EQ(asked.persist->state.pools[0].partner_boot, life(2));
  step(Durable{asked.persist->generation});
  EXPECT_TRUE(answered(2));
}

TEST_F(EngineSeesReboot, answers_nothing_while_an_older_life_is_still_on_its_way_to_the_disk) {
  step(Started{std::nullopt, std::nullopt, boot_});
  probed(ActionOutcome::not_running);
  verdict(Verdict::alive);
  const EngineOutput first = block(1, PoolOwner::publisher, PoolState::serving, PoolRequest::none);
  ASSERT_TRUE(first.persist);
  seen(2, ccm::BootPhase::root);
  block(2, PoolOwner::nobody, PoolState::asking, PoolRequest::answer);
  EXPECT_FALSE(answered(2));
  const EngineOutput second = step(Durable{first.persist->generation});
  EXPECT_FALSE(answered(2));
  ASSERT_TRUE(second.persist);
  step(Durable{second.persist->generation});
  EXPECT_TRUE(answered(2));
}

TEST_F(EngineSeesReboot, forgets_the_partners_life_when_its_own_kernel_booted) {
  DurableState old;
  old.boot_id.bytes[0] = 99;
  PoolDurable entry;
  entry.pool = kPool;
  entry.owner = kPartner;
  entry.epoch = Epoch(3);
  entry.partner_boot = life(1);
  old.pools = {entry};
  step(Started{old, std::nullopt, boot_});
  probed(ActionOutcome::not_running);
  seen(2, ccm::BootPhase::early);
  verdict(Verdict::rebooted);
  EXPECT_EQ(state(), PoolState::unsettled) << "it asks; it takes nothing on what it knew before it was away";
}

TEST_F(EngineSeesReboot, tells_once_that_a_boot_stalls_and_once_that_it_goes_on) {
  settle_with_boot();
  heartbeat::Assessment assessment;
  assessment.verdict = Verdict::alive;
  assessment.since = engine_->assessment().since;
  assessment.stalled = heartbeat::PhaseStall{life(1), ccm::BootPhase::storage_starting, seconds(61), seconds(60)};
  const auto kinds = [](const EngineOutput& out) {
    std::string all;
    for (const Record& record : out.records) all += record.kind + " ";
    return all;
  };
  EXPECT_EQ(kinds(step(PartnerAssessed{assessment})), "phase-stalled ");
  EXPECT_EQ(kinds(step(PartnerAssessed{assessment})), "");
  assessment.stalled.reset();
  EXPECT_EQ(kinds(step(PartnerAssessed{assessment})), "phase-moved-on ");
}

class EngineObeys : public EngineContract {
 protected:
  CommandReply command(OperatorCommand::Kind kind) {
    OperatorCommand command{.kind = kind, .by = "root"};
    command.partner = "b";
    command.what = what_;
    command.reason = reason_;
    command.length = length_;
    return step(command).reply.value_or(CommandReply{});
  }
  std::vector<InhibitionReport> inhibitions() { return engine_->inhibitions(now_); }

  Inhibited what_ = Inhibited::takeover;
  std::string reason_ = "new cables";
  std::optional<std::chrono::seconds> length_;
};

TEST_F(EngineObeys, no_word_that_the_partner_is_down_while_this_node_is_strained) {
  settle();
  step(LocalStrained{{heartbeat::StrainCause::memory, 2, 1.0, "waited for memory"}});
  verdict(Verdict::unreachable);
  now_ += seconds(60);
  const CommandReply refused = command(OperatorCommand::Kind::confirm_down);
  EXPECT_FALSE(refused.accepted);
  EXPECT_NE(refused.text.find("waited for memory"), std::string::npos) << refused.text;
  step(LocalStrained{});
  EXPECT_TRUE(command(OperatorCommand::Kind::confirm_down).accepted);
}

TEST_F(EngineObeys, no_word_that_the_partner_is_down_once_it_was_seen_again) {
  settle();
  verdict(Verdict::unreachable);
  now_ += seconds(60);
  EXPECT_TRUE(command(OperatorCommand::Kind::confirm_down).accepted);
  verdict(Verdict::alive);
  now_ += seconds(1);
  const EngineOutput down = verdict(Verdict::unreachable);
  ASSERT_TRUE(down.persist || state() == PoolState::claiming);
  EXPECT_EQ(count<StartFence>(step(Durable{UINT64_MAX})), 1) << "it was about the silence before";
}

TEST_F(EngineObeys, counts_a_claim_that_was_withdrawn_as_no_fence) {
  settle();
  for (int i = 0; i < 10; ++i) {
    const EngineOutput down = verdict(Verdict::unreachable);
    ASSERT_TRUE(down.persist);
    EXPECT_EQ(down.persist->state.fences.size(), 1U) << "it is on disk before the fence is asked for";
    const EngineOutput back = verdict(Verdict::alive);
    step(Durable{UINT64_MAX});
    step(Tick{});
    step(Durable{UINT64_MAX});
    ASSERT_EQ(state(), PoolState::elsewhere) << i;
  }
  const EngineOutput down = verdict(Verdict::unreachable);
  ASSERT_TRUE(down.persist);
  EXPECT_EQ(down.persist->state.fences.size(), 1U);
}

class EngineRemembers : public EngineObeys {
 protected:
  // A record of the same boot, or of another one.
  DurableState kept(bool same_boot) {
    DurableState kept;
    kept.boot_id = boot_;
    if (!same_boot) kept.boot_id.bytes[0] = 77;
    kept.pools.push_back(
        {.pool = kPool, .epoch = Epoch(3), .owner = kPartner, .claim = {}, .partner_boot = {}, .held = false});
    return kept;
  }
  void start(const DurableState& kept, WallTime wall) {
    engine_->tell_wall(now_, wall);
    if (const auto out = step(Started{kept, std::nullopt, boot_}); out.persist) step(Durable{out.persist->generation});
    probed(ActionOutcome::not_running);
    if (state() != PoolState::elsewhere) {
      verdict(Verdict::alive);
      if (const auto out = partner_serves(3); out.persist) step(Durable{out.persist->generation});
    }
    ASSERT_EQ(state(), PoolState::elsewhere);
  }
  const WallTime wall_ = std::chrono::hours(1000);
};

TEST_F(EngineRemembers, the_fences_of_earlier_lives_of_the_agent_until_the_window_is_over) {
  DurableState record = kept(true);
  // The wall clock was set since: it counts for nothing in the same boot.
  for (const int ago : {60, 30, 10}) record.fences.push_back({WallTime(5), now_ - seconds(ago)});
  start(record, wall_);
  const EngineOutput down = verdict(Verdict::unreachable);
  EXPECT_EQ(state(), PoolState::elsewhere);
  EXPECT_TRUE(std::ranges::any_of(down.records, [](const Record& r) { return r.kind == "fence-limit"; }));
  EXPECT_FALSE(engine_->node_reason().empty());
  verdict(Verdict::alive);
  now_ += std::chrono::hours(1);
  verdict(Verdict::unreachable);
  EXPECT_EQ(state(), PoolState::claiming);
}

TEST_F(EngineRemembers, the_fences_of_an_earlier_boot_by_the_wall_clock_and_none_in_the_future) {
  DurableState record = kept(false);
  record.fences = {{wall_ - seconds(60), now_}, {wall_ - seconds(30), now_}, {wall_ + seconds(99), now_}};
  start(record, wall_);
  verdict(Verdict::unreachable);
  EXPECT_EQ(state(), PoolState::elsewhere);
  verdict(Verdict::alive);
  now_ += std::chrono::hours(1);
  verdict(Verdict::unreachable);
  EXPECT_EQ(state(), PoolState::claiming);
}

TEST_F(EngineRemembers, no_fence_of_hours_ago) {
  DurableState record = kept(false);
  record.fences.assign(kFencesKept, {wall_ - std::chrono::hours(2), now_});
  start(record, wall_);
  verdict(Verdict::unreachable);
  EXPECT_EQ(state(), PoolState::claiming);
}

Inhibition order(WallTime wall, WallTime length, Instant ends) {
  return {
      .on = true, .since = wall, .length = length, .until = wall + length, .ends = ends, .by = "root", .reason = "x"};
}

TEST_F(EngineRemembers, what_was_forbidden_and_lets_no_wrong_clock_make_it_longer) {
  DurableState record = kept(false);
  record.inhibitions[static_cast<std::size_t>(Inhibited::takeover)] = order(wall_, seconds(60), Instant(seconds(7)));
  record.inhibitions[static_cast<std::size_t>(Inhibited::giveback)] = order(wall_, WallTime(0), Instant());
  start(record, wall_ - std::chrono::hours(500));
  ASSERT_EQ(inhibitions().size(), 2U);
  EXPECT_EQ(inhibitions()[0].left, seconds(60));
  EXPECT_FALSE(inhibitions()[1].left);
  ASSERT_TRUE(engine_->next_wakeup());
  EXPECT_EQ(*engine_->next_wakeup(), now_ + seconds(60));
  now_ += seconds(60);
  const EngineOutput ended = step(Tick{});
  EXPECT_EQ(inhibitions().size(), 1U);
  ASSERT_TRUE(ended.persist);
  EXPECT_FALSE(ended.persist->state.inhibitions[0].on);
}

TEST_F(EngineRemembers, how_long_something_is_forbidden_whatever_the_wall_clock_does_in_the_same_boot) {
  DurableState record = kept(true);
  record.inhibitions[static_cast<std::size_t>(Inhibited::takeover)] = order(wall_, seconds(60), now_ + seconds(20));
  start(record, wall_ + std::chrono::hours(3));
  ASSERT_EQ(inhibitions().size(), 1U);
  EXPECT_EQ(inhibitions()[0].left, seconds(20));
}

class EngineSeesMaintenance : public EngineObeys {
 protected:
  EngineOutput partner_in_maintenance(std::uint32_t left_s) {
    PublishedView view;
    view.node_state = NodeState::maintenance;
    view.maintenance_left_s = left_s;
    view.pools.push_back(
        {kPool, Epoch(3), Epoch(), PoolOwner::publisher, PoolState::serving, PoolRequest::none, false, false, false});
    return step(PartnerBlock{write_block(view, ++partner_serial_, 9, 0, 0, 0)});
  }
  Duration left() { return inhibitions().at(0).left.value_or(Duration::max()); }
};

TEST_F(EngineSeesMaintenance, of_its_partner_as_long_as_that_tells_and_no_longer) {
  settle();
  partner_in_maintenance(7200);
  EXPECT_EQ(left(), seconds(7200));
  now_ += seconds(7150);
  partner_in_maintenance(60);
  EXPECT_EQ(left(), seconds(50)) << "what is left is told rounded up";
  partner_in_maintenance(7200);
  EXPECT_EQ(left(), seconds(7200)) << "the operator gave it another two hours";
  partner_in_maintenance(0);
  EXPECT_EQ(left(), Duration::max());
}

TEST_F(EngineSeesMaintenance, of_a_partner_whose_record_cannot_be_read_go_on) {
  settle();
  partner_in_maintenance(7200);
  PublishedView view;
  view.node_state = NodeState::offline;
  step(PartnerBlock{write_block(view, ++partner_serial_, 10, 0, 0, 0)});
  EXPECT_EQ(inhibitions().size(), 1U);
  partner_serves(3);
  EXPECT_TRUE(inhibitions().empty());
}

TEST_F(EngineObeys, publishes_how_long_its_maintenance_still_lasts) {
  settle();
  what_ = Inhibited::maintenance;
  length_ = seconds(150);
  command(OperatorCommand::Kind::inhibit);
  EXPECT_EQ(engine_->block().maintenance_left_s, 180U);
  now_ += seconds(30);
  ASSERT_TRUE(engine_->next_wakeup());
  EXPECT_EQ(*engine_->next_wakeup(), now_);
  EXPECT_TRUE(step(Tick{}).publish);
  EXPECT_EQ(engine_->block().maintenance_left_s, 120U);
  EXPECT_EQ(*engine_->next_wakeup(), now_ + seconds(60));
}

TEST_F(EngineObeys, only_with_a_reason_that_fits) {
  settle();
  reason_ = "";
  EXPECT_FALSE(command(OperatorCommand::Kind::inhibit).accepted);
  reason_ = std::string(kReasonBytes + 1, 'x');
  EXPECT_FALSE(command(OperatorCommand::Kind::inhibit).accepted);
  EXPECT_TRUE(inhibitions().empty());
  reason_ = std::string(kReasonBytes, 'x');
  length_ = seconds(30);
  EXPECT_TRUE(command(OperatorCommand::Kind::inhibit).accepted);
  ASSERT_EQ(inhibitions().size(), 1U);
  EXPECT_EQ(inhibitions()[0].left, seconds(30));
}

TEST_F(EngineObeys, warns_where_the_partner_may_not_learn_of_the_maintenance) {
  settle();
  what_ = Inhibited::maintenance;
  EXPECT_EQ(command(OperatorCommand::Kind::inhibit).text.find("may not learn"), std::string::npos);
  EXPECT_EQ(engine_->node_state(), NodeState::maintenance);
  verdict(Verdict::interconnect_lost);
  EXPECT_NE(command(OperatorCommand::Kind::inhibit).text.find("may not learn"), std::string::npos);
}

// A record that cannot be read is an operator's to decide on; whatever the partner shows meanwhile, nothing is written
// in its place.
TEST_F(EngineObeys, writes_no_record_in_place_of_one_that_cannot_be_read) {
  step(Started{std::nullopt, "state: the checksum does not match", boot_});
  verdict(Verdict::alive);
  PublishedView view;
  view.node_state = NodeState::maintenance;
  EXPECT_FALSE(step(PartnerBlock{write_block(view, 1, 9, 0, 0, 0)}).persist);
  EXPECT_FALSE(step(Tick{}).persist);
}

}  // namespace
}  // namespace hapair::agent
