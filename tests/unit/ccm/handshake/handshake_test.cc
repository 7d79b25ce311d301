#include "ccm/handshake/handshake.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <string_view>

#include "tests/unit/ccm/handshake/model.h"

namespace hapair::ccm::model {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

NodeOptions alpha() { return {.node = "alpha", .partner = "beta"}; }
NodeOptions beta() { return {.node = "beta", .partner = "alpha"}; }

World connected_pair() {
  World world(alpha(), beta());
  EXPECT_TRUE(world.settle(20));
  return world;
}

HandshakeState state_of(const World& world, std::size_t n) { return world.nodes[n].machine.state(); }

// Runs a node as its shell does: whatever the fabric has is done at once, then the tick when the machine asks for it or
// the shell beats.
void run_node(World& world, std::size_t n, bool beats = false) {
  if (beats) world.nodes[n].machine.beat(world.now);
  while (world.notice_broken(n) || world.answer_connect(n) || world.read(n) || world.write(n)) {
  }
  const auto wake = world.nodes[n].machine.next_wake();
  if (beats || (wake && *wake <= world.now)) world.tick(n, Duration{});
  while (world.answer_connect(n) || world.read(n) || world.write(n)) {
  }
}

void run_for(World& world, Duration span) {
  const Instant end = world.now + span;
  while (world.now < end) {
    const bool beats = world.now.time_since_epoch() % kPace < microseconds(100);
    run_node(world, 0, beats);
    run_node(world, 1, beats);
    world.now += microseconds(100);
  }
}

TEST(Handshake, TakesTheFourStepsInTheirOrder) {
  World world(alpha(), beta());
  EXPECT_EQ(state_of(world, 0), HandshakeState::searching);
  world.tick(0, Duration{});
  world.answer_connect(0);
  world.read(0);
  EXPECT_EQ(state_of(world, 0), HandshakeState::greeting);
  world.write(0);
  EXPECT_EQ(state_of(world, 0), HandshakeState::proving);

  world.tick(1, Duration{});
  world.answer_connect(1);
  world.read(1);
  world.tick(1, Duration{});
  EXPECT_EQ(world.nodes[1].machine.proof_for(), Incarnation(1)) << "beta has seen alpha's hello and its page";

  world.tick_soon(0);
  world.read(0);
  EXPECT_EQ(state_of(world, 0), HandshakeState::confirming);
  world.write(0);
  EXPECT_EQ(state_of(world, 0), HandshakeState::confirming) << "its own direction is complete, beta's is not";
  EXPECT_TRUE(world.settle(10));
  EXPECT_EQ(state_of(world, 0), HandshakeState::connected);
  EXPECT_EQ(state_of(world, 1), HandshakeState::connected);
}

TEST(Handshake, TakesTwoMillisecondsWhereMemoryAnswersAtOnce) {
  World world(alpha(), beta());
  run_for(world, milliseconds(30));
  ASSERT_TRUE(world.connected());
  EXPECT_LE(*world.nodes[0].established, milliseconds(2));
  EXPECT_LE(*world.nodes[1].established, milliseconds(2));
}

TEST(Handshake, TriesAnAbsentPartnerOnceAPace) {
  World world(alpha(), beta());
  for (int tenth_ms = 0; tenth_ms < 10'000; ++tenth_ms) {
    if (*world.nodes[0].machine.next_wake() <= world.now) world.tick(0, Duration{});
    world.refuse_connect(0);
    world.now += microseconds(100);
  }
  EXPECT_NEAR(world.nodes[0].connects, 100, 2);
}

void beta_greets_alpha(World& world) {
  world.tick(1, Duration{});
  world.answer_connect(1);
  world.read(1);
  world.tick(1, Duration{});
  world.write(1);
  world.tick(0, Duration{});
}

// An attempt that began before the partner was there may stay without an answer for as long as the deadline.
TEST(Handshake, ConnectsAnewToWhoeverGreetsWhileAnOldAttemptHasNoAnswer) {
  World world(alpha(), beta());
  world.tick(0, Duration{});
  ASSERT_EQ(world.nodes[0].connects, 1);
  world.now += 2 * kPace;
  beta_greets_alpha(world);
  world.tick_soon(0);
  EXPECT_EQ(world.nodes[0].connects, 2) << "it does not wait for the deadline of the first";
  EXPECT_TRUE(world.settle(10));
}

TEST(Handshake, LeavesAnAttemptAloneThatHasJustBegun) {
  World world(alpha(), beta());
  world.tick(0, Duration{});
  beta_greets_alpha(world);
  EXPECT_EQ(world.nodes[0].connects, 1);
  EXPECT_TRUE(world.settle(10));
}

TEST(Handshake, ReadsOnceAPaceOfAPartnerThatDoesNotAnswer) {
  World world(alpha(), beta());
  world.tick(0, Duration{});
  world.answer_connect(0);
  const Instant end = world.now + std::chrono::seconds(1);
  while (world.now < end) {
    world.read(0);
    world.write(0);
    world.tick_soon(0);
  }
  EXPECT_LE(world.nodes[0].reads, 160) << "sixteen quick ones, then one every three quarters of a pace at the most";
  EXPECT_GE(world.nodes[0].reads, 90);
  EXPECT_EQ(state_of(world, 0), HandshakeState::proving);
}

TEST(Handshake, ReadsOnceAPaceWhileConnected) {
  World world = connected_pair();
  run_for(world, milliseconds(50));
  const int before = world.nodes[0].reads;
  run_for(world, milliseconds(1000));
  EXPECT_NEAR(world.nodes[0].reads - before, 100, 3);
  EXPECT_EQ(world.nodes[0].judgement->proof, PageProof::session);
  EXPECT_EQ(world.nodes[0].ends, 0);
}

TEST(Handshake, ReadsWithTheBeatsWhereverTheyFall) {
  World world = connected_pair();
  run_for(world, milliseconds(50));
  // The shell's beats move by a third of a pace: the reads move with them, and are neither doubled nor left out.
  world.now += kPace / 3;
  int with_beat = 0;
  const int before = world.nodes[0].reads;
  for (int i = 0; i < 10; ++i) {
    const int reads = world.nodes[0].reads;
    run_node(world, 0, true);
    with_beat += world.nodes[0].reads - reads;
    for (int rest = 0; rest < 99; ++rest) {
      world.now += kPace / 100;
      run_node(world, 0);
    }
    world.now += kPace / 100;
  }
  EXPECT_EQ(with_beat, 10);
  EXPECT_EQ(world.nodes[0].reads - before, 10);
}

TEST(Handshake, ReadsWithoutABeatWhereNoneComes) {
  World world = connected_pair();
  const int before = world.nodes[0].reads;
  for (int i = 0; i < 1000; ++i) {
    world.now += kPace / 100;
    run_node(world, 0);
  }
  EXPECT_GE(world.nodes[0].reads - before, 8);
}

TEST(Handshake, EndsTheSessionAtOnceWhenThePartnerRestarts) {
  World world = connected_pair();
  const Key first = *world.nodes[0].machine.session();
  const Nonce own = world.nodes[0].machine.nonce();
  world.restart(1, false, Fate::dropped);
  world.tick(0, kPace);
  world.read(0);
  EXPECT_EQ(world.nodes[0].ended, SessionEnd::partner_restarted);
  EXPECT_NE(state_of(world, 0), HandshakeState::connected);
  EXPECT_EQ(world.nodes[0].machine.nonce(), own) << "the partner's change does not draw a nonce here";
  EXPECT_TRUE(world.settle(20));
  EXPECT_NE(*world.nodes[0].machine.session(), first);
}

TEST(Handshake, DrawsANonceWhenItLosesItsConnectionAndThePartnerKeepsItsOwn) {
  World world = connected_pair();
  const Nonce nonce_a = world.nodes[0].machine.nonce();
  const Nonce nonce_b = world.nodes[1].machine.nonce();
  world.lose(0, Fate::dropped);
  EXPECT_EQ(world.nodes[0].ended, SessionEnd::connection_lost);
  EXPECT_NE(world.nodes[0].machine.nonce(), nonce_a);
  EXPECT_TRUE(world.settle(20));
  EXPECT_EQ(world.nodes[1].machine.nonce(), nonce_b);
  EXPECT_EQ(world.nodes[1].ended, SessionEnd::partner_renewed);
}

TEST(Handshake, GivesAConnectionUpAtTheDeadline) {
  World world = connected_pair();
  world.tick(0, kPace);
  ASSERT_TRUE(world.nodes[0].reading);
  world.deadline(0, Fate::dropped);
  EXPECT_EQ(world.nodes[0].ended, SessionEnd::deadline);
  EXPECT_TRUE(world.settle(20));
}

TEST(Handshake, AReadThatGoesOnHasADeadlineOfItsOwn) {
  World world = connected_pair();
  world.tick(0, kPace);
  ASSERT_TRUE(world.nodes[0].reading);
  world.tick(0, kDeadline * 3 / 4);
  world.nodes[0].machine.read_goes_on(world.now);
  world.tick(0, kDeadline * 3 / 4);
  EXPECT_FALSE(world.nodes[0].ended);
  world.tick(0, kDeadline / 4);
  EXPECT_EQ(world.nodes[0].ended, SessionEnd::deadline);
}

TEST(Handshake, AStaleHelloThatLandsLateIsCountedAndRepaired) {
  World world(alpha(), beta());
  world.tick(0, Duration{});
  world.answer_connect(0);
  world.read(0);
  world.lose(0, Fate::late);
  for (int i = 0; i < 3; ++i) {
    world.tick(0, kPace);
    world.answer_connect(0);
    world.read(0);
    world.write(0);
  }
  world.land_late(0);
  world.tick(1, kPace);
  EXPECT_EQ(world.nodes[1].machine.refused().stale, 0U) << "alpha's nonce is for beta to compare with its page only";
  EXPECT_TRUE(world.settle(20));
  EXPECT_EQ(world.broken_rule(), "");
}

TEST(Handshake, AHelloForAnEarlierLifeIsStale) {
  World world(alpha(), beta());
  world.tick(0, Duration{});
  world.answer_connect(0);
  world.read(0);
  world.restart(1, false, Fate::dropped);
  world.land(0);
  for (int i = 0; i < 5; ++i) world.tick(1, kPace);
  EXPECT_EQ(world.nodes[1].machine.refused().stale, 1U) << "once, not once a poll";
  world.acknowledge(0);
  EXPECT_TRUE(world.settle(20));
}

TEST(Handshake, AnotherKeyIsRefusedOnceAndNeverConnects) {
  NodeOptions stranger = beta();
  stranger.secret = "ffffffffffffffffffffffffffffffff";
  World world(alpha(), stranger);
  run_for(world, milliseconds(500));
  EXPECT_EQ(state_of(world, 0), HandshakeState::refused);
  EXPECT_EQ(state_of(world, 1), HandshakeState::refused);
  EXPECT_EQ(world.nodes[0].machine.refused().key, 1U);
  EXPECT_EQ(world.nodes[1].machine.refused().key, 1U);
  EXPECT_EQ(world.nodes[0].sessions, 0);
  EXPECT_EQ(world.nodes[0].judgement->proof, PageProof::none);
}

TEST(Handshake, TheRepairedKeyConnectsWithoutARestartOfTheOtherNode) {
  NodeOptions stranger = beta();
  stranger.secret = "ffffffffffffffffffffffffffffffff";
  World world(alpha(), stranger);
  run_for(world, milliseconds(100));
  world.nodes[1].options.secret = alpha().secret;
  world.restart(1, true, Fate::dropped);
  EXPECT_TRUE(world.settle(60));
}

TEST(Handshake, AnotherPairIsRefusedOnceByItsName) {
  NodeOptions stranger = beta();
  stranger.pair = "other";
  World world(alpha(), stranger);
  run_for(world, milliseconds(300));
  EXPECT_EQ(state_of(world, 0), HandshakeState::refused);
  const RefusalCounters& refused = world.nodes[0].machine.refused();
  EXPECT_EQ(refused.identity, 1U);
  EXPECT_EQ(refused.foreign_pair.view(), "other");
  EXPECT_EQ(refused.foreign_node.view(), "beta");
  EXPECT_FALSE(world.nodes[0].judgement->readable);
}

TEST(Handshake, ItsOwnNameAtThePartnersAddressIsRefused) {
  World world(alpha(), {.node = "alpha", .partner = "beta"});
  run_for(world, milliseconds(100));
  EXPECT_EQ(state_of(world, 0), HandshakeState::refused);
  EXPECT_EQ(world.nodes[0].machine.refused().foreign_node.view(), "alpha");
}

// A page of beta that this test writes itself, after `change`.
std::shared_ptr<const Page> page_of_beta(const World& world, const std::function<void(StatusPageLayout&)>& change) {
  Page bytes{};
  StatusPublisher publisher(bytes);
  std::memcpy(&publisher.draft(), world.nodes[1].page->data(), sizeof(StatusPageLayout));
  change(publisher.draft());
  publisher.publish(std::nullopt);
  return std::make_shared<const Page>(bytes);
}

void read_page(World& world, std::shared_ptr<const Page> page) {
  world.tick(0, kPace);
  world.answer_connect(0);
  world.write(0);
  ASSERT_TRUE(world.nodes[0].reading);
  world.nodes[0].captured = std::move(page);
  world.deliver(0);
}

TEST(Handshake, NoLayoutInCommonIsRefusedWithItsRange) {
  World world(alpha(), beta());
  for (int i = 0; i < 3; ++i) {
    read_page(world, page_of_beta(world, [&](StatusPageLayout& page) {
                page.layout_min = 7;
                page.layout_max = 9;
                page.ccm_beat = static_cast<std::uint64_t>(i);
              }));
  }
  EXPECT_EQ(state_of(world, 0), HandshakeState::refused);
  const RefusalCounters& refused = world.nodes[0].machine.refused();
  EXPECT_EQ(refused.layout, 1U) << "the beat moves, the refusal is the same";
  EXPECT_EQ(refused.foreign_layouts.min, 7);
  EXPECT_EQ(refused.foreign_layouts.max, 9);
  EXPECT_EQ(world.nodes[0].judgement->error, PageError::no_layout);
}

TEST(Handshake, AWrongProofIsRefusedOnce) {
  World world(alpha(), beta());
  for (int i = 0; i < 3; ++i) {
    read_page(world, page_of_beta(world, [&](StatusPageLayout& page) {
                page.proof_for_incarnation = 1;
                page.proof.fill(0x5a);
                page.ccm_beat = static_cast<std::uint64_t>(i);
              }));
  }
  EXPECT_EQ(world.nodes[0].machine.refused().key, 1U);
  EXPECT_EQ(state_of(world, 0), HandshakeState::refused);
  EXPECT_EQ(world.nodes[0].judgement->proof, PageProof::none);
}

TEST(Handshake, APageWithoutTheSessionsMacIsUnreadableAndTheSessionStays) {
  World world = connected_pair();
  for (int i = 0; i < 3; ++i) {
    read_page(world, page_of_beta(world, [&](StatusPageLayout& page) { page.ccm_beat = 77; }));
    EXPECT_FALSE(world.nodes[0].judgement->readable);
    EXPECT_EQ(world.nodes[0].judgement->error, PageError::not_authentic);
  }
  EXPECT_EQ(world.nodes[0].machine.refused().key, 1U);
  EXPECT_EQ(state_of(world, 0), HandshakeState::connected);
}

TEST(Handshake, ARecordThatCrossedANewNonceIsLateAndNoRefusal) {
  World world = connected_pair();
  const auto recorded = world.nodes[0].mailbox;
  world.lose(0, Fate::dropped);  // alpha draws another nonce; beta has written for the one before
  world.nodes[0].mailbox = {};
  world.tick(0, kPace);
  world.nodes[0].mailbox = recorded;
  for (int i = 0; i < 3; ++i) world.tick(0, kPace);
  EXPECT_EQ(world.nodes[0].machine.refused().stale, 0U);
  EXPECT_FALSE(world.connected());
  world.nodes[0].mailbox = {};
  EXPECT_TRUE(world.settle(20));
  EXPECT_EQ(world.broken_rule(), "");
}

TEST(Handshake, GarbageInTheMailboxChangesNothingButACounter) {
  World world = connected_pair();
  for (int i = 0; i < 10; ++i) {
    world.nodes[0].mailbox.fill(std::byte{0xa5});
    world.tick(0, kPace);
    world.read(0);
  }
  EXPECT_EQ(world.nodes[0].machine.refused().malformed, 2U) << "one a slot";
  EXPECT_TRUE(world.connected());
}

TEST(Handshake, AReplayedConnectedOfAnEarlierSessionDoesNotConnect) {
  World world = connected_pair();
  const auto recorded = world.nodes[0].mailbox;
  world.restart(0, true, Fate::dropped);
  world.nodes[0].mailbox = recorded;
  for (int i = 0; i < 5; ++i) {
    world.tick(0, kPace);
    world.answer_connect(0);
    world.write(0);
    world.read(0);
  }
  EXPECT_EQ(world.nodes[0].sessions, 0);
  EXPECT_EQ(world.nodes[0].machine.refused().stale, 2U);
}

// What beta would write to alpha now, under a key of the forger's choice.
std::array<std::byte, kRecordBytes> forged(const World& world, RecordKind kind) {
  const Handshake& alpha = world.nodes[0].machine;
  const auto beta = parse_status_head(*world.nodes[1].page);
  static constexpr std::string_view kSecret = "ffffffffffffffffffffffffffffffff";
  return encode_record(
      {kind, beta->pair, beta->node, beta->incarnation, Incarnation(1), beta->boot_id, beta->nonce, alpha.nonce()},
      Key::from_secret(std::as_bytes(std::span(kSecret))));
}

TEST(Handshake, AForgedHelloGetsNoProof) {
  World world(alpha(), beta());
  world.tick(0, Duration{});
  world.answer_connect(0);
  world.read(0);
  std::ranges::copy(forged(world, RecordKind::hello), world.nodes[0].mailbox.begin());
  world.tick(0, kPace);
  EXPECT_EQ(world.nodes[0].machine.proof_for(), Incarnation());
  EXPECT_EQ(world.nodes[0].machine.refused().key, 1U);
  EXPECT_TRUE(world.settle(30)) << "the true partner's hello comes all the same";
}

TEST(Handshake, AForgedConnectedDoesNotConnect) {
  World world(alpha(), beta());
  // alpha does all its steps; beta never writes step 4.
  for (int i = 0; i < 6; ++i) {
    world.tick(0, kPace);
    world.answer_connect(0);
    world.read(0);
    world.write(0);
    world.tick(1, Duration{});
    world.answer_connect(1);
    world.read(1);
    if (world.nodes[1].writing && world.nodes[1].writing->offset == 0) world.write(1);
  }
  ASSERT_EQ(state_of(world, 0), HandshakeState::confirming);
  std::ranges::copy(forged(world, RecordKind::connected),
                    world.nodes[0].mailbox.begin() + static_cast<std::ptrdiff_t>(kRecordBytes));
  world.tick(0, kPace);
  EXPECT_EQ(state_of(world, 0), HandshakeState::confirming);
  EXPECT_EQ(world.nodes[0].machine.refused().key, 1U);
  EXPECT_TRUE(world.settle(30));
}

TEST(Handshake, ATornPageIsReadAgainAndCountsAsNothing) {
  World world = connected_pair();
  Page torn = *world.nodes[1].page;
  torn[1000] ^= std::byte{1};
  read_page(world, std::make_shared<const Page>(torn));
  EXPECT_EQ(world.nodes[0].judgement->error, PageError::torn);
  EXPECT_FALSE(world.nodes[0].judgement->readable);
  EXPECT_EQ(world.nodes[0].machine.refused().malformed, 0U);
  EXPECT_TRUE(world.connected());
}

TEST(Handshake, ABlankPageIsAPartnerThatHasNotPublishedYet) {
  World world(alpha(), beta());
  read_page(world, std::make_shared<const Page>(Page{}));
  EXPECT_EQ(state_of(world, 0), HandshakeState::searching);
  EXPECT_EQ(world.nodes[0].machine.refused().malformed, 0U);
}

}  // namespace
}  // namespace hapair::ccm::model
