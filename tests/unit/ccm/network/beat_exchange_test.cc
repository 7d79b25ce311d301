#include "ccm/network/beat_exchange.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

namespace hapair::ccm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Bytes = std::array<std::byte, kBeatBytes>;

Key key_of(std::string_view secret) { return Key::from_secret(std::as_bytes(std::span(secret))); }
const Key& pair_key() {
  static const Key key = key_of("0123456789abcdef0123456789abcdef");
  return key;
}

BeatIdentity identity(const char* node, const char* partner, std::uint64_t incarnation, std::uint8_t network = 0) {
  return {*PairName::parse("pair"),
          *NodeName::parse(node),
          *NodeName::parse(partner),
          Incarnation(incarnation),
          BootId{{1}},
          network};
}

class BeatExchanges : public ::testing::Test {
 protected:
  Bytes alpha_beats() { return alpha_.make(now_, {}); }
  Bytes beta_beats() { return beta_.make(now_, {}); }
  // One pace, in which both beat and both beats arrive after `way`.
  void exchange(Duration way = milliseconds(1)) {
    const Bytes from_alpha = alpha_beats();
    const Bytes from_beta = beta_beats();
    now_ += way;
    heard_by_alpha_ = alpha_.take(now_, from_beta).has_value();
    heard_by_beta_ = beta_.take(now_, from_alpha).has_value();
    now_ += milliseconds(10) - way;
  }
  void meet() {
    for (int i = 0; i < 3; ++i) exchange();
    ASSERT_TRUE(heard_by_alpha_ && heard_by_beta_);
  }
  // What alpha says of these bytes.
  std::optional<BeatRefusal> refusal(std::span<const std::byte> bytes) {
    const auto taken = alpha_.take(now_, bytes);
    return taken ? std::nullopt : std::optional(taken.error());
  }

  Instant now_ = Instant(seconds(1000));
  BeatExchange alpha_{identity("alpha", "beta", 11), pair_key()};
  BeatExchange beta_{identity("beta", "alpha", 22), pair_key()};
  bool heard_by_alpha_ = false;
  bool heard_by_beta_ = false;
};

TEST_F(BeatExchanges, a_beat_was_made_after_this_node_sent_the_one_that_it_answers) {
  meet();
  const Instant sent = now_;
  (void)beta_.take(now_ + milliseconds(2), alpha_beats());
  now_ += milliseconds(5);
  const Bytes from_beta = beta_beats();
  (void)alpha_beats();
  now_ += milliseconds(300);
  ASSERT_TRUE(alpha_.take(now_, from_beta)) << "however late it comes";
  EXPECT_EQ(alpha_.made_after(), sent);
  // Beta has heard nothing since, and says so again: that it was made later cannot be proved.
  ASSERT_TRUE(alpha_.take(now_, beta_beats()));
  EXPECT_EQ(alpha_.made_after(), sent);
}

TEST_F(BeatExchanges, count_once_each_has_heard_the_other) {
  exchange();
  EXPECT_FALSE(heard_by_alpha_ || heard_by_beta_) << "a greeting answers nobody";
  exchange();
  EXPECT_TRUE(heard_by_alpha_ && heard_by_beta_);
  EXPECT_EQ(alpha_.counters().of(BeatRefusal::unanswered), 1U);
  EXPECT_EQ(alpha_.counters().heard, 1U);
  EXPECT_EQ(alpha_.counters().sent, 2U);
}

TEST_F(BeatExchanges, carry_what_the_sender_says_of_itself) {
  meet();
  const auto beat = alpha_.take(now_, beta_.make(now_, {BootPhase::storage_active, ClientState::gone, 812, 403, 77}));
  ASSERT_TRUE(beat.has_value());
  EXPECT_EQ(beat->news.phase, BootPhase::storage_active);
  EXPECT_EQ(beat->news.agent_state, ClientState::gone);
  EXPECT_EQ(beat->news.ccm_beat, 812U);
  EXPECT_EQ(beat->incarnation, Incarnation(22));
}

TEST_F(BeatExchanges, measure_the_round_trip_without_the_time_that_the_other_held_it) {
  meet();
  for (int i = 0; i < 10; ++i) exchange(milliseconds(3));
  EXPECT_EQ(alpha_.round_trips().last, milliseconds(6)) << "there and back; a beat is held for 7 ms in between";
  EXPECT_EQ(alpha_.round_trips().max, milliseconds(6));
  EXPECT_EQ(alpha_.round_trips().min, milliseconds(2));
  EXPECT_EQ(alpha_.counters().lost, 0U);
}

TEST_F(BeatExchanges, count_what_was_lost_and_what_came_out_of_order) {
  meet();
  const Bytes first = beta_beats();
  const Bytes second = beta_beats();
  const Bytes third = beta_beats();
  EXPECT_EQ(refusal(third), std::nullopt);
  EXPECT_EQ(alpha_.counters().lost, 2U);
  EXPECT_EQ(refusal(first), BeatRefusal::reordered);
  EXPECT_EQ(alpha_.counters().lost, 1U) << "it was not lost";
  EXPECT_EQ(refusal(first), BeatRefusal::replayed);
  EXPECT_EQ(refusal(third), BeatRefusal::replayed);
  EXPECT_EQ(refusal(second), BeatRefusal::reordered);
}

TEST_F(BeatExchanges, refuse_every_byte_that_another_has_touched) {
  meet();
  Bytes beat = beta_beats();
  for (std::byte& byte : beat) {
    byte ^= std::byte{0x40};
    EXPECT_NE(refusal(beat), std::nullopt);
    byte ^= std::byte{0x40};
  }
  EXPECT_EQ(refusal(beat), std::nullopt) << "and the true one counts after all of that";
}

TEST_F(BeatExchanges, tell_foreign_forged_and_misdirected_beats_apart) {
  meet();
  BeatExchange other_pair({*PairName::parse("other"), *NodeName::parse("gamma"), *NodeName::parse("alpha"),
                           Incarnation(33), BootId{}, 0, milliseconds(10)},
                          pair_key());
  EXPECT_EQ(refusal(other_pair.make(now_, {})), BeatRefusal::foreign);
  EXPECT_EQ(alpha_.foreign_pair().view(), "other");
  EXPECT_EQ(alpha_.foreign_node().view(), "gamma");
  EXPECT_EQ(refusal(alpha_beats()), BeatRefusal::foreign) << "its own, reflected";
  BeatExchange without_key(identity("beta", "alpha", 22), key_of("another secret of thirty-two bytes"));
  EXPECT_EQ(refusal(without_key.make(now_, {})), BeatRefusal::forged);
  BeatExchange elsewhere(identity("beta", "alpha", 22, 1), pair_key());
  EXPECT_EQ(refusal(elsewhere.make(now_, {})), BeatRefusal::misdirected);
  EXPECT_EQ(refusal({}), BeatRefusal::malformed);
  EXPECT_EQ(refusal(std::vector<std::byte>(kBeatBytes + 1)), BeatRefusal::malformed);
}

TEST_F(BeatExchanges, a_recording_of_this_life_never_counts_again) {
  meet();
  std::vector<Bytes> recorded;
  for (int i = 0; i < 200; ++i) {
    recorded.push_back(beta_beats());
    (void)alpha_.take(now_, recorded.back());
    exchange();
  }
  now_ += seconds(2);
  const auto heard = alpha_.counters().heard;
  for (const Bytes& beat : recorded) EXPECT_NE(refusal(beat), std::nullopt);
  EXPECT_EQ(alpha_.counters().heard, heard);
}

TEST_F(BeatExchanges, a_beat_that_was_kept_from_this_node_is_too_late) {
  meet();
  const Bytes kept = beta_beats();
  now_ += BeatExchange::kMaxRoundTrip + milliseconds(1);
  EXPECT_EQ(refusal(kept), BeatRefusal::late) << "never seen before, and no proof that its sender lives";
}

TEST_F(BeatExchanges, a_recording_of_an_earlier_life_of_this_node_never_counts) {
  meet();
  const Bytes recorded = beta_beats();
  BeatExchange restarted(identity("alpha", "beta", 12), pair_key());
  EXPECT_EQ(restarted.take(now_, recorded).error(), BeatRefusal::unanswered);
  EXPECT_EQ(restarted.take(now_, recorded).error(), BeatRefusal::unanswered);
  EXPECT_FALSE(restarted.heard_at().has_value());
}

TEST_F(BeatExchanges, a_recording_does_not_keep_the_partner_itself_out) {
  meet();
  const Bytes recorded = beta_beats();
  alpha_ = BeatExchange(identity("alpha", "beta", 12), pair_key());
  beta_ = BeatExchange(identity("beta", "alpha", 23), pair_key());
  // Whoever replays does so right behind each true beat.
  for (int i = 0; i < 50 && !(heard_by_alpha_ && heard_by_beta_ && i > 2); ++i) {
    exchange();
    (void)alpha_.take(now_, recorded);
  }
  exchange();
  EXPECT_TRUE(heard_by_beta_) << "alpha answers beta, not only the recording";
}

TEST_F(BeatExchanges, a_recording_does_not_draw_the_answers_of_a_slow_network_to_itself) {
  BeatExchange earlier(identity("beta", "alpha", 21), pair_key());
  const Bytes recorded = earlier.make(now_, {});
  BeatIdentity slow_alpha = identity("alpha", "beta", 11);
  BeatIdentity slow_beta = identity("beta", "alpha", 22);
  slow_alpha.pace = slow_beta.pace = seconds(1);
  alpha_ = BeatExchange(slow_alpha, pair_key());
  beta_ = BeatExchange(slow_beta, pair_key());
  for (int i = 0; i < 20; ++i) {
    exchange();
    for (int replay = 0; replay < 3; ++replay) {
      now_ += milliseconds(330);
      (void)alpha_.take(now_, recorded);
    }
    if (i > 2) {
      EXPECT_TRUE(heard_by_alpha_ && heard_by_beta_) << "round " << i;
    }
  }
}

TEST_F(BeatExchanges, take_up_a_partner_that_was_restarted) {
  meet();
  const Bytes of_old_life = beta_beats();
  beta_ = BeatExchange(identity("beta", "alpha", 23), pair_key());
  for (int i = 0; i < 3; ++i) exchange();
  EXPECT_TRUE(heard_by_alpha_ && heard_by_beta_);
  EXPECT_EQ(refusal(of_old_life), BeatRefusal::replayed) << "that life is over";
}

TEST_F(BeatExchanges, show_that_one_direction_is_cut) {
  meet();
  const Instant before = *alpha_.reached_partner_at();
  // Beyond what is kept of the beats that were sent, too.
  for (int i = 0; i < 2000; ++i) {
    (void)alpha_beats();  // lost
    ASSERT_EQ(refusal(beta_beats()), std::nullopt) << "beta is heard all the same, round " << i;
    now_ += milliseconds(10);
  }
  EXPECT_LE(*alpha_.reached_partner_at() - before, milliseconds(10));
  EXPECT_GE(*alpha_.heard_at() - *alpha_.reached_partner_at(), seconds(19));
  EXPECT_LE(alpha_.round_trips().max, milliseconds(2)) << "what is said again is no new measurement";
}

TEST_F(BeatExchanges, answers_to_what_was_never_sent_do_not_count) {
  meet();
  BeatExchange liar(identity("beta", "alpha", 24), pair_key());
  BeatExchange alpha_ahead(identity("alpha", "beta", 11), pair_key());
  for (int i = 0; i < 5000; ++i) (void)alpha_ahead.make(now_, {});
  (void)liar.take(now_, alpha_ahead.make(now_, {}));
  EXPECT_EQ(refusal(liar.make(now_, {})), BeatRefusal::late);
}

TEST_F(BeatExchanges, survive_a_pause_of_this_node) {
  meet();
  std::vector<Bytes> queued;
  const Instant before = now_;
  for (int i = 0; i < 500; ++i) {
    queued.push_back(beta_beats());
    now_ += milliseconds(10);
  }
  ASSERT_GE(now_ - before, seconds(5));
  std::size_t counted = 0;
  for (const Bytes& beat : queued) counted += refusal(beat) ? 0U : 1U;
  EXPECT_GT(counted, 0U) << "the youngest are of now";
  EXPECT_LE(counted, 105U) << "the oldest are not";
  exchange();
  EXPECT_TRUE(heard_by_alpha_ && heard_by_beta_);
}

}  // namespace
}  // namespace hapair::ccm
