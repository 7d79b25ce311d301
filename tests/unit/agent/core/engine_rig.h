// An engine that is driven step by step, for what a scenario cannot show: its contract with the shell around it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "agent/core/engine.h"

namespace hapair::agent {

using heartbeat::Verdict;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline const PoolName kPool = *PoolName::parse("pool-b");
inline const NodeName kSelf = *NodeName::parse("a");
inline const NodeName kPartner = *NodeName::parse("b");

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
    return step(PartnerBlock{write_block(view, ++partner_serial_, 9, partner_config_hash_, 0, 0)});
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
  std::uint64_t partner_config_hash_ = 0;  // the same as the engine's
};

}  // namespace hapair::agent
