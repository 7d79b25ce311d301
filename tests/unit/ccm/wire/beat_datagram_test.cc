#include "ccm/wire/beat_datagram.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <numeric>
#include <vector>

#include "tests/unit/ccm/wire/golden.h"

namespace hapair::ccm {
namespace {

using Bytes = std::array<std::byte, kBeatBytes>;

Key golden_key() {
  static constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";
  return beat_key(Key::from_secret(std::as_bytes(std::span(kSecret))));
}

BeatView golden_view() {
  BeatView view;
  view.pair = *PairName::parse("pair-1");
  view.sender = *NodeName::parse("alpha");
  view.network = 2;
  view.incarnation = Incarnation(0x1122334455667788);
  std::iota(view.boot_id.bytes.begin(), view.boot_id.bytes.end(), std::uint8_t{0});
  view.sequence = 0x0102030405060708;
  view.heard_incarnation = Incarnation(0x99);
  view.heard_sequence = 0x0a0b0c;
  view.held = std::chrono::microseconds(123456);
  view.news = {BootPhase::storage_active, ClientState::registered, 0x2a, 0x0d0e, 0xabcdef};
  return view;
}

Bytes changed(const std::function<void(BeatDatagramLayout&)>& change) {
  Bytes bytes = encode_beat(golden_view(), golden_key());
  BeatDatagramLayout layout;
  std::memcpy(&layout, bytes.data(), sizeof layout);
  change(layout);
  std::memcpy(bytes.data(), &layout, sizeof layout);
  return bytes;
}

BeatError error_of(std::span<const std::byte> bytes) {
  const auto beat = parse_beat(bytes);
  EXPECT_FALSE(beat.has_value());
  return beat.has_value() ? BeatError::truncated : beat.error();
}

TEST(BeatDatagram, IsEncodedAsTheGoldenBytes) {
  const Bytes bytes = encode_beat(golden_view(), golden_key());
  EXPECT_EQ(std::vector<std::byte>(bytes.begin(), bytes.end()), golden_bytes(kGoldenBeat, kBeatBytes));
}

TEST(BeatDatagram, IsReadFromTheGoldenBytes) {
  const auto bytes = golden_bytes(kGoldenBeat, kBeatBytes);
  const auto beat = parse_beat(bytes);
  ASSERT_TRUE(beat.has_value());
  EXPECT_TRUE(beat_is_authentic(bytes, golden_key()));
  EXPECT_EQ(beat->pair.view(), "pair-1");
  EXPECT_EQ(beat->sender.view(), "alpha");
  EXPECT_EQ(beat->network, 2);
  EXPECT_EQ(beat->incarnation, Incarnation(0x1122334455667788));
  EXPECT_EQ(beat->boot_id, golden_view().boot_id);
  EXPECT_EQ(beat->sequence, 0x0102030405060708U);
  EXPECT_EQ(beat->heard_incarnation, Incarnation(0x99));
  EXPECT_EQ(beat->heard_sequence, 0x0a0b0cU);
  EXPECT_EQ(beat->held, std::chrono::microseconds(123456));
  EXPECT_EQ(beat->news.phase, BootPhase::storage_active);
  EXPECT_EQ(beat->news.agent_state, ClientState::registered);
  EXPECT_EQ(beat->news.ccm_beat, 0x2aU);
  EXPECT_EQ(beat->news.agent_beat, 0x0d0eU);
  EXPECT_EQ(beat->news.agent_life, 0xabcdefU);
}

TEST(BeatDatagram, IsRefusedWhereItIsCutShortOrTooLong) {
  const Bytes bytes = encode_beat(golden_view(), golden_key());
  for (std::size_t size = 0; size < kBeatBytes; ++size) {
    EXPECT_EQ(error_of(std::span(bytes).first(size)), BeatError::truncated) << size;
  }
  std::vector<std::byte> longer(bytes.begin(), bytes.end());
  longer.push_back(std::byte{0});
  EXPECT_EQ(error_of(longer), BeatError::truncated);
  EXPECT_FALSE(beat_is_authentic(longer, golden_key()));
}

TEST(BeatDatagram, IsRefusedWhereAFieldHasAValueThatNoVersionDefines) {
  EXPECT_EQ(error_of(Bytes{}), BeatError::not_a_beat);
  EXPECT_EQ(error_of(changed([](auto& b) { b.magic ^= 1; })), BeatError::not_a_beat);
  EXPECT_EQ(error_of(changed([](auto& b) { b.version = 2; })), BeatError::version);
  const std::vector<std::function<void(BeatDatagramLayout&)>> malformed{
      [](auto& b) { b.pair.fill('\0'); },     [](auto& b) { b.sender[0] = '/'; },
      [](auto& b) { b.pair.fill('x'); },      [](auto& b) { b.incarnation = 0; },
      [](auto& b) { b.sequence = 0; },        [](auto& b) { b.network = kMaxNetworks; },
      [](auto& b) { b.phase = kBootPhases; }, [](auto& b) { b.agent_state = 4; },
      [](auto& b) { b.held_us = ~0ULL; },
  };
  for (const auto& change : malformed) EXPECT_EQ(error_of(changed(change)), BeatError::malformed);
}

TEST(BeatDatagram, ItsMacCoversEveryByte) {
  Bytes bytes = encode_beat(golden_view(), golden_key());
  ASSERT_TRUE(beat_is_authentic(bytes, golden_key()));
  for (std::byte& byte : bytes) {
    byte ^= std::byte{1};
    EXPECT_FALSE(beat_is_authentic(bytes, golden_key())) << &byte - bytes.data();
    byte ^= std::byte{1};
  }
  EXPECT_FALSE(beat_is_authentic(bytes, Key{})) << "another pair's key";
}

}  // namespace
}  // namespace hapair::ccm
