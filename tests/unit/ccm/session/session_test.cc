#include "ccm/session/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/ccm/session/model.h"

namespace hapair::ccm::session_model {
namespace {

using std::chrono::milliseconds;
using Kind = SessionCommand::Kind;
using State = PortStanding::State;
using Words = std::vector<std::string>;

constexpr PortRef kFirst{0, 0};
constexpr std::array<std::size_t, 2> kBoth{0, 1};

// The partner as a page that a test writes by hand.
struct PartnerPage {
  explicit PartnerPage(std::uint64_t incarnation = 5) {
    page.incarnation = incarnation;
    page.session.protocol_min = kSessionProtocolMin;
    page.session.protocol_max = kSessionProtocolMax;
    page.session.rails = 0b1;
    page.session.serial = 1;
  }
  void client(std::uint8_t slot, std::string_view name, std::uint64_t life,
              ClientState state = ClientState::registered) {
    put_name(page.clients.at(slot).name, name);
    page.clients.at(slot).life = life;
    page.clients.at(slot).state = static_cast<std::uint8_t>(state);
  }
  SessionPortLayout& port(std::uint8_t slot, std::uint8_t index) {
    SessionPortLayout& one = page.session.ports.at(page.session.port_count++);
    one = {.slot = slot,
           .index = index,
           .rail = 0,
           .rights = kPartnerWrites,
           .exposure = 0,
           .reaches = 0,
           .avoids = 0,
           .zero = {},
           .memory_bytes = 8192};
    return one;
  }
  const StatusPageLayout& next() {
    ++page.session.serial;
    return page;
  }
  StatusPageLayout page{};
};

// One session, whose commands a test reads and whose partner it plays.
struct Solo {
  Solo() { session.rail(RailId(0), 1); }
  Words step() {
    commands.clear();
    Words words;
    for (const SessionCommand& command : session.advance(now)) {
      commands.push_back(command);
      words.push_back(text_of(command));
    }
    return words;
  }
  // The commands of a kind in the last step.
  std::vector<SessionCommand> of(Kind kind) const {
    std::vector<SessionCommand> out;
    std::ranges::copy_if(commands, std::back_inserter(out), [&](const auto& one) { return one.kind == kind; });
    return out;
  }
  // A client with one port, which both sides want; the partner's memory is open as exposure 7.
  void begin() {
    session.client_wants(0, "mirror", 11, wants(1));
    partner.client(3, "mirror", 77);
    partner.port(3, 0).exposure = 7;
    session.partner(partner.next());
    step();
    own = of(Kind::expose).at(0).exposure;
  }
  SessionPortLayout& theirs() { return partner.page.session.ports[0]; }
  void begin_ready() {
    begin();
    session.connected(kFirst, 7);
    theirs().reaches = own;
    session.partner(partner.next());
    step();
    EXPECT_EQ(session.standing(kFirst).state, State::ready);
  }

  Instant now{std::chrono::seconds(50)};
  Session session{"solo 1.0", Incarnation(0x1234'5678)};
  PartnerPage partner;
  std::vector<SessionCommand> commands;
  std::uint32_t own = 0;
};

World mirror_pair(std::uint8_t ports = 1) {
  World world;
  world.join(0, 0, "mirror", wants(ports));
  world.join(1, 0, "mirror", wants(ports));
  world.rail_up(0);
  world.rail_up(1);
  EXPECT_TRUE(world.run()) << world.broken_rule;
  EXPECT_EQ(world.unfinished(), "");
  world.forget_commands();
  return world;
}

Words words_of(const World& world, std::size_t n) {
  Words out;
  for (const SessionCommand& command : world.nodes[n].done) out.push_back(text_of(command));
  return out;
}

std::size_t place_of(const Words& words, const std::string& word) {
  return static_cast<std::size_t>(std::ranges::find(words, word) - words.begin());
}

std::uint64_t rail_of(const World& world, std::size_t n) { return world.nodes[n].memory[0][0]->rail.value(); }

// Fails as often as the session tries, from the attempt that is out, for `span`; how many more it made.
int attempts_within(Solo& solo, Duration span) {
  const Instant end = solo.now + span;
  int attempts = 0;
  solo.session.not_connected(solo.now, kFirst, 7);
  while (solo.now < end) {
    solo.step();
    for (const SessionCommand& command : solo.of(Kind::connect)) {
      ++attempts;
      solo.session.not_connected(solo.now, command.port, command.exposure);
    }
    if (!solo.of(Kind::connect).empty()) solo.step();
    const auto wake = solo.session.next_wake();
    if (!wake) break;
    EXPECT_GT(*wake, solo.now);
    solo.now = std::max(*wake, solo.now + Duration(1));
  }
  return attempts;
}

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
