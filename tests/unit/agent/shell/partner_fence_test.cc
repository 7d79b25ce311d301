#include "agent/shell/partner_fence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hapair::agent {
namespace {

using ccm::PoisonProgress;
using std::chrono::seconds;
using testing::HasSubstr;
using State = PartnerFence::State;

class APartnerFence : public testing::Test {
 protected:
  APartnerFence() { fence_.begin(now_ + seconds(50)); }
  bool hear(PoisonProgress progress) { return fence_.hear({.progress = progress}); }

  Instant now_ = Instant(seconds(100));
  PartnerFence fence_{*NodeName::parse("beta")};
};

TEST_F(APartnerFence, IsDoneByTheNextLifeOfOneThatHadTheOrder) {
  EXPECT_FALSE(hear(PoisonProgress::written));
  EXPECT_TRUE(hear(PoisonProgress::accepted));
  EXPECT_FALSE(hear(PoisonProgress::resetting));
  EXPECT_EQ(fence_.state(), State::taken);
  EXPECT_TRUE(hear(PoisonProgress::rebooted));
  EXPECT_EQ(fence_.state(), State::done);
  EXPECT_FALSE(fence_.expire(now_ + seconds(1000)));
  EXPECT_FALSE(hear(PoisonProgress::cannot));
  EXPECT_EQ(fence_.state(), State::done);
}

TEST_F(APartnerFence, TakesNoAnswerForAProof) {
  EXPECT_FALSE(hear(PoisonProgress::stopped));
  EXPECT_EQ(fence_.state(), State::ordered);
  hear(PoisonProgress::resetting);
  EXPECT_FALSE(fence_.expire(now_ + seconds(50) - Duration(1)));
  EXPECT_TRUE(fence_.expire(now_ + seconds(50)));
  EXPECT_EQ(fence_.state(), State::failed);
  EXPECT_THAT(fence_.reason(), HasSubstr("took the order to reset its node, and was not seen in another life"));
  EXPECT_FALSE(hear(PoisonProgress::rebooted)) << "it was answered";
}

TEST_F(APartnerFence, IsNotDoneByALifeThatChangedBeforeTheOrderWasTaken) {
  hear(PoisonProgress::written);
  EXPECT_TRUE(hear(PoisonProgress::rebooted));
  EXPECT_EQ(fence_.state(), State::failed);
  EXPECT_THAT(fence_.reason(), HasSubstr("before it had the order"));
}

TEST_F(APartnerFence, FailsAtOnceWhereNothingWasTold) {
  for (const auto& [progress, sentence] : {std::pair{PoisonProgress::no_rail, "no rail to beta"},
                                           {PoisonProgress::not_known, "does not know such an order"},
                                           {PoisonProgress::lost, "lost before it had the order"},
                                           {PoisonProgress::restarted, "restarted"},
                                           {PoisonProgress::cannot, "cannot reset its node"}}) {
    PartnerFence fence(*NodeName::parse("beta"));
    fence.begin(now_ + seconds(50));
    EXPECT_TRUE(fence.hear({.progress = progress}));
    EXPECT_EQ(fence.state(), State::failed);
    EXPECT_THAT(fence.reason(), HasSubstr(sentence));
  }
  EXPECT_TRUE(fence_.hear({.own_ccm_lost = true}));
  EXPECT_EQ(fence_.state(), State::failed);
}

TEST_F(APartnerFence, GivesALaterRequestANumberAndAnEndOfItsOwn) {
  EXPECT_EQ(fence_.number(), 1U);
  hear(PoisonProgress::accepted);
  fence_.begin(now_ + seconds(90));
  EXPECT_EQ(fence_.number(), 2U);
  EXPECT_EQ(fence_.state(), State::ordered) << "that the earlier one was taken says nothing of this one";
  EXPECT_FALSE(fence_.expire(now_ + seconds(60)));
  EXPECT_TRUE(hear(PoisonProgress::no_rail));
  EXPECT_NE(fence_.reason(), "");
  fence_.begin(now_ + seconds(150));
  EXPECT_EQ(fence_.reason(), "");
}

}  // namespace
}  // namespace hapair::agent
