#include "ccm/wire/beat_datagram.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace hapair::ccm {
namespace {

constexpr std::size_t kMacAt = offsetof(BeatDatagramLayout, mac);
// Longer than any machine runs, and far from where nanoseconds overflow.
constexpr std::uint64_t kMaxHeldUs = 100ULL * 365 * 24 * 3600 * 1'000'000;

}  // namespace

std::string_view text_of(BeatError error) {
  switch (error) {
    case BeatError::truncated:
      return "truncated";
    case BeatError::not_a_beat:
      return "not-a-beat";
    case BeatError::version:
      return "version";
    case BeatError::malformed:
      return "malformed";
  }
  return "unknown";
}

std::string_view text_of(BeatRefusal refusal) {
  switch (refusal) {
    case BeatRefusal::malformed:
      return "malformed";
    case BeatRefusal::version:
      return "version";
    case BeatRefusal::foreign:
      return "foreign";
    case BeatRefusal::forged:
      return "forged";
    case BeatRefusal::misdirected:
      return "misdirected";
    case BeatRefusal::replayed:
      return "replayed";
    case BeatRefusal::reordered:
      return "reordered";
    case BeatRefusal::unanswered:
      return "unanswered";
    case BeatRefusal::late:
      return "late";
  }
  return "unknown";
}

Key beat_key(const Key& pair_key) { return pair_key.derive("hapair beat datagram 1", {}); }

std::array<std::byte, kBeatBytes> encode_beat(const BeatView& beat, const Key& key) {
  BeatDatagramLayout out{};
  out.magic = kBeatMagic;
  out.version = kBeatVersion;
  out.network = beat.network;
  out.phase = static_cast<std::uint8_t>(beat.news.phase);
  out.agent_state = static_cast<std::uint8_t>(beat.news.agent_state);
  put_name(out.pair, beat.pair.view());
  put_name(out.sender, beat.sender.view());
  out.incarnation = beat.incarnation.value();
  out.boot_id = beat.boot_id.bytes;
  out.sequence = beat.sequence;
  out.heard_incarnation = beat.heard_incarnation.value();
  out.heard_sequence = beat.heard_sequence;
  const auto held = std::chrono::duration_cast<std::chrono::microseconds>(std::max(beat.held, Duration{}));
  out.held_us = static_cast<std::uint64_t>(held.count());
  out.ccm_beat = beat.news.ccm_beat;
  out.agent_beat = beat.news.agent_beat;
  out.agent_life = beat.news.agent_life;
  std::array<std::byte, kBeatBytes> bytes{};
  out.mac = short_mac_of(key, {std::as_bytes(std::span(&out, 1)).first(kMacAt)});
  std::memcpy(bytes.data(), &out, sizeof out);
  return bytes;
}

std::expected<BeatView, BeatError> parse_beat(std::span<const std::byte> bytes) {
  if (bytes.size() != kBeatBytes) return std::unexpected(BeatError::truncated);
  BeatDatagramLayout in;
  std::memcpy(&in, bytes.data(), sizeof in);
  if (in.magic != kBeatMagic) return std::unexpected(BeatError::not_a_beat);
  if (in.version != kBeatVersion) return std::unexpected(BeatError::version);
  const auto pair = PairName::parse(name_in(in.pair));
  const auto sender = NodeName::parse(name_in(in.sender));
  if (!pair || !sender || in.incarnation == 0 || in.sequence == 0 || in.network >= kMaxNetworks ||
      in.phase >= kBootPhases || in.agent_state > static_cast<std::uint8_t>(ClientState::left) ||
      in.held_us > kMaxHeldUs) {
    return std::unexpected(BeatError::malformed);
  }
  BeatView beat;
  beat.pair = *pair;
  beat.sender = *sender;
  beat.network = in.network;
  beat.incarnation = Incarnation(in.incarnation);
  beat.boot_id = BootId{in.boot_id};
  beat.sequence = in.sequence;
  beat.heard_incarnation = Incarnation(in.heard_incarnation);
  beat.heard_sequence = in.heard_sequence;
  beat.held = std::chrono::microseconds(static_cast<std::int64_t>(in.held_us));
  beat.news = {static_cast<BootPhase>(in.phase), static_cast<ClientState>(in.agent_state), in.ccm_beat, in.agent_beat,
               in.agent_life};
  return beat;
}

bool beat_is_authentic(std::span<const std::byte> bytes, const Key& key) {
  if (bytes.size() != kBeatBytes) return false;
  ShortMac found{};
  std::memcpy(found.data(), bytes.data() + kMacAt, found.size());
  return same(found, short_mac_of(key, {bytes.first(kMacAt)}));
}

}  // namespace hapair::ccm
