#include "ccm/wire/notice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "tests/unit/ccm/wire/golden.h"

namespace hapair::ccm {
namespace {

Key pair_key() {
  static constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";
  return Key::from_secret(std::as_bytes(std::span(kSecret)));
}

BeatView beat_of(std::uint64_t sequence, std::uint64_t incarnation = 0x11) {
  BeatView beat;
  beat.pair = *PairName::parse("pair-1");
  beat.sender = *NodeName::parse("alpha");
  beat.incarnation = Incarnation(incarnation);
  beat.sequence = sequence;
  beat.heard_incarnation = Incarnation(0x99);
  beat.heard_sequence = 4;
  return beat;
}

AgentBlockLayout agent_block(std::uint64_t serial) {
  AgentBlockLayout block{};
  block.serial = serial;
  block.agent_life = 0xabcdef;
  block.shared_config_hash = 0x0102030405060708;
  block.pool_count = 1;
  put_name(block.pools[0].name, "pool-a");
  block.pools[0].epoch = 8;
  block.pools[0].owner = 1;
  return block;
}

DiskBlock block_of(const BeatView& beat, std::uint64_t serial, const Key& key = pair_key()) {
  DiskBlock block;
  encode_notice(block, encode_beat(beat, beat_key(key)), agent_block(serial), notice_key(key));
  return block;
}

NoticeRefusal refusal_of(std::span<const std::byte> block, const BeatView& beat) {
  const auto notice = open_notice(block, beat, notice_key(pair_key()));
  EXPECT_FALSE(notice.has_value());
  return notice.has_value() ? NoticeRefusal::malformed : notice.error();
}

TEST(Notice, IsEncodedAsTheGoldenBytes) {
  const DiskBlock block = block_of(beat_of(7), 3);
  const std::span notice = std::span(block).subspan(kNoticeAt, sizeof(NoticeLayout));
  EXPECT_EQ(std::vector<std::byte>(notice.begin(), notice.end()), golden_bytes(kGoldenNotice, sizeof(NoticeLayout)));
}

TEST(Notice, IsReadBesideItsBeatAndNothingElseIsInTheBlock) {
  DiskBlock block = block_of(beat_of(7), 3);
  const auto notice = open_notice(block, beat_of(7), notice_key(pair_key()));
  ASSERT_TRUE(notice);
  EXPECT_TRUE(notice->there);
  const AgentBlockLayout sent = agent_block(3);
  EXPECT_EQ(std::memcmp(&notice->agent, &sent, sizeof sent), 0);
  EXPECT_TRUE(beat_is_authentic(std::span(block).first(kBeatBytes), beat_key(pair_key())));
  const auto zero = [](std::byte byte) { return byte == std::byte{}; };
  EXPECT_TRUE(std::ranges::all_of(std::span(block).subspan(kBeatBytes, kNoticeAt - kBeatBytes), zero));
  EXPECT_TRUE(std::ranges::all_of(std::span(block).subspan(kNoticeAt + sizeof(NoticeLayout)), zero));
}

TEST(Notice, OfACcmdThatWritesNoneIsNotThere) {
  DiskBlock block{};
  const auto beat = encode_beat(beat_of(7), beat_key(pair_key()));
  std::ranges::copy(beat, block.begin());
  const auto notice = open_notice(block, beat_of(7), notice_key(pair_key()));
  ASSERT_TRUE(notice);
  EXPECT_FALSE(notice->there);
}

TEST(Notice, OfHalfAWriteIsTorn) {
  // The beat of the newer write beside the notice of the older one, the other way round, and a write cut at each
  // sector.
  const DiskBlock older = block_of(beat_of(7), 3);
  const DiskBlock newer = block_of(beat_of(8), 4);
  for (std::size_t cut = 512; cut < kNoticeAt + sizeof(NoticeLayout); cut += 512) {
    DiskBlock torn = older;
    std::copy_n(newer.begin(), cut, torn.begin());
    EXPECT_EQ(refusal_of(torn, beat_of(8)), NoticeRefusal::torn) << cut;
    torn = newer;
    std::copy_n(older.begin(), cut, torn.begin());
    EXPECT_EQ(refusal_of(torn, beat_of(7)), NoticeRefusal::torn) << cut;
  }
}

TEST(Notice, OfAnEarlierLifeBesideABeatOfThisOneIsTorn) {
  DiskBlock block = block_of(beat_of(7, 0x12), 4);
  const DiskBlock earlier = block_of(beat_of(7, 0x11), 3);
  std::copy(earlier.begin() + kNoticeAt, earlier.end(), block.begin() + kNoticeAt);
  EXPECT_EQ(refusal_of(block, beat_of(7, 0x12)), NoticeRefusal::torn);
}

TEST(Notice, WithoutThePairsKeyIsForged) {
  static constexpr std::string_view kOther = "another secret of another pair...";
  const Key other = Key::from_secret(std::as_bytes(std::span(kOther)));
  EXPECT_EQ(refusal_of(block_of(beat_of(7), 3, other), beat_of(7)), NoticeRefusal::forged);
}

TEST(Notice, IsSealedTogetherWithTheBeatBesideIt) {
  // The same numbers, but another beat: one that answers another of this node's.
  BeatView answers_another = beat_of(7);
  answers_another.heard_sequence = 5;
  DiskBlock block = block_of(beat_of(7), 3);
  const auto beat = encode_beat(answers_another, beat_key(pair_key()));
  std::ranges::copy(beat, block.begin());
  EXPECT_EQ(refusal_of(block, answers_another), NoticeRefusal::forged);
}

TEST(Notice, OfAnotherVersionAndGarbageAreToldApart) {
  DiskBlock block = block_of(beat_of(7), 3);
  block[kNoticeAt + offsetof(NoticeLayout, version)] = std::byte{9};
  EXPECT_EQ(refusal_of(block, beat_of(7)), NoticeRefusal::version);
  block[kNoticeAt] ^= std::byte{1};
  EXPECT_EQ(refusal_of(block, beat_of(7)), NoticeRefusal::malformed);
  EXPECT_EQ(refusal_of(std::span(block).first(100), beat_of(7)), NoticeRefusal::malformed);
}

TEST(Notice, NoChangedByteLeavesItCounting) {
  const DiskBlock block = block_of(beat_of(7), 3);
  for (std::size_t at = kNoticeAt; at < kNoticeAt + offsetof(NoticeLayout, zero_b); ++at) {
    DiskBlock changed = block;
    changed[at] ^= std::byte{0x40};
    EXPECT_FALSE(open_notice(changed, beat_of(7), notice_key(pair_key()))) << at;
  }
}

}  // namespace
}  // namespace hapair::ccm
