#include <algorithm>

#include "tests/unit/agent/core/engine_rig.h"

namespace hapair::agent {
namespace {

// The rig's pool is at home at the partner; here this node serves it, or is about to.
class APoisonedEngine : public EngineContract {
 protected:
  static constexpr ccm::PoisonOrder kOrder{Incarnation(7), 1};

  EngineOutput poison(const ccm::PoisonOrder& order = kOrder) { return step(Poisoned{order}); }
  EngineOutput durable(const EngineOutput& of) {
    return step(Durable{of.persist.value_or(PersistRequest{}).generation});
  }
  EngineOutput stopped(ActionOutcome outcome = ActionOutcome::succeeded) {
    return step(ActionDone{{0, 0}, ResourceAction::stop, {outcome, 0, "", Duration{}}});
  }
  // It was this node's before its agent restarted, and runs.
  EngineOutput start_as_owner() {
    PoolDurable record;
    record.pool = kPool;
    record.epoch = Epoch(4);
    record.owner = kSelf;
    record.held = true;
    return step(Started{DurableState{.boot_id = boot_, .pools = {record}}, std::nullopt, boot_});
  }
  void serve() {
    start_as_owner();
    probed(ActionOutcome::succeeded);
    verdict(Verdict::alive);
    ASSERT_EQ(state(), PoolState::serving);
  }
  static const AnswerPoison* answer(const EngineOutput& output) {
    for (const Command& command : output.commands) {
      if (const auto* found = std::get_if<AnswerPoison>(&command)) return found;
    }
    return nullptr;
  }
};

TEST_F(APoisonedEngine, AnswersWhenEverythingIsStoppedAndTheRecordOnDiskHoldsNothing) {
  serve();
  const EngineOutput poisoned = poison();
  EXPECT_EQ(state(), PoolState::stopping);
  EXPECT_EQ(count<RunResource>(poisoned), 1);
  ASSERT_TRUE(poisoned.persist);
  EXPECT_FALSE(poisoned.persist->state.pools[0].held) << "an agent that comes after this one is not to resume it";
  EXPECT_FALSE(answer(stopped())) << "what was written is not known to be on disk";
  EXPECT_EQ(state(), PoolState::unsettled);
  const EngineOutput written = durable(poisoned);
  ASSERT_TRUE(answer(written));
  EXPECT_TRUE(answer(written)->obeyed);
  EXPECT_EQ(answer(written)->order, kOrder);
}

TEST_F(APoisonedEngine, DoesNotAnswerWhileAResourceRuns) {
  serve();
  EXPECT_FALSE(answer(durable(poison())));
  EXPECT_TRUE(answer(stopped()));
}

TEST_F(APoisonedEngine, ReleasesNothing) {
  serve();
  const EngineOutput poisoned = poison();
  stopped();
  durable(poisoned);
  EXPECT_FALSE(poisoned.persist->state.pools[0].released);
  EXPECT_EQ(state(), PoolState::unsettled);
}

TEST_F(APoisonedEngine, ObeysAnOrderThatStoodBeforeItStarted) {
  EXPECT_FALSE(answer(poison()));
  const EngineOutput started = start_as_owner();
  probed(ActionOutcome::succeeded);
  EXPECT_EQ(state(), PoolState::stopping) << "found running, and not resumed";
  stopped();
  EXPECT_TRUE(answer(durable(started)));
}

TEST_F(APoisonedEngine, WhereNothingRunsItAnswersAtOnceAndOncePerOrder) {
  settle();
  EXPECT_TRUE(answer(poison()));
  EXPECT_FALSE(answer(poison()));
  EXPECT_TRUE(answer(poison({Incarnation(7), 2})));
}

TEST_F(APoisonedEngine, WithdrawsItsClaimBeforeItAnswersAndNoFenceCountsForIt) {
  settle();
  now_ += seconds(1);
  const EngineOutput claims = verdict(Verdict::unreachable);
  ASSERT_EQ(state(), PoolState::claiming);
  durable(claims);
  ASSERT_EQ(state(), PoolState::fencing);
  const EngineOutput poisoned = poison();
  EXPECT_EQ(state(), PoolState::elsewhere);
  EXPECT_EQ(count<AbandonFence>(poisoned), 1);
  EXPECT_FALSE(answer(poisoned)) << "the claim is still on disk";
  step(FenceDone{FenceReport{.result = FenceResult::confirmed, .device = "ipmi", .reason = "", .took = {}}});
  EXPECT_EQ(state(), PoolState::elsewhere) << "no claim is begun, nor proved, before the answer";
  EXPECT_TRUE(answer(durable(poisoned)));
}

TEST_F(APoisonedEngine, ForgetsWhatThePartnerPublishedBefore) {
  settle();
  ASSERT_TRUE(engine_->partner());
  poison();
  EXPECT_FALSE(engine_->partner());
}

TEST_F(APoisonedEngine, SaysThatItCannotWhereAResourceDoesNotStopTwice) {
  serve();
  durable(poison());
  EXPECT_FALSE(answer(stopped(ActionOutcome::failed)));
  EXPECT_EQ(state(), PoolState::stopping) << "once more";
  const EngineOutput failed = stopped(ActionOutcome::failed);
  EXPECT_EQ(state(), PoolState::failed);
  ASSERT_TRUE(answer(failed));
  EXPECT_FALSE(answer(failed)->obeyed);
  EXPECT_FALSE(answer(step(Tick{}))) << "told once";
}

TEST_F(APoisonedEngine, SaysThatItCannotWhileItsRecordIsNotUsable) {
  step(Started{std::nullopt, "the checksum does not match", boot_});
  const EngineOutput poisoned = poison();
  ASSERT_TRUE(answer(poisoned));
  EXPECT_FALSE(answer(poisoned)->obeyed);
}

TEST_F(APoisonedEngine, TakesNoCommandThatBeginsATakeoverBeforeTheAnswer) {
  serve();
  poison();
  const EngineOutput refused =
      step(OperatorCommand{.kind = OperatorCommand::Kind::takeover, .pools = {0}, .force = true});
  ASSERT_TRUE(refused.reply);
  EXPECT_FALSE(refused.reply->accepted);
  EXPECT_NE(refused.reply->text.find("poisons this node"), std::string::npos) << refused.reply->text;
}

TEST_F(APoisonedEngine, GoesOnWhenNobodyWaitsForItsAnswerAnyMore) {
  serve();
  durable(poison());
  stopped(ActionOutcome::failed);
  stopped(ActionOutcome::failed);
  ASSERT_TRUE(engine_->node_reason().why.contains("poisons")) << engine_->node_reason().why;
  step(PoisonOver{{Incarnation(7), 2}});
  EXPECT_TRUE(engine_->node_reason().why.contains("poisons")) << "that is another order";
  step(PoisonOver{kOrder});
  EXPECT_FALSE(engine_->node_reason().why.contains("poisons"));
  EXPECT_FALSE(answer(step(Tick{})));
}

// The CCM restarted, or this agent lost it: what was said there is known to nobody.
TEST_F(APoisonedEngine, ObeysAndAnswersAnOrderAgainThatIsToldAgain) {
  settle();
  ASSERT_TRUE(answer(poison()));
  EXPECT_FALSE(answer(poison()));
  step(PoisonOver{kOrder});
  EXPECT_TRUE(answer(poison()));
}

TEST_F(APoisonedEngine, SaysThatItCannotWhereItStartedAPoolThatItsConfigurationNoLongerHas) {
  PoolDurable record;
  record.pool = *PoolName::parse("taken-out");
  record.epoch = Epoch(4);
  record.owner = kSelf;
  record.held = true;
  step(Started{DurableState{.boot_id = boot_, .pools = {record}}, std::nullopt, boot_});
  probed(ActionOutcome::not_running);
  const EngineOutput poisoned = poison();
  ASSERT_TRUE(answer(poisoned));
  EXPECT_FALSE(answer(poisoned)->obeyed);
}

// The claim's epoch is on its way to the disk; that it comes there starts nothing any more.
TEST_F(APoisonedEngine, StartsNothingOfWhatItWasAboutToTake) {
  settle();
  PublishedView view;
  view.pools.push_back(
      {kPool, Epoch(3), Epoch(), PoolOwner::publisher, PoolState::released, PoolRequest::none, true, false});
  const EngineOutput takes = step(PartnerBlock{write_block(view, ++partner_serial_, 9, 0, 0, 0), {}, {}});
  ASSERT_EQ(state(), PoolState::acquiring);
  poison();
  EXPECT_EQ(state(), PoolState::unsettled);
  const EngineOutput written = durable(takes);
  EXPECT_EQ(state(), PoolState::unsettled);
  EXPECT_EQ(count<RunResource>(written), 0);
  EXPECT_FALSE(answer(written)) << "the record on disk holds it";
  ASSERT_TRUE(written.persist);
  EXPECT_FALSE(written.persist->state.pools[0].held);
  EXPECT_TRUE(answer(durable(written)));
}

// The other side: what a fence that the partner itself confirmed means.
TEST_F(APoisonedEngine, TakesAPoolByThePartnersAnswerWhileItIsSeenToRun) {
  settle();
  const EngineOutput claims =
      step(OperatorCommand{.kind = OperatorCommand::Kind::takeover, .pools = {0}, .force = true});
  durable(claims);
  ASSERT_EQ(state(), PoolState::fencing);
  step(FenceDone{
      FenceReport{.result = FenceResult::confirmed, .device = "rails", .reason = "", .took = {}, .by_partner = true}});
  EXPECT_EQ(state(), PoolState::acquiring);
  EXPECT_TRUE(engine_->partner()) << "it goes on, and so does its page";
}

TEST_F(APoisonedEngine, DoesNotCountTheAnswerOfAPartnerThatIsConfiguredOtherwise) {
  settle();
  partner_config_hash_ = 1;
  partner_serves(3);
  const EngineOutput claims =
      step(OperatorCommand{.kind = OperatorCommand::Kind::takeover, .pools = {0}, .force = true});
  durable(claims);
  ASSERT_EQ(state(), PoolState::fencing);
  step(FenceDone{
      FenceReport{.result = FenceResult::confirmed, .device = "rails", .reason = "", .took = {}, .by_partner = true}});
  EXPECT_EQ(state(), PoolState::fencing);
}

TEST_F(APoisonedEngine, DoubtsADeviceThatSaysSoOfOneThatIsSeenToRun) {
  settle();
  const EngineOutput claims =
      step(OperatorCommand{.kind = OperatorCommand::Kind::takeover, .pools = {0}, .force = true});
  durable(claims);
  step(FenceDone{FenceReport{.result = FenceResult::confirmed, .device = "ipmi", .reason = "", .took = {}}});
  EXPECT_EQ(state(), PoolState::fencing);
}

}  // namespace
}  // namespace hapair::agent
