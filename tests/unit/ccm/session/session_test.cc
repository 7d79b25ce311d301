#include "ccm/session/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>

#include "tests/unit/ccm/session/play.h"

namespace hapair::ccm::session_model {
namespace {

// --- the protocol ---

TEST(SessionProtocol, IsNotKnownBeforeThePartnerIsHeard) {
  Solo solo;
  EXPECT_EQ(solo.session.state(), SessionState::none);
  EXPECT_EQ(solo.session.block().protocol_min, kSessionProtocolMin);
  EXPECT_EQ(solo.session.block().protocol_max, kSessionProtocolMax);
  EXPECT_EQ(name_in(solo.session.block().software), "solo 1.0");
}

TEST(SessionProtocol, IsTheHighestThatBothHave) {
  Solo solo;
  solo.partner.page.session.protocol_max = kSessionProtocolMax + 5;
  ASSERT_TRUE(solo.session.partner(solo.partner.next()));
  EXPECT_EQ(solo.session.state(), SessionState::established);
  EXPECT_EQ(solo.session.protocol(), kSessionProtocolMax);
}

TEST(SessionProtocol, NoneInCommonIsRefusedAndNoPortIsMade) {
  Solo solo;
  solo.session.client_wants(0, "mirror", 11, wants(1));
  solo.partner.page.session.protocol_min = kSessionProtocolMax + 1;
  solo.partner.page.session.protocol_max = kSessionProtocolMax + 2;
  solo.partner.client(0, "mirror", 77);
  solo.partner.port(0, 0).exposure = 7;
  ASSERT_TRUE(solo.session.partner(solo.partner.next()));
  EXPECT_EQ(solo.session.state(), SessionState::refused);
  EXPECT_EQ(text_of(solo.session.state()), "refused");
  solo.step();
  EXPECT_TRUE(solo.of(Kind::expose).empty());
  EXPECT_TRUE(solo.of(Kind::connect).empty());
}

// The other side of the same refusal: what it needs for it is on this node's page, refused or not.
TEST(SessionProtocol, ARefusalKeepsShowingWhatThisNodeSpeaks) {
  Solo solo;
  solo.partner.page.session.protocol_min = kSessionProtocolMax + 1;
  solo.partner.page.session.protocol_max = kSessionProtocolMax + 2;
  ASSERT_TRUE(solo.session.partner(solo.partner.next()));
  solo.step();
  EXPECT_EQ(solo.session.block().protocol_min, kSessionProtocolMin);
  EXPECT_EQ(solo.session.block().protocol_max, kSessionProtocolMax);
  EXPECT_TRUE(session_block_is_sound(solo.session.block()));
}

TEST(SessionProtocol, AnOlderPartnerThatIsReplacedByANewerOneIsTakenUp) {
  Solo solo;
  PartnerPage newer(6);
  newer.page.session.protocol_min = kSessionProtocolMax + 1;
  newer.page.session.protocol_max = kSessionProtocolMax + 2;
  solo.session.partner(newer.next());
  ASSERT_EQ(solo.session.state(), SessionState::refused);
  ASSERT_TRUE(solo.session.partner(solo.partner.next()));
  EXPECT_EQ(solo.session.state(), SessionState::established);
}

TEST(SessionProtocol, PortsAreTakenBackWhereThePartnerReturnsWithNoneInCommon) {
  Solo solo;
  solo.begin_ready();
  PartnerPage newer(6);
  newer.page.session.protocol_min = kSessionProtocolMax + 1;
  newer.page.session.protocol_max = kSessionProtocolMax + 2;
  solo.session.partner(newer.next());
  EXPECT_EQ(solo.session.state(), SessionState::refused);
  solo.step();
  EXPECT_EQ(solo.of(Kind::conceal).size(), 1U);
  EXPECT_EQ(solo.of(Kind::drop).size(), 1U);
  EXPECT_EQ(solo.session.standing(kFirst).state, State::waiting);
}

TEST(SessionProtocol, ACcmWithoutSessionsHasNone) {
  Solo solo;
  solo.session.client_wants(0, "mirror", 11, wants(1));
  solo.partner.page.session = {};
  solo.partner.page.session.serial = 3;
  ASSERT_TRUE(solo.session.partner(solo.partner.page));
  EXPECT_NE(solo.session.state(), SessionState::established);
  solo.step();
  EXPECT_TRUE(solo.of(Kind::expose).empty());
}

// --- whose port is whose ---

TEST(SessionPorts, AreMadeInBothDirectionsAndThenTheClientsAreTold) {
  Solo solo;
  solo.session.client_wants(0, "mirror", 11, wants(1));
  solo.partner.client(3, "mirror", 77);
  solo.partner.port(3, 0);
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), (Words{"expose 0.0 rail 0", "tell 0.0 connecting"}));
  const SessionPortLayout shown = solo.session.block().ports[0];
  EXPECT_EQ(shown.exposure, solo.of(Kind::expose).at(0).exposure);
  EXPECT_EQ(shown.memory_bytes, 4096U);
  EXPECT_EQ(shown.rights, kPartnerReads | kPartnerWrites);
  EXPECT_EQ(shown.reaches, 0U);

  solo.theirs().exposure = 7;
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), (Words{"connect 0.0 rail 0"}));
  solo.session.connected(kFirst, 7);
  EXPECT_EQ(solo.step(), Words{}) << "one direction is not enough";
  EXPECT_EQ(solo.session.block().ports[0].reaches, 7U);

  solo.theirs().reaches = shown.exposure;
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), (Words{"tell 0.0 ready"}));
  const PortStanding told = solo.session.standing(kFirst);
  EXPECT_EQ(told.rail, RailId(0));
  EXPECT_EQ(told.exposure, 7U);
  EXPECT_EQ(told.partner_life, 77U);
  EXPECT_EQ(told.partner_memory, 8192U);
  EXPECT_EQ(told.partner_rights, kPartnerWrites);
}

TEST(SessionPorts, ThePartnersDirectionAloneIsNotEnough) {
  Solo solo;
  solo.begin();
  solo.theirs().reaches = solo.own;
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), Words{});
  solo.session.connected(kFirst, 7);
  EXPECT_EQ(solo.step(), (Words{"tell 0.0 ready"}));
}

TEST(SessionPorts, BelongTogetherByTheClientsNameWhateverItsSlot) {
  World world;
  world.join(0, 0, "mirror", wants(1));
  world.join(0, 1, "cache", wants(1, 1 << 20));
  world.join(1, 6, "cache", wants(1, 1 << 10));
  world.join(1, 7, "mirror", wants(1, 1 << 12));
  world.rail_up(0);
  ASSERT_TRUE(world.run()) << world.broken_rule;
  EXPECT_EQ(world.unfinished(), "");
  EXPECT_EQ(world.standing(0, {1, 0}).partner_memory, 1U << 10);
  EXPECT_EQ(world.standing(1, {6, 0}).partner_memory, 1U << 20);
  EXPECT_EQ(world.standing(0, {0, 0}).partner_life, world.nodes[1].clients[7].life);
}

TEST(SessionPorts, OfAnotherClientsNameNeverMeet) {
  World world;
  world.join(0, 0, "mirror", wants(1));
  world.join(1, 0, "mirror2", wants(1));
  world.rail_up(0);
  ASSERT_TRUE(world.run()) << world.broken_rule;
  EXPECT_EQ(world.standing(0, kFirst).state, State::waiting);
  EXPECT_EQ(world.standing(1, kFirst).state, State::waiting);
  EXPECT_EQ(words_of(world, 0), Words{});
}

TEST(SessionPorts, ThatOnlyOneSideWantsWaitAndTheOthersAreReady) {
  World world;
  world.join(0, 0, "mirror", wants(3));
  world.join(1, 0, "mirror", wants(1));
  world.rail_up(0);
  ASSERT_TRUE(world.run()) << world.broken_rule;
  EXPECT_TRUE(world.ready(0, {0, 0}));
  EXPECT_TRUE(world.ready(1, {0, 0}));
  EXPECT_EQ(world.standing(0, {0, 1}).state, State::waiting);
  EXPECT_EQ(world.standing(0, {0, 2}).state, State::waiting);
  EXPECT_FALSE(world.nodes[0].memory[0][1]);
}

TEST(SessionPorts, AllThatANodeMayHaveAreMade) {
  World world;
  for (std::uint8_t slot = 0; slot < 4; ++slot) {
    const std::string name = "client-" + std::to_string(slot);
    world.join(0, slot, name, wants(kMaxClientPorts));
    world.join(1, static_cast<std::uint8_t>(7 - slot), name, wants(kMaxClientPorts));
  }
  world.rail_up(0);
  ASSERT_TRUE(world.run()) << world.broken_rule;
  EXPECT_EQ(world.unfinished(), "");
  EXPECT_EQ(world.nodes[0].session.block().port_count, kMaxPorts);
}

TEST(SessionPorts, ARegisteredClientCountsAndOneThatIsGoneUnderTheSameNameDoesNot) {
  Solo solo;
  solo.session.client_wants(0, "mirror", 11, wants(1));
  solo.partner.client(2, "mirror", 76, ClientState::gone);
  solo.partner.client(3, "mirror", 77);
  solo.partner.port(3, 0).exposure = 7;
  solo.session.partner(solo.partner.next());
  solo.step();
  EXPECT_EQ(solo.of(Kind::connect).size(), 1U);
}

TEST(SessionPorts, OfAClientThatIsGoneAreNotWantedEvenWhereThePageStillListsThem) {
  for (const ClientState state : {ClientState::none, ClientState::gone, ClientState::left}) {
    Solo solo;
    solo.session.client_wants(0, "mirror", 11, wants(1));
    solo.partner.client(3, "mirror", 77, state);
    solo.partner.port(3, 0).exposure = 7;
    solo.session.partner(solo.partner.next());
    EXPECT_EQ(solo.step(), Words{});
  }
}

TEST(SessionPorts, AnAgentWithoutPortsHasNone) {
  Solo solo;
  solo.session.client_wants(0, "hapaird", 11, wants(0));
  solo.partner.client(0, "hapaird", 77);
  solo.session.partner(solo.partner.next());
  EXPECT_EQ(solo.step(), Words{});
  EXPECT_EQ(solo.session.block().port_count, 0);
}

// --- clients that come and go ---

TEST(SessionClients, OneThatComesLateRunsOnlyItsOwnPart) {
  World world = mirror_pair();
  world.join(0, 4, "late", wants(2));
  world.join(1, 5, "late", wants(2));
  ASSERT_TRUE(world.run()) << world.broken_rule;
  EXPECT_EQ(world.unfinished(), "");
  for (const std::size_t n : kBoth) {
    for (const SessionCommand& command : world.nodes[n].done) EXPECT_NE(command.port.slot, 0) << text_of(command);
  }
}

TEST(SessionClients, OneThatLeavesTakesBackItsOwnPortsOnly) {
  World world = mirror_pair();
  world.join(0, 4, "late", wants(1));
  world.join(1, 5, "late", wants(1));
  ASSERT_TRUE(world.run());
  world.forget_commands();
  world.end(0, 4, ClientState::left);
  ASSERT_TRUE(world.run()) << world.broken_rule;
  EXPECT_EQ(world.unfinished(), "");
  EXPECT_EQ(world.standing(1, {5, 0}).state, State::waiting);
  for (const std::size_t n : kBoth) {
    for (const SessionCommand& command : world.nodes[n].done) EXPECT_NE(command.port.slot, 0) << text_of(command);
  }
  EXPECT_TRUE(world.ready(0, kFirst));
}

// Whoever holds its ports has closed them; the session goes on without.
TEST(SessionClients, OneThatDiedIsOnThePageNoMoreAndNothingIsCommandedForIt) {
  Solo solo;
  solo.begin_ready();
  solo.session.client_ended(0);
  EXPECT_EQ(solo.step(), Words{});
  EXPECT_EQ(solo.session.block().port_count, 0);
  EXPECT_EQ(solo.session.client_name(0), "");
  EXPECT_EQ(solo.session.standing(kFirst), PortStanding{});
}

TEST(SessionClients, OneThatRestartsBetweenTwoStepsIsOpenedAnew) {
  World world = mirror_pair();
  const std::uint32_t before = world.nodes[0].memory[0][0]->exposure;
  world.end(0, 0, ClientState::gone);
  world.join(0, 0, "mirror", wants(1));
  world.advance(0);
  EXPECT_FALSE(world.ready(0, kFirst));
  ASSERT_TRUE(world.run()) << world.broken_rule;
  EXPECT_EQ(world.unfinished(), "");
  EXPECT_NE(world.nodes[0].memory[0][0]->exposure, before);
  EXPECT_EQ(world.standing(1, kFirst).partner_life, world.nodes[0].clients[0].life);
}

// The new life's memory is another one, and what the partner has in it is nothing: its old connection is of no use.
TEST(SessionClients, AnotherLifeOfThePartnersClientIsReachedAnewAndOpenedAnew) {
  Solo solo;
  solo.begin_ready();
  solo.partner.client(3, "mirror", 78);
  solo.theirs().exposure = 8;
  solo.theirs().reaches = 0;
  solo.session.partner(solo.partner.next());
  const Words words = solo.step();
  EXPECT_LT(place_of(words, "drop 0.0 rail 0"), place_of(words, "connect 0.0 rail 0"));
  EXPECT_LT(place_of(words, "connect 0.0 rail 0"), words.size());
  ASSERT_EQ(solo.of(Kind::tell).size(), 1U);
  EXPECT_EQ(solo.session.standing(kFirst).state, State::connecting);
  ASSERT_EQ(solo.of(Kind::conceal).size(), 1U) << "what the earlier life has under way must not land";
  EXPECT_NE(solo.of(Kind::expose).at(0).exposure, solo.own);
}

TEST(SessionClients, AWishOfNoPortsTakesAnEarlierOneBack) {
  World world = mirror_pair();
  world.join(0, 0, "mirror", wants(0));
  ASSERT_TRUE(world.run()) << world.broken_rule;
  EXPECT_EQ(world.nodes[0].session.block().port_count, 0);
  EXPECT_FALSE(world.nodes[1].memory[0][0]);
  EXPECT_EQ(world.standing(1, kFirst).state, State::waiting);
}

TEST(SessionClients, OneThatWantsOtherMemoryIsOpenedAnew) {
  Solo solo;
  solo.begin_ready();
  solo.session.client_wants(0, "mirror", 11, wants(1, 1 << 20));
  solo.step();
  ASSERT_EQ(solo.of(Kind::expose).size(), 1U);
  EXPECT_NE(solo.of(Kind::expose).at(0).exposure, solo.own);
  EXPECT_EQ(solo.session.block().ports[0].memory_bytes, 1U << 20);
  EXPECT_EQ(solo.session.standing(kFirst).state, State::connecting);
}

TEST(SessionClients, MorePortsThanANodeMayHaveAreTheCallersMistake) {
  Solo solo;
  for (std::uint8_t slot = 0; slot < 4; ++slot) {
    solo.session.client_wants(slot, "client-" + std::to_string(slot), 1, wants(kMaxClientPorts));
  }
  EXPECT_DEATH(solo.session.client_wants(4, "one-more", 1, wants(1)), "limits");
  EXPECT_DEATH(solo.session.client_wants(0, "client-0", 1, wants(kMaxClientPorts + 1)), "limits");
}

// --- the partner's CCM ---

TEST(SessionPartner, AnotherIncarnationWithTheSameExposureNumbersIsReachedAnew) {
  Solo solo;
  solo.begin_ready();
  PartnerPage again(6);
  again.client(3, "mirror", 77);
  SessionPortLayout& port = again.port(3, 0);
  port.exposure = 7;
  port.reaches = solo.own;  // of its own counting, as far as this node can tell
  again.page.session.serial = solo.partner.page.session.serial;
  solo.session.partner(again.page);
  const Words words = solo.step();
  EXPECT_LT(place_of(words, "drop 0.0 rail 0"), place_of(words, "connect 0.0 rail 0"));
  EXPECT_LT(place_of(words, "connect 0.0 rail 0"), words.size());
  EXPECT_EQ(solo.session.standing(kFirst).state, State::connecting);
}

TEST(SessionPartner, WhatFailedWithAnEarlierLifeIsNotHeldAgainstTheNext) {
  Solo solo;
  solo.begin();
  attempts_within(solo, std::chrono::seconds(2));
  ASSERT_TRUE(solo.of(Kind::connect).empty()) << "it waits before the next attempt";
  EXPECT_EQ(solo.session.block().ports[0].avoids, 0b1);
  solo.partner.page.incarnation = 6;
  solo.session.partner(solo.partner.next());
  solo.step();
  EXPECT_EQ(solo.of(Kind::connect).size(), 1U);
  EXPECT_EQ(solo.session.block().ports[0].avoids, 0);
}

TEST(SessionPartner, AnotherIncarnationCountsFromALowerSerial) {
  Solo solo;
  for (int i = 0; i < 50; ++i) solo.session.partner(solo.partner.next());
  PartnerPage again(6);
  again.page.session.rails = 0b11;
  ASSERT_TRUE(solo.session.partner(again.next()));
  EXPECT_EQ(solo.session.partner_block().rails, 0b11);
}

TEST(SessionPartner, PagesOfTwoRailsMayBeTakenInInAnyOrder) {
  Solo solo;
  solo.begin_ready();
  StatusPageLayout older = solo.partner.page;
  older.session.port_count = 0;
  solo.session.partner(solo.partner.next());
  solo.step();
  EXPECT_TRUE(solo.session.partner(older)) << "it is sound, and says nothing that is still true";
  EXPECT_EQ(solo.step(), Words{});
  EXPECT_EQ(solo.session.partner_block(), solo.partner.page.session);
}

TEST(SessionPartner, AnUnsoundPageIsRefusedAndChangesNothing) {
  Solo solo;
  solo.begin_ready();
  const SessionBlockLayout before = solo.session.partner_block();
  StatusPageLayout bad = solo.partner.next();
  bad.session.port_count = kMaxPorts + 1;
  EXPECT_FALSE(solo.session.partner(bad));
  bad = solo.partner.next();
  bad.session.ports[0].slot = kMaxClients;
  EXPECT_FALSE(solo.session.partner(bad));
  bad = solo.partner.next();
  bad.session.ports[0].rail = kMaxRails;
  bad.incarnation = 6;
  EXPECT_FALSE(solo.session.partner(bad));
  EXPECT_EQ(solo.step(), Words{});
  EXPECT_EQ(solo.session.partner_block(), before);
  EXPECT_EQ(solo.session.standing(kFirst).state, State::ready);
}

TEST(SessionPartner, ThatRestartsIsMetAgainAndNoClientRegistersAnew) {
  World world = mirror_pair(2);
  world.restart(1);
  world.early_down(0, 0);
  world.early_down(0, 1);
  world.join(1, 2, "mirror", wants(2));
  ASSERT_TRUE(world.settle()) << world.broken_rule;
  EXPECT_EQ(world.unfinished(), "");
}

// A page may lie: it is authentic, yet another build's mistake must not end this CCM.
TEST(SessionPartner, WhateverItShowsNoStepHasMoreCommandsThanItsBound) {
  Solo solo;
  for (std::uint8_t slot = 0; slot < 4; ++slot) {
    const std::string name = "client-" + std::to_string(slot);
    solo.session.client_wants(slot, name, 10U + slot, wants(kMaxClientPorts));
    solo.partner.client(slot, name, 20U + slot);
    for (std::uint8_t index = 0; index < kMaxClientPorts; ++index) {
      solo.partner.port(slot, index).exposure = 1U + index + slot * 4U;
    }
  }
  solo.session.partner(solo.partner.next());
  solo.step();
  for (const SessionCommand& command : solo.of(Kind::connect)) {
    solo.session.connected(command.port, command.exposure);
  }
  ASSERT_EQ(solo.of(Kind::connect).size(), kMaxPorts);
  for (std::uint8_t i = 0; i < kMaxPorts; ++i) {
    solo.partner.page.session.ports.at(i).reaches = solo.session.block().ports.at(i).exposure;
  }
  solo.session.partner(solo.partner.next());
  solo.step();
  ASSERT_EQ(solo.of(Kind::tell).size(), kMaxPorts);
  // Another life with everything in place at once.
  solo.partner.page.incarnation = 6;
  for (std::uint8_t i = 0; i < kMaxPorts; ++i) {
    solo.partner.page.session.ports.at(i).reaches = solo.session.block().ports.at(i).exposure + kMaxPorts;
  }
  solo.session.partner(solo.partner.next());
  solo.step();
  for (const Kind kind : {Kind::conceal, Kind::expose, Kind::drop, Kind::connect, Kind::tell}) {
    EXPECT_EQ(solo.of(kind).size(), kMaxPorts);
  }
  EXPECT_EQ(solo.commands.size(), Session::kMaxCommands);
  for (const PortStanding& standing : {solo.session.standing({0, 0}), solo.session.standing({3, 3})}) {
    EXPECT_EQ(standing.state, State::connecting);
  }
}

// What this node's earlier life had opened is still on the partner's page for a while.
TEST(SessionPartner, ThatStillReachesWhatAnEarlierLifeOfThisNodeOpenedDoesNotReachThisOne) {
  std::set<std::uint32_t> first;
  for (const std::uint64_t life : {0x1111'2222'3333'4444U, 0x5555'6666'7777'8888U, 0xffff'ffff'ffff'ffffU}) {
    Session session("solo 1.0", Incarnation(life));
    session.rail(RailId(0), 1);
    session.client_wants(0, "mirror", 11, wants(1));
    PartnerPage partner;
    partner.client(3, "mirror", 77);
    partner.port(3, 0);
    session.partner(partner.next());
    for (const SessionCommand& command : session.advance(Instant(milliseconds(1)))) {
      if (command.kind == Kind::expose) first.insert(command.exposure);
    }
  }
  EXPECT_EQ(first.size(), 3U);
  EXPECT_FALSE(first.contains(0)) << "that means none";
}

TEST(SessionPartner, MayShowAClientsNewLifeBesideThePortsOfItsEarlierOne) {
  Solo solo;
  solo.begin_ready();
  solo.partner.client(3, "mirror", 78);
  solo.session.partner(solo.partner.page);  // of the same serial: the session's part is written a moment later
  solo.step();
  EXPECT_EQ(solo.of(Kind::drop).size(), 1U);
  EXPECT_EQ(solo.session.standing(kFirst).state, State::connecting);
}

// --- what the partner sees ---

TEST(SessionBlock, IsTakenAsChangedOnceAChange) {
  Solo solo;
  EXPECT_TRUE(solo.session.take_changed()) << "it has not been published yet";
  EXPECT_FALSE(solo.session.take_changed());
  solo.begin();
  const std::uint64_t serial = solo.session.block().serial;
  EXPECT_TRUE(solo.session.take_changed());
  EXPECT_FALSE(solo.session.take_changed());
  solo.step();
  EXPECT_FALSE(solo.session.take_changed());
  EXPECT_EQ(solo.session.block().serial, serial);
  solo.session.connected(kFirst, 7);
  solo.step();
  EXPECT_TRUE(solo.session.take_changed());
  EXPECT_GT(solo.session.block().serial, serial);
}

TEST(SessionBlock, IsSoundAtEveryStepOfAPairThatLosesARail) {
  World world = mirror_pair(kMaxClientPorts);
  world.rail_down(0);
  for (int i = 0; i < 10; ++i) {
    world.run(1);
    EXPECT_TRUE(session_block_is_sound(world.nodes[0].session.block()));
    EXPECT_TRUE(session_block_is_sound(world.nodes[1].session.block()));
  }
}

}  // namespace
}  // namespace hapair::ccm::session_model
