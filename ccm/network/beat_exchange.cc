#include "ccm/network/beat_exchange.h"

#include <algorithm>

namespace hapair::ccm {
namespace {

constexpr Duration::rep kMeanOver = 16;
// A life whose beats count is answered before one that only greets until so many of its beats are missing. A new life
// of the partner need not wait for that: it hears this node, answers it, and counts at once.
constexpr int kFaithfulBeats = 10;

Duration moved_mean(Duration mean, Duration value) {
  return mean == Duration{} ? value : mean - mean / kMeanOver + value / kMeanOver;
}

}  // namespace

BeatExchange::BeatExchange(const BeatIdentity& identity, const Key& pair_key)
    : identity_(identity), key_(beat_key(pair_key)) {}

const BeatExchange::Life& BeatExchange::addressee(Instant now) const {
  const bool faithful = partner_.known() && now - partner_.when <= kFaithfulBeats * identity_.pace;
  return faithful || !greeting_.known() ? partner_ : greeting_;
}

std::array<std::byte, kBeatBytes> BeatExchange::make(Instant now, const BeatNews& news) {
  const Life& to = addressee(now);
  BeatView beat;
  beat.pair = identity_.pair;
  beat.sender = identity_.node;
  beat.network = identity_.network;
  beat.incarnation = identity_.incarnation;
  beat.boot_id = identity_.boot_id;
  beat.sequence = ++sequence_;
  beat.heard_incarnation = to.incarnation;
  beat.heard_sequence = to.newest;
  beat.held = to.known() ? now - to.when : Duration{};
  beat.news = news;
  sent_at_[sequence_ % kSentKept] = now;
  ++counters_.sent;
  return encode_beat(beat, key_);
}

std::unexpected<BeatRefusal> BeatExchange::refuse(BeatRefusal refusal) {
  ++counters_.refused[static_cast<std::size_t>(refusal)];
  return std::unexpected(refusal);
}

std::optional<BeatRefusal> BeatExchange::stranger(std::span<const std::byte> bytes, const BeatView& beat) {
  if (beat.pair != identity_.pair || beat.sender != identity_.partner) {
    foreign_pair_ = beat.pair;
    foreign_node_ = beat.sender;
    return BeatRefusal::foreign;
  }
  if (!beat_is_authentic(bytes, key_)) return BeatRefusal::forged;
  if (beat.network != identity_.network) return BeatRefusal::misdirected;
  return std::nullopt;
}

std::optional<BeatRefusal> BeatExchange::out_of_turn(const BeatView& beat) {
  if (std::ranges::find(past_lives_, beat.incarnation) != past_lives_.end()) return BeatRefusal::replayed;
  if (beat.incarnation != partner_.incarnation || beat.sequence > partner_.newest) return std::nullopt;
  const std::uint64_t behind = partner_.newest - beat.sequence;
  if (behind >= kWindow || ((partner_.seen >> behind) & 1U) != 0) return BeatRefusal::replayed;
  partner_.seen |= std::uint64_t{1} << behind;
  if (counters_.lost > 0) --counters_.lost;
  return BeatRefusal::reordered;
}

std::optional<BeatExchange::Answer> BeatExchange::answered(const BeatView& beat) const {
  if (beat.heard_sequence == 0 || beat.heard_sequence > sequence_) return std::nullopt;
  if (beat.heard_sequence == answer_.sequence) return answer_;
  if (sequence_ - beat.heard_sequence >= kSentKept) return std::nullopt;
  return Answer{beat.heard_sequence, sent_at_[beat.heard_sequence % kSentKept]};
}

void BeatExchange::note_newest(Instant now, const BeatView& beat, Life& life) {
  if (life.incarnation != beat.incarnation) life = {beat.incarnation, beat.sequence - 1, 0, now};
  const std::uint64_t step = beat.sequence - life.newest;
  life.seen = step < kWindow ? (life.seen << step) | 1U : 1U;
  life.newest = beat.sequence;
  life.when = now;
}

void BeatExchange::greet(Instant now, const BeatView& beat) {
  // The newest to come, whatever it says of its age: of a recording and the partner itself each gets its turn.
  if (beat.incarnation != partner_.incarnation) note_newest(now, beat, greeting_ = {});
}

std::expected<BeatView, BeatRefusal> BeatExchange::take(Instant now, std::span<const std::byte> bytes) {
  const auto beat = parse_beat(bytes);
  if (!beat) return refuse(beat.error() == BeatError::version ? BeatRefusal::version : BeatRefusal::malformed);
  if (const auto strange = stranger(bytes, *beat)) return refuse(*strange);
  if (const auto late = out_of_turn(*beat)) return refuse(*late);
  if (beat->heard_incarnation != identity_.incarnation) {
    greet(now, *beat);
    return refuse(BeatRefusal::unanswered);
  }
  const auto answer = answered(*beat);
  if (!answer || now - answer->sent_at - beat->held > kMaxRoundTrip) {
    greet(now, *beat);
    return refuse(BeatRefusal::late);
  }
  accept(now, *beat, *answer);
  return *beat;
}

void BeatExchange::accept(Instant now, const BeatView& beat, const Answer& answer) {
  const bool same_life = beat.incarnation == partner_.incarnation;
  if (same_life) {
    counters_.lost += beat.sequence - partner_.newest - 1;
    mean_arrival_ = moved_mean(mean_arrival_, now - partner_.when);
  } else if (partner_.known()) {
    past_lives_[next_past_] = partner_.incarnation;
    next_past_ = (next_past_ + 1) % kPastLives;
  }
  note_newest(now, beat, partner_);
  if (greeting_.incarnation == beat.incarnation) greeting_ = {};
  made_after_ = answer.sent_at;
  ++counters_.heard;
  // The partner may say what it heard long ago again and again; only news of it tells how long the way is.
  if (answer.sequence <= answer_.sequence) return;
  answer_ = answer;
  const Duration round_trip = std::max(now - answer.sent_at - beat.held, Duration(1));
  RoundTrips& trips = round_trips_;
  trips.min = trips.last == Duration{} ? round_trip : std::min(trips.min, round_trip);
  trips.max = std::max(trips.max, round_trip);
  trips.mean = moved_mean(trips.mean, round_trip);
  trips.last = round_trip;
}

std::optional<Instant> BeatExchange::heard_at() const {
  if (!partner_.known()) return std::nullopt;
  return partner_.when;
}

std::optional<Instant> BeatExchange::reached_partner_at() const {
  if (answer_.sequence == 0) return std::nullopt;
  return answer_.sent_at;
}

}  // namespace hapair::ccm
