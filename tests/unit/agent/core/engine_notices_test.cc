// What an engine does with a partner that it hears over a mailbox disk alone.
#include "tests/unit/agent/core/engine_rig.h"

namespace hapair::agent {
namespace {

class Notices : public EngineContract {
 protected:
  static constexpr std::uint64_t kOwnLife = 5;
  static constexpr std::uint64_t kPartnerLife = 9;

  PublishedView partners(PoolState state, bool released) {
    PublishedView view;
    view.pools.push_back({kPool, Epoch(3), Epoch(), PoolOwner::publisher, state, PoolRequest::none, released, false});
    return view;
  }
  // Over the disk, by a partner that has seen the agent of that life last.
  EngineOutput notice(const PublishedView& view, std::uint64_t saw_life = kOwnLife) {
    return step(PartnerBlock{write_block(view, ++partner_serial_, kPartnerLife, 0, 0, saw_life), {}, kDisk, true});
  }
  void cut() {
    settle();
    verdict(Verdict::interconnect_lost);
  }
  void cut_and_hear() {
    cut();
    notice(partners(PoolState::serving, false));
  }
  OperatorCommand takeover() {
    OperatorCommand command;
    command.by = "root";
    command.pools = {0};
    return command;
  }
  static std::string told(const EngineOutput& output, const std::string& kind) {
    const auto it = std::ranges::find(output.records, kind, &Record::kind);
    return it == output.records.end() ? "" : it->text;
  }

  static constexpr const char* kDisk = "mailbox disk shared";
};

TEST_F(Notices, OpenAPlannedTakeoverThatACutAloneRefuses) {
  cut();
  const EngineOutput refused = step(takeover());
  EXPECT_FALSE(refused.reply->accepted);
  EXPECT_NE(refused.reply->text.find("cannot be asked to release it"), std::string::npos) << refused.reply->text;
  EXPECT_FALSE(told(notice(partners(PoolState::serving, false)), "notices").empty());
  EXPECT_TRUE(step(takeover()).reply->accepted);
  EXPECT_EQ(state(), PoolState::requesting);
  EXPECT_TRUE(engine_->hears_partner());
}

TEST_F(Notices, OfOneThatHasNotHeardThisAgentOpenNothing) {
  cut();
  EXPECT_TRUE(told(notice(partners(PoolState::serving, false), kOwnLife - 1), "notices-one-way").empty())
      << "it may be about to say that it hears";
  EXPECT_FALSE(engine_->hears_partner());
  const auto due = engine_->next_wakeup();
  ASSERT_TRUE(due);
  now_ = *due;
  EXPECT_FALSE(told(step(Tick{}), "notices-one-way").empty());
  const EngineOutput refused = step(takeover());
  EXPECT_FALSE(refused.reply->accepted);
  EXPECT_NE(refused.reply->text.find("does not hear this agent"), std::string::npos) << refused.reply->text;
  EXPECT_EQ(state(), PoolState::elsewhere);
  notice(partners(PoolState::serving, false));
  EXPECT_TRUE(step(takeover()).reply->accepted) << "it has heard it by now";
}

TEST_F(Notices, ThatThePartnersWordsAreNotTakenIsPublished) {
  settle();
  EXPECT_EQ(engine_->block().saw_partner_life, kPartnerLife);
  const auto a_second_later = [this] {
    const auto due = engine_->next_wakeup();
    now_ = due ? *due : now_;
    return step(Tick{}).publish;
  };
  EXPECT_FALSE(verdict(Verdict::interconnect_lost).publish) << "a beat that is late is no deafness";
  EXPECT_TRUE(a_second_later());
  EXPECT_EQ(engine_->block().saw_partner_life, 0U);
  EXPECT_EQ(engine_->block().saw_partner_serial, 0U);
  EXPECT_TRUE(notice(partners(PoolState::serving, false)).publish);
  EXPECT_EQ(engine_->block().saw_partner_life, kPartnerLife);
  EXPECT_FALSE(step(PartnerHeard{false, kDisk}).publish);
  EXPECT_TRUE(a_second_later());
  EXPECT_EQ(engine_->block().saw_partner_life, 0U);
  EXPECT_FALSE(a_second_later()) << "once";
  EXPECT_TRUE(verdict(Verdict::alive).publish);
  EXPECT_EQ(engine_->block().saw_partner_life, kPartnerLife);
}

TEST_F(Notices, ThatThePartnersAgentIsSeenIsPublishedOnceALife) {
  settle();
  const auto published = [this](std::uint64_t life) {
    return step(
               PartnerBlock{write_block(partners(PoolState::serving, false), ++partner_serial_, life, 0, 0, 0), {}, {}})
        .publish;
  };
  EXPECT_FALSE(published(kPartnerLife)) << "known since it settled";
  EXPECT_TRUE(published(kPartnerLife + 1));
  EXPECT_EQ(engine_->block().saw_partner_life, kPartnerLife + 1);
  EXPECT_FALSE(published(kPartnerLife + 1));
}

TEST_F(Notices, AReleaseIsAPermitThatNamesItsWay) {
  cut_and_hear();
  step(takeover());
  const EngineOutput output = notice(partners(PoolState::released, true));
  EXPECT_EQ(state(), PoolState::acquiring);
  EXPECT_NE(told(output, "permit").find("over mailbox disk shared"), std::string::npos) << told(output, "permit");
}

TEST_F(Notices, BeginNothingByThemselves) {
  cut_and_hear();
  now_ += seconds(3600);
  const EngineOutput later = step(Tick{});
  EXPECT_TRUE(later.commands.empty());
  EXPECT_EQ(state(), PoolState::elsewhere);
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
  step(PartnerBlock{write_block(partners(PoolState::released, true), partner_serial_ - 1, kPartnerLife, 0, 0, kOwnLife),
                    {},
                    kDisk,
                    true});
  EXPECT_EQ(state(), PoolState::requesting) << "a lower serial of the same life";
}

}  // namespace
}  // namespace hapair::agent
