// Rails of a session: how a port moves between them, and what is tried again when.
#include "ccm/session/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>

#include "tests/unit/ccm/session/play.h"

namespace hapair::ccm::session_model {
namespace {

// --- rails ---

TEST(SessionRails, OneThatFailsIsClosedBeforeAnotherIsOpenedOnBothSides) {
  World world = mirror_pair();
  const std::uint64_t lost = rail_of(world, 0);
  const std::uint64_t left = 1 - lost;
  ASSERT_EQ(rail_of(world, 1), lost);
  // The connections still stand: what was on its way over them must not land later.
  world.early_down(0, lost);
  world.early_down(1, lost);
  for (const std::size_t n : kBoth) world.advance(n);
  ASSERT_TRUE(world.run()) << world.broken_rule;
  EXPECT_EQ(world.unfinished(), "");
  for (const std::size_t n : kBoth) {
    const Words words = words_of(world, n);
    const std::string was = " 0.0 rail " + std::to_string(lost);
    const std::string is = " 0.0 rail " + std::to_string(left);
    EXPECT_LT(place_of(words, "conceal" + was), place_of(words, "expose" + is));
    EXPECT_LT(place_of(words, "expose" + is), words.size());
    EXPECT_LT(place_of(words, "drop" + was), place_of(words, "connect" + is));
    EXPECT_LT(place_of(words, "connect" + is), words.size());
    EXPECT_EQ(world.standing(n, kFirst).rail, RailId(left));
  }
}

TEST(SessionRails, APortKeepsItsRailWhenAnotherOneComesBack) {
  World world = mirror_pair();
  const std::uint64_t lost = rail_of(world, 0);
  world.rail_down(lost);
  ASSERT_TRUE(world.run());
  world.rail_up(lost);
  world.forget_commands();
  ASSERT_TRUE(world.run()) << world.broken_rule;
  EXPECT_EQ(words_of(world, 0), Words{});
  EXPECT_EQ(words_of(world, 1), Words{});
}

TEST(SessionRails, APortThatTheOtherRailCarriesIsNotTouched) {
  World world = mirror_pair();
  const std::uint64_t lost = rail_of(world, 0);
  world.rail_down(1 - lost);
  ASSERT_TRUE(world.run()) << world.broken_rule;
  EXPECT_EQ(words_of(world, 0), Words{});
  EXPECT_EQ(words_of(world, 1), Words{});
}

TEST(SessionRails, OneThatOnlyOneSideSeesFailedIsLeftByBoth) {
  World world = mirror_pair();
  const std::uint64_t lost = rail_of(world, 0);
  world.early_down(0, lost);
  world.advance(0);
  EXPECT_EQ(world.nodes[1].early.at(lost).session, 1U) << "the other side has seen nothing";
  ASSERT_TRUE(world.run()) << world.broken_rule;
  EXPECT_EQ(world.unfinished(), "");
  EXPECT_EQ(rail_of(world, 0), 1 - lost);
  EXPECT_EQ(rail_of(world, 1), 1 - lost);
}

TEST(SessionRails, OneThatCameBackBetweenTwoStepsIsAnotherOne) {
  Solo solo;
  solo.begin_ready();
  solo.session.rail(RailId(0), 0);
  solo.session.rail(RailId(0), 2);
  solo.step();
  ASSERT_EQ(solo.of(Kind::conceal).size(), 1U);
  ASSERT_EQ(solo.of(Kind::drop).size(), 1U);
  ASSERT_EQ(solo.of(Kind::expose).size(), 1U);
  EXPECT_NE(solo.of(Kind::expose).at(0).exposure, solo.own);
  EXPECT_EQ(solo.session.standing(kFirst).state, State::connecting);
  // The partner's exposure was of the session that has ended: its token opens nothing, and a late word of the
  // connection that was given up would be taken for the new one's.
  EXPECT_TRUE(solo.of(Kind::connect).empty());
  solo.session.connected(kFirst, 7);
  solo.session.not_connected(solo.now, kFirst, 7);
  EXPECT_EQ(solo.step(), Words{});
  solo.theirs().exposure = 8;
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), (Words{"connect 0.0 rail 0"}));
}

TEST(SessionRails, WithoutAnyThePortsAreConnectingAndNothingIsOpen) {
  World world = mirror_pair();
  world.rail_down(0);
  world.rail_down(1);
  world.run();
  EXPECT_EQ(world.broken_rule, "");
  for (const std::size_t n : kBoth) {
    EXPECT_EQ(world.standing(n, kFirst).state, State::connecting);
    EXPECT_FALSE(world.nodes[n].memory[0][0]);
    EXPECT_FALSE(world.nodes[n].connections[0][0]);
  }
  ASSERT_TRUE(world.settle()) << world.broken_rule;
  EXPECT_EQ(world.unfinished(), "");
}

TEST(SessionRails, AreShownAsThisNodeSeesThem) {
  Solo solo;
  solo.session.rail(RailId(2), 1);
  solo.session.partner(solo.partner.next());
  solo.step();
  EXPECT_EQ(solo.session.block().rails, 0b101);
  solo.session.rail(RailId(0), 0);
  solo.step();
  EXPECT_EQ(solo.session.block().rails, 0b100);
}

TEST(SessionRails, ThatOnlyOneSideHasCarryNothing) {
  Solo solo;
  solo.session.rail(RailId(0), 0);
  solo.session.rail(RailId(1), 1);
  solo.session.client_wants(0, "mirror", 11, wants(1));
  solo.partner.client(3, "mirror", 77);
  solo.partner.port(3, 0);
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), (Words{"tell 0.0 connecting"}));
  solo.partner.page.session.rails = 0b11;
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), (Words{"expose 0.0 rail 1"}));
}

// --- failures and their retries ---

TEST(SessionRetries, AConnectionThatFailsIsTriedAgainAtItsTimeAndNotBefore) {
  Solo solo;
  solo.begin();
  ASSERT_EQ(solo.of(Kind::connect).size(), 1U);
  solo.session.not_connected(solo.now, kFirst, 7);
  EXPECT_EQ(solo.step(), Words{});
  ASSERT_TRUE(solo.session.next_wake());
  solo.now = *solo.session.next_wake() - Duration(1);
  EXPECT_EQ(solo.step(), Words{});
  solo.now += Duration(1);
  EXPECT_EQ(solo.step(), (Words{"connect 0.0 rail 0"}));
  EXPECT_FALSE(solo.session.next_wake()) << "the answer wakes it";
}

TEST(SessionRetries, WaitLongerAfterEachFailureAndNotForEver) {
  Solo solo;
  solo.begin();
  solo.session.not_connected(solo.now, kFirst, 7);
  solo.step();
  std::vector<Duration> waits;
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(solo.session.next_wake());
    waits.push_back(*solo.session.next_wake() - solo.now);
    solo.now = *solo.session.next_wake();
    ASSERT_EQ(solo.step(), (Words{"connect 0.0 rail 0"}));
    solo.session.not_connected(solo.now, kFirst, 7);
    solo.step();
  }
  EXPECT_TRUE(std::ranges::is_sorted(waits));
  EXPECT_GT(waits.back(), waits.front());
  EXPECT_LE(waits.back(), std::chrono::seconds(10));
}

// The wait before the attempt that follows a connection which stood for `stood`, after many that failed.
Duration wait_after_one_that_stood(Duration stood) {
  Solo solo;
  solo.begin();
  solo.session.not_connected(solo.now, kFirst, 7);
  solo.step();
  attempts_within(solo, std::chrono::seconds(5));
  while (solo.of(Kind::connect).empty()) {
    solo.now = *solo.session.next_wake();
    solo.step();
  }
  solo.session.connected(kFirst, 7);
  solo.step();
  solo.now += stood;
  solo.session.not_connected(solo.now, kFirst, 7);
  solo.step();
  const Instant lost = solo.now;
  while (solo.of(Kind::connect).empty()) {
    solo.now = *solo.session.next_wake();
    solo.step();
  }
  return solo.now - lost;
}

TEST(SessionRetries, BeginQuicklyAgainOnceAConnectionStoodForAWhile) {
  EXPECT_LE(wait_after_one_that_stood(std::chrono::seconds(60)), milliseconds(10));
}

// A path that lets small frames pass and no large ones lets every connection in and none live.
TEST(SessionRetries, AConnectionThatEndsAtOnceHasFailedToo) {
  EXPECT_GE(wait_after_one_that_stood(milliseconds(1)), milliseconds(500));
}

TEST(SessionRetries, AConnectionThatIsLostIsToldAndMadeAgain) {
  Solo solo;
  solo.begin_ready();
  solo.session.not_connected(solo.now, kFirst, 7);
  solo.step();
  EXPECT_EQ(solo.session.standing(kFirst).state, State::connecting);
  EXPECT_EQ(solo.session.block().ports[0].reaches, 0U);
  if (solo.of(Kind::connect).empty()) {
    solo.now = *solo.session.next_wake();
    EXPECT_EQ(solo.step(), (Words{"connect 0.0 rail 0"}));
  }
  solo.session.connected(kFirst, 7);
  EXPECT_EQ(solo.step(), (Words{"tell 0.0 ready"}));
}

TEST(SessionRetries, APortThatCannotBeReachedStaysWhereNoOtherRailIsLeft) {
  Solo solo;
  solo.begin();
  solo.session.not_connected(solo.now, kFirst, 7);
  EXPECT_GT(attempts_within(solo, std::chrono::seconds(60)), 20);
  EXPECT_EQ(solo.session.block().rails, 0b1);
}

TEST(SessionRetries, APortThatCannotBeReachedMovesWhereAnotherRailIsLeft) {
  World world;
  world.join(0, 0, "mirror", wants(1));
  world.join(1, 0, "mirror", wants(1));
  world.ports_pass[0] = false;
  world.rail_up(0);
  world.rail_up(1);
  for (int i = 0; i < 40 && !world.ready(0, kFirst); ++i) world.run(5);
  EXPECT_EQ(world.broken_rule, "");
  EXPECT_TRUE(world.ready(0, kFirst));
  EXPECT_TRUE(world.ready(1, kFirst));
  EXPECT_EQ(rail_of(world, 0), 1U);
  EXPECT_EQ(rail_of(world, 1), 1U);
}

// Its own trouble: it may be the client's as well as the rail's, so the others stay where they are.
TEST(SessionRetries, APortThatCannotBeReachedTakesNoOtherPortWithIt) {
  World world = mirror_pair(2);
  const std::uint64_t rail = rail_of(world, 0);
  world.end(0, 0, ClientState::left);
  world.join(0, 1, "cache", wants(1));
  world.join(1, 1, "cache", wants(1));
  world.join(0, 0, "mirror", wants(1));
  world.unreachable = PortRef{1, 0};
  ASSERT_FALSE(world.ready(0, kFirst));
  for (int i = 0; i < 20; ++i) world.run(5);
  ASSERT_TRUE(world.ready(0, kFirst)) << world.broken_rule;
  EXPECT_EQ(rail_of(world, 0), rail);
  world.forget_commands();
  std::set<std::uint64_t> tried;
  for (int i = 0; i < 200; ++i) {
    world.run(5);
    const auto& connection = world.nodes[1].connections[1][0];
    if (connection) tried.insert(connection->rail.value());
  }
  EXPECT_EQ(world.broken_rule, "");
  EXPECT_FALSE(world.ready(1, {1, 0}));
  for (const std::size_t n : kBoth) {
    for (const SessionCommand& command : world.nodes[n].done) EXPECT_NE(command.port.slot, 0) << text_of(command);
  }
  world.unreachable.reset();
  for (int i = 0; i < 20; ++i) world.run(5);
  EXPECT_EQ(world.unfinished(), "");
}

TEST(SessionRetries, APortStaysOnTheOneRailThatThePartnerHasTooHoweverOftenItFails) {
  Solo solo;
  solo.session.rail(RailId(1), 1);  // the partner does not see this one
  solo.begin();
  EXPECT_GT(attempts_within(solo, std::chrono::seconds(5)), 5);
  solo.step();
  EXPECT_TRUE(solo.of(Kind::conceal).empty());
  EXPECT_EQ(solo.session.block().ports[0].exposure, solo.own);
  EXPECT_EQ(solo.session.block().rails, 0b11);
}

TEST(SessionRetries, AsksForAnotherRailOnlyWhereItFailedOnThisOneRepeatedly) {
  Solo solo;
  solo.session.rail(RailId(1), 1);
  solo.partner.page.session.rails = 0b11;
  solo.begin();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(solo.session.block().ports[0].avoids, 0);
    solo.session.not_connected(solo.now, kFirst, 7);
    solo.step();
    if (i == 2) break;
    solo.now = *solo.session.next_wake();
    solo.step();
  }
  EXPECT_EQ(solo.session.block().ports[0].avoids, 0b01);
  solo.theirs().exposure = 8;
  solo.theirs().rail = 1;
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), (Words{"connect 0.0 rail 1"}));
  solo.session.not_connected(solo.now, kFirst, 8);
  solo.step();
  EXPECT_EQ(solo.session.block().ports[0].avoids, 0b01) << "once is not repeatedly";
  solo.now += std::chrono::seconds(3);
  solo.step();
  EXPECT_EQ(solo.session.block().ports[0].avoids, 0) << "it may be good again";
}

TEST(SessionRetries, MovesAPortAsThePartnerAsksWhereAnotherRailIsLeft) {
  Solo solo;
  solo.begin();
  solo.theirs().avoids = 0b01;
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), Words{}) << "no other rail is left";
  solo.session.rail(RailId(1), 1);
  solo.partner.page.session.rails = 0b11;
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), (Words{"conceal 0.0 rail 0", "expose 0.0 rail 1"}));
  solo.theirs().avoids = 0b11;
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), Words{}) << "neither is better";
  solo.theirs().avoids = 0;
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), Words{}) << "it does not move for nothing";
}

TEST(SessionRetries, MemoryThatCannotBeOpenedOverOneRailIsOpenedOverAnother) {
  Solo solo;
  solo.session.rail(RailId(1), 1);
  solo.partner.page.session.rails = 0b11;
  solo.begin();
  solo.session.not_exposed(solo.now, kFirst, solo.own);
  EXPECT_EQ(solo.step(), (Words{"expose 0.0 rail 1"}));
  solo.session.not_exposed(solo.now, kFirst, solo.of(Kind::expose).at(0).exposure);
  EXPECT_EQ(solo.step(), Words{}) << "not at once for ever";
  EXPECT_TRUE(solo.session.next_wake());
}

TEST(SessionRetries, MemoryThatCannotBeOpenedIsTriedAgainLater) {
  Solo solo;
  solo.begin();
  solo.session.not_exposed(solo.now, kFirst, solo.own);
  solo.step();
  EXPECT_EQ(solo.session.block().ports[0].exposure, 0U) << "the partner must not reach for it";
  EXPECT_TRUE(solo.of(Kind::conceal).empty()) << "it is not open";
  ASSERT_TRUE(solo.session.next_wake());
  solo.now = *solo.session.next_wake();
  solo.step();
  ASSERT_EQ(solo.of(Kind::expose).size(), 1U);
  EXPECT_NE(solo.of(Kind::expose).at(0).exposure, solo.own);
}

TEST(SessionRetries, LateAnswersForWhatIsNoLongerReachedForChangeNothing) {
  Solo solo;
  solo.begin();
  solo.theirs().exposure = 8;
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), (Words{"drop 0.0 rail 0", "connect 0.0 rail 0"}));
  solo.session.connected(kFirst, 7);
  solo.session.not_connected(solo.now, kFirst, 7);
  solo.session.not_exposed(solo.now, kFirst, solo.own + 1);
  EXPECT_EQ(solo.step(), Words{});
  EXPECT_EQ(solo.session.block().ports[0].reaches, 0U);
  EXPECT_EQ(solo.session.block().ports[0].exposure, solo.own);
  solo.session.connected(kFirst, 8);
  solo.step();
  EXPECT_EQ(solo.session.block().ports[0].reaches, 8U);
  solo.session.not_connected(solo.now, kFirst, 7);
  solo.step();
  EXPECT_EQ(solo.session.block().ports[0].reaches, 8U);
}

TEST(SessionRetries, AnswersForPortsThatNobodyReachesForChangeNothing) {
  Solo solo;
  solo.session.partner(solo.partner.next());
  solo.step();
  solo.session.take_changed();
  solo.session.connected({7, 3}, 0);
  solo.session.connected({7, 3}, 1);
  solo.session.not_connected(solo.now, {7, 3}, 0);
  solo.session.not_exposed(solo.now, {7, 3}, 0);
  EXPECT_EQ(solo.step(), Words{});
  EXPECT_FALSE(solo.session.take_changed());
  EXPECT_FALSE(solo.session.next_wake());
}

}  // namespace
}  // namespace hapair::ccm::session_model
