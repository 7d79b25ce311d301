// What an engine does with a partner that it hears over a mailbox disk alone.
#include "tests/unit/agent/core/engine_rig.h"

namespace hapair::agent {
namespace {

class Notices : public EngineContract {
 protected:
  void cut_and_hear() {
    settle();
    verdict(Verdict::interconnect_lost);
    step(PartnerHeard{true, kDisk});
  }
  OperatorCommand takeover() {
    OperatorCommand command;
    command.by = "root";
    command.pools = {0};
    return command;
  }
  EngineOutput partner_releases(std::uint64_t epoch) {
    PublishedView view;
    view.node_state = NodeState::giving_back;
    view.pools.push_back(
        {kPool, Epoch(epoch), Epoch(), PoolOwner::publisher, PoolState::released, PoolRequest::none, true, false});
    return step(PartnerBlock{write_block(view, ++partner_serial_, 9, 0, 0, 0), {}, kDisk});
  }
  static std::string told(const EngineOutput& output, const std::string& kind) {
    const auto it = std::ranges::find(output.records, kind, &Record::kind);
    return it == output.records.end() ? "" : it->text;
  }

  static constexpr const char* kDisk = "mailbox disk shared";
};

TEST_F(Notices, OpenAPlannedTakeoverThatACutAloneRefuses) {
  settle();
  verdict(Verdict::interconnect_lost);
  const EngineOutput refused = step(takeover());
  EXPECT_FALSE(refused.reply->accepted);
  EXPECT_NE(refused.reply->text.find("cannot be asked to release it"), std::string::npos) << refused.reply->text;
  step(PartnerHeard{true, kDisk});
  EXPECT_TRUE(step(takeover()).reply->accepted);
  EXPECT_EQ(state(), PoolState::requesting);
  EXPECT_TRUE(engine_->hears_partner());
}

TEST_F(Notices, AReleaseIsAPermitThatNamesItsWay) {
  cut_and_hear();
  step(takeover());
  const EngineOutput output = partner_releases(3);
  EXPECT_EQ(state(), PoolState::acquiring);
  EXPECT_NE(told(output, "permit").find("over mailbox disk shared"), std::string::npos) << told(output, "permit");
}

TEST_F(Notices, BeginNothingByThemselves) {
  cut_and_hear();
  now_ += seconds(3600);
  const EngineOutput later = step(Tick{});
  EXPECT_TRUE(later.commands.empty());
  EXPECT_EQ(state(), PoolState::elsewhere);
  EXPECT_FALSE(engine_->pool_report(0).giveback_due);
}

TEST_F(Notices, AreOverWithTheVerdict) {
  cut_and_hear();
  verdict(Verdict::unreachable);
  EXPECT_FALSE(engine_->hears_partner());
  verdict(Verdict::interconnect_lost);
  EXPECT_EQ(told(step(PartnerHeard{false, kDisk}), "notices-over").empty(), false);
  EXPECT_FALSE(step(takeover()).reply->accepted);
}

TEST_F(Notices, OneThatIsOlderThanAPageOfTheSameAgentIsNotTaken) {
  cut_and_hear();
  step(takeover());
  PublishedView view;
  view.pools.push_back(
      {kPool, Epoch(3), Epoch(), PoolOwner::publisher, PoolState::released, PoolRequest::none, true, false});
  step(PartnerBlock{write_block(view, partner_serial_ - 1, 9, 0, 0, 0), {}, kDisk});
  EXPECT_EQ(state(), PoolState::requesting) << "a lower serial of the same life";
}

}  // namespace
}  // namespace hapair::agent
