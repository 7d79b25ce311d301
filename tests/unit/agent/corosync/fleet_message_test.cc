#include "agent/corosync/fleet_message.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "agent/corosync/monitor_keys.h"
#include "ccm/base/crc32c.h"
#include "tests/unit/agent/corosync/fleet_reports.h"
#include "tests/unit/ccm/wire/golden.h"

namespace hapair::agent {
namespace {

using std::chrono::milliseconds;
using test::fleet_pool;
using test::fleet_report;

// Made by another implementation (Python: struct, and a CRC32C of its own).
constexpr ccm::GoldenRun kGolden[] = {
    {0, "484150464c455431010068014722adc70302010002000000706169722d31"},
    {56, "616c706861"},
    {88, "62657461"},
    {120, "74616b696e672d6f766572"},
    {144, "756e726561636861626c65"},
    {168, "8877665544332211706f6f6c2d61"},
    {208, "616c706861"},
    {240, "73657276696e67"},
    {264, "07"},
    {272, "706f6f6c2d62"},
    {336, "636c61696d696e67"},
};

FleetNews golden_news() {
  FleetReport report = fleet_report(
      "pair-1", "alpha", "beta",
      {fleet_pool("pool-a", "alpha", "serving", 0x1122334455667788), fleet_pool("pool-b", "", "claiming", 7)});
  report.state = "taking-over";
  report.partner_seen = "unreachable";
  return {report, milliseconds(0x010203)};
}

// The golden message, changed by someone who knows how to make its checksum.
std::vector<std::byte> sealed(const std::function<void(std::vector<std::byte>&)>& change) {
  auto bytes = encode_fleet_message(golden_news());
  change(bytes);
  const std::uint32_t none = 0;
  std::memcpy(bytes.data() + offsetof(FleetHeaderLayout, crc), &none, sizeof none);
  const std::uint32_t crc = crc32c(bytes);
  std::memcpy(bytes.data() + offsetof(FleetHeaderLayout, crc), &crc, sizeof crc);
  return bytes;
}
std::vector<std::byte> with_byte(std::size_t at, char value) {
  return sealed([&](auto& bytes) { bytes.at(at) = static_cast<std::byte>(value); });
}

FleetRefusal refusal_of(std::span<const std::byte> bytes) {
  const auto news = decode_fleet_message(bytes);
  EXPECT_FALSE(news);
  return news ? FleetRefusal::foreign : news.error();
}

TEST(FleetMessage, IsTheseBytes) {
  EXPECT_EQ(encode_fleet_message(golden_news()), ccm::golden_bytes(kGolden, 360));
  const auto read = decode_fleet_message(ccm::golden_bytes(kGolden, 360));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->report, golden_news().report);
  EXPECT_EQ(read->age, golden_news().age);
}

TEST(FleetMessage, OfMostPoolsComesThroughAndOfNone) {
  FleetNews news = golden_news();
  for (std::size_t i = 2; i < ccm::kMaxPools; ++i) {
    news.report.pools.push_back(fleet_pool("pool-" + std::to_string(i), "beta", "elsewhere", i));
  }
  EXPECT_EQ(encode_fleet_message(news).size(), kMaxFleetMessageBytes);
  EXPECT_EQ(decode_fleet_message(encode_fleet_message(news))->report, news.report);
  news.report.pools.clear();
  EXPECT_EQ(decode_fleet_message(encode_fleet_message(news))->report, news.report);
}

TEST(FleetMessage, WithAWordThatIsTooLongIsCut) {
  FleetNews news = golden_news();
  news.report.state = std::string(100, 'a');
  EXPECT_EQ(decode_fleet_message(encode_fleet_message(news))->report.state, std::string(kFleetWordBytes - 1, 'a'));
}

TEST(FleetMessage, OfStrangersIsForeign) {
  EXPECT_EQ(refusal_of({}), FleetRefusal::foreign);
  EXPECT_EQ(refusal_of(std::as_bytes(std::span("hello"))), FleetRefusal::foreign);
  EXPECT_EQ(refusal_of(with_byte(0, 'X')), FleetRefusal::foreign);
}

TEST(FleetMessage, CutAnywhereBehindItsMagicIsTruncated) {
  const auto whole = encode_fleet_message(golden_news());
  for (std::size_t size = 8; size < whole.size(); ++size) {
    EXPECT_EQ(refusal_of(std::span(whole).first(size)), FleetRefusal::truncated) << size;
  }
}

TEST(FleetMessage, OfANewerVersionIsNotRead) {
  EXPECT_EQ(refusal_of(with_byte(8, 2)), FleetRefusal::newer);
  // Also where that version is shorter.
  const auto newer = with_byte(8, 2);
  EXPECT_EQ(refusal_of(std::span(newer).first(20)), FleetRefusal::newer);
  EXPECT_EQ(refusal_of(with_byte(8, 0)), FleetRefusal::garbage);
}

TEST(FleetMessage, WithAnyBitTurnedIsRefused) {
  const auto whole = encode_fleet_message(golden_news());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      auto bytes = whole;
      bytes[at] ^= static_cast<std::byte>(1U << bit);
      EXPECT_FALSE(decode_fleet_message(bytes)) << at << "." << bit;
    }
  }
}

TEST(FleetMessage, ThatContradictsItselfIsGarbage) {
  EXPECT_EQ(refusal_of(with_byte(20, 1)), FleetRefusal::garbage) << "another number of pools";
  EXPECT_EQ(refusal_of(with_byte(20, 17)), FleetRefusal::garbage) << "more pools than there can be";
  EXPECT_EQ(refusal_of(with_byte(24, ' ')), FleetRefusal::garbage) << "no pair's name";
  EXPECT_EQ(refusal_of(with_byte(56, 0)), FleetRefusal::garbage) << "no node";
  EXPECT_EQ(refusal_of(with_byte(120, 27)), FleetRefusal::garbage) << "an escape in the state";
  EXPECT_EQ(refusal_of(with_byte(144, 0)), FleetRefusal::garbage) << "no verdict";
  EXPECT_EQ(refusal_of(with_byte(143, 'x')), FleetRefusal::garbage) << "bytes behind the state's end";
  EXPECT_EQ(refusal_of(with_byte(208, '/')), FleetRefusal::garbage) << "no owner's name";
  EXPECT_EQ(refusal_of(sealed([](auto& b) { b.push_back(std::byte{0}); })), FleetRefusal::garbage) << "too long";
  EXPECT_EQ(refusal_of(sealed([](auto& b) { std::memcpy(b.data() + 88, b.data() + 56, ccm::kNameBytes); })),
            FleetRefusal::garbage)
      << "its own partner";
}

TEST(MonitorKeys, AreTheReport) {
  const MonitorKeys keys = monitor_keys(golden_news().report);
  const MonitorKeys expected{{"hapair.pair", "pair-1"},
                             {"hapair.node", "alpha"},
                             {"hapair.partner", "beta"},
                             {"hapair.node_state", "taking-over"},
                             {"hapair.partner_seen", "unreachable"},
                             {"hapair.pool.pool-a.state", "serving"},
                             {"hapair.pool.pool-a.owner", "alpha"},
                             {"hapair.pool.pool-a.epoch", std::uint64_t{0x1122334455667788}},
                             {"hapair.pool.pool-b.state", "claiming"},
                             {"hapair.pool.pool-b.owner", "unknown"},
                             {"hapair.pool.pool-b.epoch", std::uint64_t{7}}};
  EXPECT_EQ(keys, expected);
}

}  // namespace
}  // namespace hapair::agent
