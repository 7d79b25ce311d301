// Arbiter pacemaker: what the cluster wants of a pool, step by step.
#include <algorithm>

#include "tests/unit/agent/core/engine_rig.h"

namespace hapair::agent {
namespace {

class EngineFollows : public EngineContract {
 protected:
  EngineFollows() {
    EngineConfig config = engine_->config();
    config.policy.cluster_decides = true;
    config.policy.automatic_takeover = config.policy.automatic_giveback = false;
    config.policy.hand_over_at_shutdown = config.policy.fences = false;
    engine_.emplace(config);
  }

  CommandReply order(OperatorCommand::Kind kind, std::optional<std::chrono::seconds> length = {}) {
    OperatorCommand command{.kind = kind, .pools = {0}, .by = "root"};
    command.length = length;
    const EngineOutput out = step(command);
    last_ = out;
    return out.reply.value_or(CommandReply{});
  }
  EngineOutput partner_is(PoolState state, PoolOwner owner, bool released = false) {
    PublishedView view;
    view.node_state = NodeState::standby;
    view.pools.push_back({kPool, Epoch(3), Epoch(), owner, state, PoolRequest::none, released, false});
    return step(PartnerBlock{write_block(view, ++partner_serial_, 9, partner_config_hash_, 0, 0)});
  }
  EngineOutput durable() { return step(Durable{UINT64_MAX}); }
  [[nodiscard]] bool ordered() const { return engine_->pool_report(0).ordered; }

  EngineOutput last_;
};

TEST_F(EngineFollows, takes_nothing_by_itself_from_a_partner_that_is_dead) {
  settle();
  verdict(Verdict::unreachable);
  now_ += seconds(3600);
  const EngineOutput out = step(Tick{});
  EXPECT_FALSE(out.persist);
  EXPECT_EQ(count<StartFence>(out), 0);
  EXPECT_EQ(state(), PoolState::elsewhere);
}

TEST_F(EngineFollows, an_order_where_the_partner_is_not_heard_is_the_proof_once_its_claim_is_durable) {
  settle();
  verdict(Verdict::unreachable);
  ASSERT_TRUE(order(OperatorCommand::Kind::promote).accepted);
  ASSERT_TRUE(last_.persist);
  EXPECT_EQ(last_.persist->state.pools[0].claim, Epoch(5)) << "odd, as the first of the two names has them";
  EXPECT_EQ(state(), PoolState::claiming);
  const EngineOutput claimed = durable();
  EXPECT_EQ(count<StartFence>(claimed), 0) << "the cluster fences";
  EXPECT_EQ(state(), PoolState::acquiring);
  const EngineOutput acquired = durable();
  EXPECT_EQ(count<RunResource>(acquired), 1);
  EXPECT_EQ(state(), PoolState::starting);
}

TEST_F(EngineFollows, no_order_counts_against_a_partner_that_says_that_it_serves) {
  settle();
  ASSERT_TRUE(order(OperatorCommand::Kind::promote).accepted) << "it is carried out when the partner has let it go";
  for (int i = 0; i < 20; ++i) {
    now_ += seconds(1);
    EXPECT_FALSE(partner_serves(3).persist);
    EXPECT_EQ(state(), PoolState::elsewhere);
  }
  const EngineOutput offered = partner_is(PoolState::released, PoolOwner::publisher, true);
  EXPECT_TRUE(offered.persist);
  EXPECT_EQ(state(), PoolState::acquiring);
}

TEST_F(EngineFollows, no_order_counts_against_a_kernel_that_runs_and_may_have_the_pool) {
  for (const Verdict runs : {Verdict::agent_hung, Verdict::hung, Verdict::ccm_gone, Verdict::ccm_restarted}) {
    engine_.emplace(EngineConfig(engine_->config()));
    partner_serial_ = 0;
    settle();
    verdict(runs);
    ASSERT_TRUE(order(OperatorCommand::Kind::promote).accepted);
    EXPECT_FALSE(last_.persist) << heartbeat::text_of(runs);
    EXPECT_EQ(state(), PoolState::elsewhere) << heartbeat::text_of(runs);
    const EngineOutput fenced = verdict(Verdict::unreachable);
    EXPECT_TRUE(fenced.persist) << "the cluster's fence is seen";
    EXPECT_EQ(state(), PoolState::claiming);
  }
}

TEST_F(EngineFollows, a_claim_is_withdrawn_with_its_order) {
  settle();
  verdict(Verdict::unreachable);
  order(OperatorCommand::Kind::promote);
  ASSERT_EQ(state(), PoolState::claiming);
  order(OperatorCommand::Kind::demote);
  EXPECT_EQ(state(), PoolState::elsewhere);
  durable();
  durable();
  EXPECT_EQ(state(), PoolState::elsewhere);
  EXPECT_EQ(engine_->pool_report(0).claim, Epoch());
}

TEST_F(EngineFollows, a_claim_is_withdrawn_when_the_partner_is_heard_again) {
  settle();
  verdict(Verdict::unreachable);
  order(OperatorCommand::Kind::promote);
  verdict(Verdict::alive);
  partner_serves(3);
  durable();
  durable();
  EXPECT_EQ(state(), PoolState::elsewhere) << "it serves on, and says so";
}

TEST_F(EngineFollows, an_order_that_nothing_came_of_counts_no_more_when_its_time_is_over) {
  settle();
  verdict(Verdict::agent_hung);
  order(OperatorCommand::Kind::promote, seconds(30));
  now_ += seconds(29);
  step(Tick{});
  EXPECT_TRUE(ordered());
  ASSERT_EQ(engine_->next_wakeup(), now_ + seconds(1));
  now_ += seconds(1);
  step(Tick{});
  EXPECT_FALSE(ordered());
  const EngineOutput dead = verdict(Verdict::unreachable);
  EXPECT_FALSE(dead.persist) << "the cluster may want it elsewhere by now";
  EXPECT_EQ(state(), PoolState::elsewhere);
}

TEST_F(EngineFollows, what_is_the_partners_by_the_record_alone_is_asked_for) {
  settle();
  partner_is(PoolState::unsettled, PoolOwner::publisher);
  ASSERT_EQ(state(), PoolState::elsewhere);
  order(OperatorCommand::Kind::promote);
  EXPECT_EQ(state(), PoolState::requesting);
  partner_is(PoolState::released, PoolOwner::publisher, true);
  EXPECT_EQ(state(), PoolState::acquiring);
}

TEST_F(EngineFollows, what_runs_here_stops_when_it_is_not_ordered_any_more_and_is_offered_for_as_long_as_it_takes) {
  settle();
  order(OperatorCommand::Kind::promote);
  partner_is(PoolState::released, PoolOwner::publisher, true);
  durable();
  step(ActionDone{{0, 0}, ResourceAction::start, {ActionOutcome::succeeded, 0, "", Duration{}}});
  ASSERT_EQ(state(), PoolState::serving);
  order(OperatorCommand::Kind::demote);
  EXPECT_EQ(state(), PoolState::stopping);
  step(ActionDone{{0, 0}, ResourceAction::stop, {ActionOutcome::succeeded, 0, "", Duration{}}});
  durable();
  ASSERT_EQ(state(), PoolState::released);
  now_ += seconds(86400);
  step(Tick{});
  EXPECT_EQ(state(), PoolState::released);
}

TEST_F(EngineFollows, what_did_not_start_is_not_tried_again_before_the_next_order) {
  settle();
  order(OperatorCommand::Kind::promote);
  partner_is(PoolState::released, PoolOwner::publisher, true);
  durable();
  step(ActionDone{{0, 0}, ResourceAction::start, {ActionOutcome::failed, 1, "no disk", Duration{}}});
  EXPECT_EQ(state(), PoolState::stopping);
  EXPECT_FALSE(ordered());
  step(ActionDone{{0, 0}, ResourceAction::stop, {ActionOutcome::succeeded, 0, "", Duration{}}});
  durable();
  EXPECT_EQ(state(), PoolState::released);
  partner_is(PoolState::unsettled, PoolOwner::reader);
  EXPECT_EQ(state(), PoolState::released);
  order(OperatorCommand::Kind::promote);
  EXPECT_EQ(state(), PoolState::asking);
}

TEST_F(EngineFollows, an_agent_that_restarts_goes_on_with_what_it_was_ordered_to_serve) {
  DurableState kept;
  kept.boot_id = boot_;
  kept.pools.push_back(
      {.pool = kPool, .epoch = Epoch(4), .owner = kSelf, .claim = {}, .partner_boot = {}, .held = true});
  step(Started{kept, std::nullopt, boot_});
  probed(ActionOutcome::succeeded);
  EXPECT_EQ(state(), PoolState::serving);
  EXPECT_TRUE(ordered());
}

TEST_F(EngineFollows, no_operator_decides_where_the_cluster_does) {
  settle();
  for (const auto kind : {OperatorCommand::Kind::takeover, OperatorCommand::Kind::giveback,
                          OperatorCommand::Kind::inhibit, OperatorCommand::Kind::confirm_down}) {
    const CommandReply reply = order(kind);
    EXPECT_FALSE(reply.accepted);
    EXPECT_NE(reply.text.find("Pacemaker decides here"), std::string::npos) << reply.text;
  }
  EXPECT_TRUE(order(OperatorCommand::Kind::allow).accepted ||
              last_.reply->text.find("Pacemaker decides") == std::string::npos)
      << "what was forbidden before can be allowed";
}

TEST_F(EngineFollows, a_demote_while_it_is_looked_at_what_runs_counts_when_that_is_known) {
  DurableState kept;
  kept.boot_id = boot_;
  kept.pools.push_back(
      {.pool = kPool, .epoch = Epoch(4), .owner = kSelf, .claim = {}, .partner_boot = {}, .held = true});
  step(Started{kept, std::nullopt, boot_});
  ASSERT_TRUE(order(OperatorCommand::Kind::demote).accepted);
  ASSERT_EQ(state(), PoolState::probing);
  probed(ActionOutcome::succeeded);
  EXPECT_EQ(state(), PoolState::stopping);
  EXPECT_FALSE(ordered());
}

TEST_F(EngineFollows, what_an_earlier_agent_was_stopping_is_not_started_again_but_released) {
  DurableState kept;
  kept.boot_id = boot_;
  kept.pools.push_back(
      {.pool = kPool, .epoch = Epoch(4), .owner = kSelf, .claim = {}, .partner_boot = {}, .held = true});
  step(Started{kept, std::nullopt, boot_});
  probed(ActionOutcome::not_running);
  ASSERT_EQ(state(), PoolState::releasing);
  EXPECT_TRUE(engine_->pool_report(0).may_be_held) << "the disk says so still";
  durable();
  EXPECT_EQ(state(), PoolState::released);
  EXPECT_FALSE(engine_->pool_report(0).may_be_held);
}

TEST_F(EngineFollows, two_that_are_ordered_at_once_ask_in_turn) {
  step(Started{std::nullopt, std::nullopt, boot_});
  probed(ActionOutcome::not_running);
  verdict(Verdict::alive);
  partner_is(PoolState::asking, PoolOwner::nobody);
  order(OperatorCommand::Kind::promote);
  EXPECT_NE(state(), PoolState::asking) << "the home node's question goes first";
  partner_is(PoolState::unsettled, PoolOwner::nobody);
  EXPECT_EQ(state(), PoolState::asking);
}

TEST_F(EngineFollows, what_it_released_once_it_releases_again) {
  settle();
  order(OperatorCommand::Kind::promote);
  partner_is(PoolState::released, PoolOwner::publisher, true);
  durable();
  step(ActionDone{{0, 0}, ResourceAction::start, {ActionOutcome::failed, 1, "no disk", Duration{}}});
  step(ActionDone{{0, 0}, ResourceAction::stop, {ActionOutcome::succeeded, 0, "", Duration{}}});
  durable();
  ASSERT_EQ(state(), PoolState::released);
  order(OperatorCommand::Kind::promote);
  partner_is(PoolState::unsettled, PoolOwner::reader);
  ASSERT_EQ(state(), PoolState::asking);
  order(OperatorCommand::Kind::demote);
  ASSERT_EQ(state(), PoolState::elsewhere);
  PublishedView view;
  view.node_state = NodeState::standby;
  view.pools.push_back(
      {kPool, Epoch(3), Epoch(), PoolOwner::reader, PoolState::requesting, PoolRequest::hand_over, false, false});
  step(PartnerBlock{write_block(view, ++partner_serial_, 9, partner_config_hash_, 0, 0)});
  EXPECT_EQ(state(), PoolState::releasing);
}

TEST_F(EngineFollows, no_agent_that_is_offline_or_has_not_spoken_is_taken_for_one_that_has_nothing) {
  settle();
  PublishedView view;
  view.node_state = NodeState::offline;
  view.pools.push_back(
      {kPool, Epoch(), Epoch(), PoolOwner::nobody, PoolState::probing, PoolRequest::none, false, false});
  step(PartnerBlock{write_block(view, ++partner_serial_, 9, partner_config_hash_, 0, 0)});
  verdict(Verdict::agent_hung);
  order(OperatorCommand::Kind::promote);
  EXPECT_FALSE(last_.persist);
  now_ += seconds(3600);
  EXPECT_FALSE(step(Tick{}).persist);
  EXPECT_NE(state(), PoolState::claiming);
}

TEST_F(EngineFollows, an_epoch_that_cannot_be_is_refused) {
  settle();
  OperatorCommand command{.kind = OperatorCommand::Kind::promote, .pools = {0}, .by = "root"};
  command.above = Epoch(UINT64_MAX - 1);
  const CommandReply reply = step(command).reply.value_or(CommandReply{});
  EXPECT_FALSE(reply.accepted);
  EXPECT_NE(reply.text.find("hapair-epoch-pool-b"), std::string::npos) << reply.text;
}

TEST_F(EngineFollows, claims_within_reach_of_what_the_cluster_could_keep_before_there_was_a_claim) {
  for (std::uint64_t kept = 0; kept < 7; ++kept) {
    engine_.emplace(EngineConfig(engine_->config()));
    partner_serial_ = 0;
    settle();
    verdict(Verdict::unreachable);
    const std::uint64_t known = std::max<std::uint64_t>(kept, engine_->pool_report(0).highest.value());
    OperatorCommand command{.kind = OperatorCommand::Kind::promote, .pools = {0}, .by = "root"};
    command.above = Epoch(kept);
    const EngineOutput out = step(command);
    ASSERT_TRUE(out.persist);
    EXPECT_GT(out.persist->state.pools[0].claim.value(), known);
    EXPECT_LE(out.persist->state.pools[0].claim.value(), known + kClaimReach);
  }
}

TEST_F(EngineFollows, maintenance_of_before_is_over) {
  DurableState kept;
  kept.boot_id = boot_;
  kept.pools.push_back({.pool = kPool, .epoch = {}, .owner = {}, .claim = {}, .partner_boot = {}});
  kept.inhibitions[static_cast<std::size_t>(Inhibited::maintenance)].on = true;
  step(Started{kept, std::nullopt, boot_});
  EXPECT_TRUE(engine_->inhibitions(now_).empty());
}

class EngineTellsTheCluster : public EngineFollows {
 protected:
  EngineTellsTheCluster() {
    EngineConfig config = engine_->config();
    config.policy.asks_for_fences = true;
    config.policy.takeover_hold = milliseconds(25);
    engine_.emplace(config);
  }
  static const TellCluster* told(const EngineOutput& output) {
    for (const Command& command : output.commands) {
      if (const auto* found = std::get_if<TellCluster>(&command)) return found;
    }
    return nullptr;
  }
};

TEST_F(EngineTellsTheCluster, to_fence_a_partner_that_has_a_pool_when_its_silence_has_lasted_and_once) {
  settle();
  EXPECT_EQ(told(verdict(Verdict::unreachable)), nullptr);
  EXPECT_EQ(engine_->next_wakeup(), now_ + milliseconds(25));
  now_ += milliseconds(25);
  const EngineOutput out = step(Tick{});
  ASSERT_NE(told(out), nullptr);
  EXPECT_EQ(told(out)->word, ClusterWord::fence);
  now_ += seconds(60);
  EXPECT_EQ(told(step(Tick{})), nullptr);
  verdict(Verdict::alive);
  verdict(Verdict::hung);
  now_ += milliseconds(25);
  EXPECT_NE(told(step(Tick{})), nullptr) << "another silence";
}

TEST_F(EngineTellsTheCluster, nothing_of_a_partner_that_has_no_pool_any_more) {
  settle();
  partner_is(PoolState::released, PoolOwner::publisher, true);
  order(OperatorCommand::Kind::promote);
  partner_is(PoolState::released, PoolOwner::publisher, true);
  durable();
  ASSERT_EQ(state(), PoolState::starting);
  verdict(Verdict::unreachable);
  now_ += seconds(60);
  EXPECT_EQ(told(step(Tick{})), nullptr) << "it may be switched off on purpose";
}

TEST_F(EngineTellsTheCluster,
       nothing_of_a_partner_that_it_has_never_seen_run_or_from_behind_a_link_of_its_own_that_is_down) {
  DurableState kept;
  kept.boot_id = boot_;
  kept.pools.push_back(
      {.pool = kPool, .epoch = Epoch(4), .owner = kPartner, .claim = {}, .partner_boot = {}, .held = false});
  step(Started{kept, std::nullopt, boot_});
  probed(ActionOutcome::not_running);
  verdict(Verdict::unreachable);
  now_ += seconds(60);
  EXPECT_EQ(told(step(Tick{})), nullptr);
  verdict(Verdict::alive);
  heartbeat::Assessment cut;
  cut.verdict = Verdict::unreachable;
  cut.since = now_;
  cut.own_link_down = true;
  step(PartnerAssessed{cut});
  now_ += seconds(60);
  EXPECT_EQ(told(step(Tick{})), nullptr);
}

TEST_F(EngineTellsTheCluster, to_look_for_a_partner_that_it_is_not_to_fence_by_this_nodes_word) {
  EngineConfig config = engine_->config();
  config.policy.asks_for_fences = false;
  config.policy.has_cluster_look = true;
  engine_.emplace(config);
  settle();
  verdict(Verdict::unreachable);
  now_ += milliseconds(25);
  const EngineOutput out = step(Tick{});
  ASSERT_NE(told(out), nullptr);
  EXPECT_EQ(told(out)->word, ClusterWord::look);
  const auto answer = [this](ClusterWord word, bool done) {
    const EngineOutput answered =
        step(ClusterTold{.word = word, .done = done, .said = done ? "" : "it says no", .took = milliseconds(40)});
    return answered.records.empty() ? "" : answered.records.front().text;
  };
  EXPECT_EQ(answer(ClusterWord::look, true),
            "Corosync looks for b since 40 ms: if it finds it, both stay as they are; if not, Pacemaker fences it");
  EXPECT_EQ(answer(ClusterWord::look, false),
            "Corosync could not be asked to look for b: it says no. It misses it by itself when its token is lost");
  EXPECT_EQ(answer(ClusterWord::fence, false),
            "the cluster could not be asked to fence b: it says no. It comes to it by itself when its token is "
            "lost");
  EXPECT_EQ(answer(ClusterWord::down, true), "the cluster knows that b is down, after 40 ms");
}

TEST_F(EngineTellsTheCluster, nothing_while_it_is_strained_itself) {
  settle();
  LocalStrained strained;
  strained.strain.cause = heartbeat::StrainCause::late;
  strained.strain.factor = 4;
  strained.strain.fact = "waited 300 ms";
  step(strained);
  verdict(Verdict::unreachable);
  now_ += seconds(1);
  EXPECT_EQ(told(step(Tick{})), nullptr);
  const EngineOutput well = step(LocalStrained{});
  ASSERT_NE(told(well), nullptr) << "and when that is over";
  EXPECT_EQ(told(well)->word, ClusterWord::fence);
}

TEST_F(EngineTellsTheCluster, nothing_where_it_is_not_to) {
  EngineConfig config = engine_->config();
  config.policy.asks_for_fences = false;
  engine_.emplace(config);
  settle();
  verdict(Verdict::unreachable);
  now_ += seconds(60);
  EXPECT_EQ(told(step(Tick{})), nullptr);
}

class EngineWithoutCluster : public EngineContract {};

TEST_F(EngineWithoutCluster, obeys_none) {
  settle();
  for (const auto kind : {OperatorCommand::Kind::promote, OperatorCommand::Kind::demote}) {
    const OperatorCommand command{.kind = kind, .pools = {0}, .by = "root"};
    const CommandReply reply = step(command).reply.value_or(CommandReply{});
    EXPECT_FALSE(reply.accepted);
    EXPECT_NE(reply.text.find("arbiter is not \"pacemaker\""), std::string::npos) << reply.text;
  }
  EXPECT_EQ(state(), PoolState::elsewhere);
}

}  // namespace
}  // namespace hapair::agent
