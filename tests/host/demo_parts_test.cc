// The parts of the demonstration that the proof of "nothing lost" and "never two owners" rests on.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>

#include "deploy/demo/client/block.h"
#include "deploy/demo/client/ledger.h"
#include "deploy/demo/watcher/overlap.h"

namespace hapair::demo {
namespace {

using std::chrono::milliseconds;

using Block = std::array<std::byte, kBlockBytes>;
constexpr BlockName kName{.run = 7, .sequence = 42, .slot = 41, .pool = 9};

Instant at_ms(int ms) { return instant_of_ns(ms * std::int64_t{1'000'000}); }

TEST(Block, says_again_what_it_was_written_with) {
  Block block{};
  write_block(kName, block);
  EXPECT_EQ(read_block(block), kName);
}

TEST(Block, is_torn_when_any_of_its_bytes_differs) {
  Block block{};
  write_block(kName, block);
  for (std::size_t at = 8; at < block.size(); ++at) {
    block[at] ^= std::byte{0x10};
    EXPECT_EQ(read_block(block).error(), BlockFault::torn) << at;
    block[at] ^= std::byte{0x10};
  }
}

TEST(Block, is_torn_when_half_of_it_is_of_another_write) {
  Block older{};
  Block newer{};
  write_block(kName, older);
  write_block({.run = 7, .sequence = 43, .slot = 41, .pool = 9}, newer);
  std::copy(older.begin() + kBlockBytes / 2, older.end(), newer.begin() + kBlockBytes / 2);
  EXPECT_EQ(read_block(newer).error(), BlockFault::torn);
}

TEST(Block, that_was_never_written_is_empty_and_other_bytes_are_foreign) {
  Block block{};
  EXPECT_EQ(read_block(block).error(), BlockFault::empty);
  block[100] = std::byte{1};
  EXPECT_EQ(read_block(block).error(), BlockFault::foreign);
}

class LedgerTest : public testing::Test {
 protected:
  LedgerTest() : file_(testing::TempDir() + "ledger-" + std::to_string(::getpid())) {}
  ~LedgerTest() override { std::filesystem::remove(file_); }
  Ledger create(std::uint64_t slots) {
    auto ledger = Ledger::create(file_, {.magic = 0, .run = 7, .slots = slots, .pool = 9, .zero = 0});
    EXPECT_TRUE(ledger.has_value());
    return std::move(*ledger);
  }
  std::string file_;
};

TEST_F(LedgerTest, demands_the_newest_acknowledged_write_of_each_slot) {
  Ledger ledger = create(4);
  for (const auto& [sequence, slot] : {std::pair{1U, 0U}, {2U, 1U}, {5U, 0U}}) ledger.add({sequence, slot, 0, 0});
  EXPECT_EQ(ledger.commit(), std::size_t{3});
  const auto demands = read_ledger(file_);
  ASSERT_TRUE(demands.has_value());
  EXPECT_EQ(demands->newest, (std::vector<std::uint64_t>{5, 2, 0, 0}));
  EXPECT_EQ(demands->acknowledged, 3U);
  EXPECT_EQ(demands->run, 7U);
}

TEST_F(LedgerTest, demands_nothing_of_what_was_not_committed_and_nothing_of_a_torn_last_line) {
  Ledger ledger = create(4);
  ledger.add({1, 0, 0, 0});
  ASSERT_TRUE(ledger.commit());
  ledger.add({2, 1, 0, 0});
  std::ofstream(file_, std::ios::app | std::ios::binary) << "half a line";
  const auto demands = read_ledger(file_);
  ASSERT_TRUE(demands.has_value());
  EXPECT_EQ(demands->newest, (std::vector<std::uint64_t>{1, 0, 0, 0}));
}

TEST_F(LedgerTest, is_refused_when_it_names_a_slot_that_does_not_exist_or_is_no_ledger) {
  Ledger ledger = create(4);
  ledger.add({1, 4, 0, 0});
  ASSERT_TRUE(ledger.commit());
  EXPECT_FALSE(read_ledger(file_).has_value());
  std::ofstream(file_, std::ios::trunc) << "something else that is longer than a head of a ledger";
  EXPECT_FALSE(read_ledger(file_).has_value());
}

TEST(Overlap, counts_nothing_while_there_is_one_owner_or_none) {
  Overlap overlap;
  for (int ms = 0; ms < 10; ++ms) overlap.sample(at_ms(ms), ms % 2 == 0 ? 0 : 1);
  EXPECT_EQ(overlap.two_owners(at_ms(10)), Duration());
  EXPECT_TRUE(overlap.intervals().empty());
}

TEST(Overlap, counts_from_the_first_sample_with_two_owners_to_the_first_without) {
  Overlap overlap;
  overlap.sample(at_ms(0), 1);
  overlap.sample(at_ms(2), 2);
  overlap.sample(at_ms(4), 2);
  overlap.sample(at_ms(7), 1);
  EXPECT_EQ(overlap.two_owners(at_ms(100)), milliseconds(5));
  overlap.sample(at_ms(200), 2);
  EXPECT_EQ(overlap.two_owners(at_ms(203)), milliseconds(8)) << "an open interval counts up to now";
  EXPECT_EQ(overlap.intervals().size(), 2U);
}

}  // namespace
}  // namespace hapair::demo
