// What a scenario cannot show: the contract of the engine with the shell around it. The flows of two nodes are in
// tests/scenario.
#include <algorithm>

#include "tests/unit/agent/core/engine_rig.h"

namespace hapair::agent {
namespace {

TEST_F(EngineContract, asks_for_the_fence_only_after_it_was_told_that_the_claim_is_durable) {
  settle();
  const EngineOutput down = verdict(Verdict::unreachable);
  ASSERT_TRUE(down.persist);
  EXPECT_GT(down.persist->state.pools[0].claim, Epoch(3));
  EXPECT_EQ(count<StartFence>(down), 0);
  EXPECT_EQ(count<StartFence>(step(Tick{})), 0);
  EXPECT_EQ(count<StartFence>(step(Durable{down.persist->generation})), 1);
}

TEST_F(EngineContract, says_of_a_pool_whose_claim_may_be_withdrawn_when_it_is_claimed_again) {
  settle();
  const EngineOutput down = verdict(Verdict::unreachable);
  step(Durable{down.persist->generation});
  ASSERT_EQ(state(), PoolState::fencing);
  const EngineOutput gone = verdict(Verdict::ccm_gone);
  const auto told =
      std::ranges::find_if(gone.records, [](const Record& record) { return record.kind == "implication"; });
  ASSERT_NE(told, gone.records.end());
  EXPECT_EQ(told->text.find("only by an operator"), std::string::npos) << told->text;
}

TEST_F(EngineContract, with_its_own_link_down_lets_a_partner_that_may_be_well_go_first) {
  settle();
  heartbeat::Assessment blind;
  blind.verdict = Verdict::unreachable;
  blind.since = now_;
  blind.own_link_down = true;
  step(PartnerAssessed{blind});
  EXPECT_EQ(state(), PoolState::elsewhere);
  const Instant claims_at = now_ + seconds(2);
  while (now_ < claims_at) {  // it wakes in between to publish that it does not hear the partner
    EXPECT_EQ(state(), PoolState::elsewhere);
    const auto wakeup = engine_->next_wakeup();
    ASSERT_TRUE(wakeup && *wakeup > now_ && *wakeup <= claims_at);
    now_ = *wakeup;
    step(Tick{});
  }
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
  // That it was seen is no answer: that is what was published last of it.
  bool answered(std::uint8_t number) {
    const ccm::AgentBlockLayout block = engine_->block();
    return block.saw_partner_life == 10U + number && block.saw_partner_serial != 0;
  }
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

TEST_F(EngineSeesReboot, says_that_it_hears_nothing_also_when_it_remembers_nothing_of_the_partner) {
  settle_with_boot();
  EXPECT_EQ(engine_->block().saw_partner_life, 11U);
  seen(2, ccm::BootPhase::early);
  verdict(Verdict::unreachable);
  now_ += seconds(1);
  EXPECT_TRUE(step(Tick{}).publish);
  EXPECT_EQ(engine_->block().saw_partner_life, 0U);
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

}  // namespace
}  // namespace hapair::agent
