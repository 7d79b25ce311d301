// Poison between two real ccmds, over shm, with their agents' side of the client library. Nothing here has a reset.
#include <gtest/gtest.h>

#include <string>

#include "ccm/client/client.h"
#include "tests/unit/ccm/daemon/running_ccmd.h"

namespace hapair::ccm {
namespace {

constexpr Duration kPace = std::chrono::milliseconds(20);
constexpr Duration kPatience = std::chrono::seconds(10);

class PoisonOfARealCcmd : public ::testing::Test {
 protected:
  void SetUp() override {
    alpha_.start();
    beta_.start();
  }
  static Client agent_of(const RunningCcmd& ccmd) {
    auto client = Client::connect(ccmd.socket(), kAgentClientName, kPace, kPatience);
    EXPECT_TRUE(client) << client.error().text;
    return std::move(*client);
  }
  static PoisonSelfLayout told(const Client& agent) {
    const auto self = agent.self();
    return self ? self->poison : PoisonSelfLayout{};
  }
  static bool comes_to(const Client& agent, std::uint64_t asked, PoisonProgress progress) {
    return eventually([&] {
      const PoisonSelfLayout now = told(agent);
      return now.asked == asked && now.progress == static_cast<std::uint8_t>(progress);
    });
  }
  static bool is_poisoned(const Client& agent, std::uint64_t number, PoisonState state = PoisonState::accepted) {
    return eventually([&] {
      const PoisonSelfLayout now = told(agent);
      return now.number == number && now.state == static_cast<std::uint8_t>(state);
    });
  }
  void connect() {
    ASSERT_TRUE(eventually([&] { return alpha_.handshake() == HandshakeState::connected; }));
    ASSERT_TRUE(eventually([&] { return beta_.handshake() == HandshakeState::connected; }));
  }

  TempFolder folder_;
  RunningCcmd alpha_{folder_, {}};
  RunningCcmd beta_{folder_,
                    {.node = "beta",
                     .partner = "alpha",
                     .boot_id = "22222222-2222-3333-4444-555555555555",
                     .more_ccm = R"(, "poison": {"bound_ms": 1000, "reset": "none"})"}};
};

TEST_F(PoisonOfARealCcmd, IsTakenByThePartnersAgentAndItsAnswerComesBack) {
  connect();
  Client alpha = agent_of(alpha_);
  Client beta = agent_of(beta_);
  const std::uint64_t asked = alpha.ask_for_poison(false);
  ASSERT_TRUE(is_poisoned(beta, 1));
  EXPECT_EQ(told(beta).from_incarnation, alpha.incarnation().value());
  EXPECT_GT(told(beta).accepted_at_ns, 0);
  beta.poison_obeyed(1);
  EXPECT_TRUE(comes_to(alpha, asked, PoisonProgress::stopped));
  EXPECT_TRUE(is_poisoned(beta, 1, PoisonState::stopped));

  const std::uint64_t again = alpha.ask_for_poison(false);
  EXPECT_NE(again, asked);
  EXPECT_TRUE(is_poisoned(beta, 2)) << "what was said of the first is no answer to the second";
  beta.poison_obeyed(2);
  EXPECT_TRUE(comes_to(alpha, again, PoisonProgress::stopped));
  alpha.withdraw_poison();
  EXPECT_TRUE(eventually([&] { return told(alpha).asked == 0; }));
}

TEST_F(PoisonOfARealCcmd, StandsForAnAgentThatComesLater) {
  connect();
  Client alpha = agent_of(alpha_);
  const std::uint64_t asked = alpha.ask_for_poison(false);
  ASSERT_TRUE(comes_to(alpha, asked, PoisonProgress::accepted)) << "without any agent there";
  Client beta = agent_of(beta_);
  ASSERT_TRUE(eventually([&] { return told(beta).number == 1; }));
  beta.poison_obeyed(1);
  EXPECT_TRUE(comes_to(alpha, asked, PoisonProgress::stopped) || comes_to(alpha, asked, PoisonProgress::cannot));
}

TEST_F(PoisonOfARealCcmd, CannotBeObeyedWhereNobodyDoesAndNothingResetsTheNode) {
  connect();
  Client alpha = agent_of(alpha_);
  const std::uint64_t asked = alpha.ask_for_poison(false);
  EXPECT_TRUE(comes_to(alpha, asked, PoisonProgress::cannot));
  EXPECT_EQ(told(alpha).partner_reason, static_cast<std::uint8_t>(PoisonReason::no_reset));
  EXPECT_NE(beta_.log().find("this node cannot reset itself (its ccm.poison.reset is \"none\"), for its agent has not "
                             "said that everything is stopped"),
            std::string::npos);
}

TEST_F(PoisonOfARealCcmd, ThatCannotResetTheNodeAsOrderedLeavesItsAgentAlone) {
  connect();
  Client alpha = agent_of(alpha_);
  Client beta = agent_of(beta_);
  const std::uint64_t asked = alpha.ask_for_poison(true);
  EXPECT_TRUE(comes_to(alpha, asked, PoisonProgress::cannot));
  EXPECT_EQ(told(alpha).partner_reason, static_cast<std::uint8_t>(PoisonReason::no_reset));
  EXPECT_EQ(told(beta).number, 1U);
  EXPECT_EQ(told(beta).state, static_cast<std::uint8_t>(PoisonState::none));
  EXPECT_NE(beta_.log().find("as it was ordered to: it is not fenced"), std::string::npos);
}

TEST_F(PoisonOfARealCcmd, OfACcmdThatRestartsMeanwhileIsNeverAnswered) {
  connect();
  Client alpha = agent_of(alpha_);
  const std::uint64_t asked = alpha.ask_for_poison(false);
  ASSERT_TRUE(comes_to(alpha, asked, PoisonProgress::accepted));
  beta_.kill();
  EXPECT_TRUE(comes_to(alpha, asked, PoisonProgress::lost));
  beta_.start();
  connect();
  Client beta = agent_of(beta_);
  EXPECT_TRUE(eventually([&] { return told(beta).number == 0; })) << "it knows of no order";
  EXPECT_TRUE(comes_to(alpha, asked, PoisonProgress::lost));
}

TEST_F(PoisonOfARealCcmd, IsNotGivenWithoutARail) {
  connect();
  Client alpha = agent_of(alpha_);
  beta_.kill();
  ASSERT_TRUE(eventually([&] { return alpha_.handshake() != HandshakeState::connected; }));
  EXPECT_TRUE(comes_to(alpha, alpha.ask_for_poison(false), PoisonProgress::no_rail));
}

}  // namespace
}  // namespace hapair::ccm
