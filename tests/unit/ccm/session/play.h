// What tests of the session play with: a partner whose page is written by hand, one session with its commands as words,
// and a pair that has come to a port.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <vector>

#include "ccm/session/session.h"
#include "tests/unit/ccm/session/model.h"

namespace hapair::ccm::session_model {

using std::chrono::milliseconds;
using Kind = SessionCommand::Kind;
using State = PortStanding::State;
using Words = std::vector<std::string>;

inline constexpr PortRef kFirst{0, 0};
inline constexpr std::array<std::size_t, 2> kBoth{0, 1};

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

inline World mirror_pair(std::uint8_t ports = 1) {
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

inline Words words_of(const World& world, std::size_t n) {
  Words out;
  for (const SessionCommand& command : world.nodes[n].done) out.push_back(text_of(command));
  return out;
}

inline std::size_t place_of(const Words& words, const std::string& word) {
  return static_cast<std::size_t>(std::ranges::find(words, word) - words.begin());
}

inline std::uint64_t rail_of(const World& world, std::size_t n) { return world.nodes[n].memory[0][0]->rail.value(); }

// Fails as often as the session tries, from the attempt that is out, for `span`; how many more it made.
inline int attempts_within(Solo& solo, Duration span) {
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

}  // namespace hapair::ccm::session_model
