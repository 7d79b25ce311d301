#include "agent/reservation/taking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/agent/reservation/memory_disk.h"

namespace hapair::agent {
namespace {

using test::DiskOfNode;
using test::keys_of;
using test::MemoryDisk;
using testing::ElementsAre;
using testing::HasSubstr;

class ASharedDisk : public testing::Test {
 protected:
  void expect_only(const Keyring& keys, std::size_t registrations = 1) const {
    EXPECT_EQ(disk_.said().count(keys.own()), registrations);
    EXPECT_EQ(disk_.said().keys.size(), registrations);
    EXPECT_EQ(disk_.said().reservation, (Reservation{keys.own(), kWriteExclusiveRegistrantsOnly}));
  }

  MemoryDisk disk_;
  Keyring alphas_ = keys_of("alpha");
  Keyring betas_ = keys_of("beta");
  DiskOfNode alpha_{disk_, "alpha"};
  DiskOfNode beta_{disk_, "beta"};
};

TEST_F(ASharedDisk, IsTakenAndGivenUp) {
  EXPECT_EQ(take(alpha_, alphas_), "");
  expect_only(alphas_);
  EXPECT_FALSE(disk_.may_write("beta"));
  EXPECT_EQ(look(alpha_, alphas_).state, Standing::State::held);
  EXPECT_EQ(look(beta_, betas_).state, Standing::State::not_held);
  EXPECT_TRUE(give_up(alpha_, alphas_).was_held);
  EXPECT_TRUE(disk_.said().keys.empty());
  EXPECT_EQ(disk_.said().reservation, std::nullopt);
  EXPECT_THAT(disk_.log, ElementsAre("alpha:0 register", "alpha:0 reserve", "alpha:0 release", "alpha:0 change_key"));
}

TEST_F(ASharedDisk, IsTakenAgainWithoutAnythingBeingLetGo) {
  ASSERT_TRUE(take(alpha_, alphas_));
  disk_.log.clear();
  EXPECT_EQ(take(alpha_, alphas_), "");
  EXPECT_THAT(disk_.log, ElementsAre("alpha:0 register"));
  expect_only(alphas_);
}

TEST_F(ASharedDisk, IsPreemptedWhereThePartnerHoldsIt) {
  ASSERT_TRUE(take(beta_, betas_));
  EXPECT_EQ(take(alpha_, alphas_), "");
  expect_only(alphas_);
  EXPECT_FALSE(disk_.may_write("beta"));
  const Standing lost = look(beta_, betas_);
  EXPECT_EQ(lost.state, Standing::State::not_held);
  EXPECT_THAT(lost.words, HasSubstr("this node is not registered; the disk is reserved under alpha's key"));
  EXPECT_FALSE(give_up(beta_, betas_).was_held);
  expect_only(alphas_);
}

TEST_F(ASharedDisk, IsCleanedOfRegistrationsThatHoldNothing) {
  disk_.carry_out({"beta", 0}, {ReserveOutAction::register_key, {}, betas_.own()});
  disk_.carry_out({"alpha", 3}, {ReserveOutAction::register_key, {}, keys_of("alpha", 9).own()});
  EXPECT_EQ(take(alpha_, alphas_), "");
  expect_only(alphas_);
}

TEST_F(ASharedDisk, IsTakenFromAnEarlierLifeOfThisNode) {
  ASSERT_TRUE(take(alpha_, keys_of("alpha", 9)));
  EXPECT_EQ(look(alpha_, alphas_).state, Standing::State::not_held);
  EXPECT_EQ(take(alpha_, alphas_), "");
  expect_only(alphas_);
}

TEST_F(ASharedDisk, IsLeftAloneWhereAnybodyElseIsRegistered) {
  disk_.carry_out({"stranger", 0}, {ReserveOutAction::register_key, {}, ReservationKey(0xabc)});
  disk_.log.clear();
  const auto taken = take(alpha_, alphas_);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error(), HasSubstr("/dev/shared: is registered under the key 0xabc, which is no node's of "
                                       "pair lab: nothing was changed. Find out who uses this disk"));
  EXPECT_THAT(disk_.log, ElementsAre());
}

TEST_F(ASharedDisk, IsLeftAloneWhereItsReservationIsOfAnotherType) {
  ASSERT_TRUE(take(beta_, betas_));
  disk_.type = 3;
  const auto taken = take(alpha_, alphas_);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error(), HasSubstr("has a reservation of type 3, which hapair never makes"));
  EXPECT_TRUE(disk_.may_write("beta"));
}

TEST_F(ASharedDisk, IsRegisteredOverEachPath) {
  DiskOfNode two(disk_, "alpha", 2);
  EXPECT_EQ(take(two, alphas_), "");
  expect_only(alphas_, 2);
  EXPECT_EQ(look(two, alphas_).words, "");
  ASSERT_TRUE(take(beta_, betas_));
  expect_only(betas_);
  ASSERT_TRUE(take(two, alphas_));
  EXPECT_TRUE(give_up(two, alphas_).was_held);
  EXPECT_TRUE(disk_.said().keys.empty());
}

TEST_F(ASharedDisk, IsTakenOverThePathsThatAnswer) {
  DiskOfNode two(disk_, "alpha", 2);
  two.silent = {0};
  const auto taken = take(two, alphas_);
  ASSERT_TRUE(taken);
  EXPECT_THAT(*taken, HasSubstr("taken, but not over every path: /dev/shared over path 0: does not answer"));
  expect_only(alphas_);
  two.silent = {};
  const Standing held = look(two, alphas_);
  EXPECT_EQ(held.state, Standing::State::held);
  EXPECT_THAT(held.words, HasSubstr("registered over 1 of 2 paths"));
  two.silent = {0, 1};
  EXPECT_FALSE(take(two, alphas_));
  EXPECT_EQ(look(two, alphas_).state, Standing::State::unclear);
  const GivenUp given = give_up(two, alphas_);
  EXPECT_FALSE(given.was_held);
  EXPECT_THAT(given.words, HasSubstr("may still be registered under this node's key, which the partner preempts"));
}

TEST_F(ASharedDisk, IsNotHeldByWhoIsRegisteredAndNotTheHolder) {
  disk_.carry_out({"alpha", 0}, {ReserveOutAction::register_key, {}, alphas_.own()});
  const Standing half = look(alpha_, alphas_);
  EXPECT_EQ(half.state, Standing::State::unclear);
  EXPECT_THAT(half.words, HasSubstr("this node is registered, but the disk is not reserved at all"));
}

TEST_F(ASharedDisk, TellsOfWhoeverElseMayWrite) {
  ASSERT_TRUE(take(alpha_, alphas_));
  disk_.carry_out({"stranger", 0}, {ReserveOutAction::register_key, {}, ReservationKey(0xabc)});
  const Standing held = look(alpha_, alphas_);
  EXPECT_EQ(held.state, Standing::State::held);
  EXPECT_THAT(held.words, HasSubstr("is registered too, and may write"));
}

TEST_F(ASharedDisk, IsNotToldTakenByWhoWasPreemptedMeanwhile) {
  bool done = false;
  disk_.before_command = [&](const ReserveOut& command) {
    if (command.action != ReserveOutAction::reserve || done) return;
    done = true;
    ASSERT_TRUE(take(beta_, betas_));
  };
  const auto taken = take(alpha_, alphas_);
  ASSERT_FALSE(taken);
  EXPECT_THAT(taken.error(), HasSubstr("this node was preempted while it took the disk"));
  expect_only(betas_);
}

TEST_F(ASharedDisk, IsNotDoneWhileItsHolderIsAnother) {
  // A disk that contradicts itself: the holder is not among those that are registered.
  const DiskReservations said{{alphas_.own()}, Reservation{betas_.own(), kWriteExclusiveRegistrantsOnly}};
  const TakingStep step = next_step("/dev/shared", said, alphas_);
  EXPECT_EQ(step.kind, TakingStep::Kind::preempt);
  EXPECT_EQ(step.subject, betas_.own());
}

TEST_F(ASharedDisk, ThatIsAbsentIsNotHeld) {
  alpha_.broken = DiskProblem{DiskProblem::Kind::absent, "/dev/shared: No such file or directory"};
  EXPECT_EQ(look(alpha_, alphas_).state, Standing::State::not_held);
  EXPECT_EQ(take(alpha_, alphas_).error(), "/dev/shared: No such file or directory");
}

// Whatever is there before, and whoever comes between: what is told taken is this node's, and no stranger is touched.
TEST_F(ASharedDisk, IsTakenWholeOrNotAtAll) {
  std::mt19937 random(1);
  int taken_count = 0;
  for (int run = 0; run < 5000; ++run) {
    disk_ = MemoryDisk();
    const std::vector<std::pair<std::string, ReservationKey>> who{{"alpha", alphas_.own()},
                                                                  {"alpha", keys_of("alpha", 9).own()},
                                                                  {"beta", betas_.own()},
                                                                  {"beta", keys_of("beta", 9).own()},
                                                                  {"stranger", ReservationKey(0xabc)}};
    const std::size_t kinds = random() % 4 == 0 ? who.size() : who.size() - 1;
    for (std::size_t path = 0; path < 3; ++path) {
      const auto& [node, key] = who[random() % kinds];
      if (random() % 2 == 0) continue;
      disk_.carry_out({node, path}, {ReserveOutAction::register_key, {}, key});
      if (random() % 2 == 0) disk_.carry_out({node, path}, {ReserveOutAction::reserve, key, {}});
    }
    const std::size_t strangers = disk_.said().count(ReservationKey(0xabc));
    const auto when = static_cast<std::uint32_t>(random() % 6);
    std::uint32_t commands = 0;
    disk_.before_command = [&](const ReserveOut&) {
      if (commands++ == when) (void)take(beta_, betas_);
    };
    DiskOfNode two(disk_, "alpha", 1 + random() % 2);
    const auto taken = take(two, alphas_);
    disk_.before_command = [](const ReserveOut&) {};
    ASSERT_EQ(disk_.said().count(ReservationKey(0xabc)), strangers);
    if (strangers != 0) {
      ASSERT_FALSE(taken);
    } else if (taken) {
      ++taken_count;
      // More than its paths: one that it had earlier in this life.
      ASSERT_GE(disk_.said().count(alphas_.own()), two.paths());
      expect_only(alphas_, disk_.said().count(alphas_.own()));
      ASSERT_FALSE(disk_.may_write("beta"));
    }
  }
  EXPECT_GT(taken_count, 1000);
}

}  // namespace
}  // namespace hapair::agent
