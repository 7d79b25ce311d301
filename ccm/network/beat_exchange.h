// The beats of one IP network: makes this node's, and says which of the partner's count. Pure: every call is
// (now, event); no socket, clock or allocation.
//
// Each beat says which beat of the other's its sender heard last and how long ago, so whoever gets it knows three
// things without comparing two machines' clocks: the round trip, whether the other direction works, and that the beat
// was made a moment ago and not recorded. A beat counts where
//   its MAC is the pair's, and its names, version and network are as configured;
//   it is newer than every one that counted before (a window of 64, as in RFC 4303, section 3.4.3, tells a replayed
//   beat from one that the network put out of order); it answers a beat of this very life of this node, and was under
//   way for no longer than kMaxRoundTrip.
// Until both nodes have heard each other none counts: one exchange of datagrams. What does not count changes nothing
// but a counter.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/beat_datagram.h"

namespace hapair::ccm {

struct BeatIdentity {
  PairName pair;
  NodeName node;
  NodeName partner;
  Incarnation incarnation;
  BootId boot_id;
  std::uint8_t network = 0;
  Duration pace = std::chrono::milliseconds(10);  // between two beats
};

struct RoundTrips {
  Duration last{};
  Duration min{};
  Duration mean{};  // moving: each counts one in sixteen
  Duration max{};
};

struct BeatCounters {
  std::uint64_t sent = 0;
  std::uint64_t heard = 0;  // those that counted
  std::uint64_t lost = 0;   // numbers that never came
  std::array<std::uint64_t, kBeatRefusals> refused{};
  [[nodiscard]] std::uint64_t of(BeatRefusal refusal) const { return refused[static_cast<std::size_t>(refusal)]; }
};

class BeatExchange {
 public:
  static constexpr Duration kMaxRoundTrip = std::chrono::seconds(1);

  BeatExchange(const BeatIdentity& identity, const Key& pair_key);

  // The next beat, to be sent at `now`.
  std::array<std::byte, kBeatBytes> make(Instant now, const BeatNews& news);
  // One datagram that came. The beat where it counts.
  std::expected<BeatView, BeatRefusal> take(Instant now, std::span<const std::byte> bytes);

  [[nodiscard]] const BeatCounters& counters() const { return counters_; }
  [[nodiscard]] const RoundTrips& round_trips() const { return round_trips_; }
  [[nodiscard]] Duration mean_arrival() const { return mean_arrival_; }
  // When the last one that counted came; nothing before the first.
  [[nodiscard]] std::optional<Instant> heard_at() const;
  // When this node sent the beat that the last one that counted answers: the partner made that one after this.
  [[nodiscard]] Instant made_after() const { return made_after_; }
  // When this node sent the newest beat that the partner has said it heard. Far behind heard_at(): the way to the
  // partner is cut, the way back is not.
  [[nodiscard]] std::optional<Instant> reached_partner_at() const;
  // What the last foreign beat called itself.
  [[nodiscard]] const PairName& foreign_pair() const { return foreign_pair_; }
  [[nodiscard]] const NodeName& foreign_node() const { return foreign_node_; }

 private:
  static constexpr std::size_t kSentKept = 1024;
  static constexpr std::size_t kPastLives = 8;
  static constexpr std::size_t kWindow = 64;

  // One life of the partner, as far as its beats go.
  struct Life {
    Incarnation incarnation;
    std::uint64_t newest = 0;
    std::uint64_t seen = 0;  // bit i: newest - i was seen
    Instant when;            // the newest came

    [[nodiscard]] bool known() const { return incarnation.value() != 0; }
  };
  struct Answer {
    std::uint64_t sequence = 0;  // of this node's beats
    Instant sent_at;
  };

  std::unexpected<BeatRefusal> refuse(BeatRefusal refusal);
  [[nodiscard]] std::optional<BeatRefusal> stranger(std::span<const std::byte> bytes, const BeatView& beat);
  [[nodiscard]] std::optional<BeatRefusal> out_of_turn(const BeatView& beat);
  [[nodiscard]] std::optional<Answer> answered(const BeatView& beat) const;
  void note_newest(Instant now, const BeatView& beat, Life& life);
  void greet(Instant now, const BeatView& beat);
  void accept(Instant now, const BeatView& beat, const Answer& answer);
  [[nodiscard]] const Life& addressee(Instant now) const;

  BeatIdentity identity_;
  Key key_;
  std::uint64_t sequence_ = 0;
  std::array<Instant, kSentKept> sent_at_{};
  Life partner_;   // the life whose beats count
  Life greeting_;  // another one, which has not answered yet
  std::array<Incarnation, kPastLives> past_lives_{};
  std::size_t next_past_ = 0;
  Instant made_after_;
  Answer answer_;  // the newest; kept when it falls out of `sent_at_`
  BeatCounters counters_;
  RoundTrips round_trips_;
  Duration mean_arrival_{};
  PairName foreign_pair_;
  NodeName foreign_node_;
};

}  // namespace hapair::ccm
