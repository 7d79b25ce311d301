// What an operator says and forbids, step by step.
#include <algorithm>

#include "tests/unit/agent/core/engine_rig.h"

namespace hapair::agent {
namespace {

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
  step(PartnerBlock{write_block(view, ++partner_serial_, 9, 0, 0, 0)});
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
