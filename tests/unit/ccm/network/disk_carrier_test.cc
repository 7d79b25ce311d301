// Two ends of one mailbox disk, on a real file by direct I/O.
#include "ccm/network/disk_carrier.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "ccm/base/fd.h"
#include "tests/unit/ccm/eventually.h"
#include "tests/unit/ccm/temp_folder.h"

namespace hapair::ccm {
namespace {

// The whole of a node's block: what stands beside its beat goes with it.
DiskBlock beat(std::uint8_t number) {
  DiskBlock bytes{};
  bytes.fill(std::byte{number});
  return bytes;
}

constexpr DiskAreaId kId{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

class MailboxDisk : public testing::Test {
 protected:
  static DiskPair of(const char* node, const char* partner, const char* pair = "pair") {
    return {*PairName::parse(pair), *NodeName::parse(node), *NodeName::parse(partner)};
  }
  void write(std::size_t block, std::span<const std::byte> bytes) const {
    const Fd file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(block * kDiskBlockBytes)),
              static_cast<ssize_t>(bytes.size()));
  }
  std::vector<std::byte> read(std::size_t block) const {
    std::vector<std::byte> bytes(kDiskBlockBytes);
    const Fd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(::pread(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(block * kDiskBlockBytes)),
              static_cast<ssize_t>(bytes.size()));
    return bytes;
  }
  void make_area() const {
    write(0, std::vector<std::byte>(kDiskBytes));
    write(0, encode_disk_header(of("alpha", "beta"), kId));
  }
  std::unique_ptr<DiskCarrier> open(const char* node, const char* partner) const {
    auto carrier = DiskCarrier::open(path_, of(node, partner));
    EXPECT_TRUE(carrier);
    return std::move(*carrier);
  }
  // Sends until the other end has the beat.
  static bool arrives(DiskCarrier& from, DiskCarrier& to, std::uint8_t number) {
    return eventually([&] {
      (void)from.send(beat(number));
      (void)to.send(beat(200));  // whose thread reads after it writes
      const auto came = to.receive();
      return !came.empty() && std::ranges::equal(came.front().bytes, beat(number));
    });
  }

  TempFolder folder_;
  std::string path_ = folder_ / "disk";
};

TEST_F(MailboxDisk, CarriesBeatsBothWaysEachNodeInItsBlock) {
  make_area();
  const auto alpha = open("alpha", "beta");
  const auto beta = open("beta", "alpha");
  EXPECT_TRUE(arrives(*alpha, *beta, 1));
  EXPECT_TRUE(arrives(*beta, *alpha, 2));
  // A beat that is wanted while the disk has the last one is an error by itself, until the next.
  EXPECT_TRUE(eventually([&] { return alpha->send(beat(1)) && alpha->error() == 0; }));
  EXPECT_EQ(alpha->refused(), std::nullopt);
  EXPECT_EQ(read(2).front(), std::byte{2}) << "beta's";
  EXPECT_TRUE(check_disk_header(read(0), of("beta", "alpha")));
}

TEST_F(MailboxDisk, ABeatAloneLeavesNothingOfTheLastBlockBesideIt) {
  make_area();
  const auto alpha = open("alpha", "beta");
  const auto first = beat(7);
  ASSERT_TRUE(eventually([&] { return alpha->send(first); }));
  ASSERT_TRUE(eventually([&] { return std::ranges::equal(read(1), first); }));
  DiskBlock alone{};
  std::ranges::copy(std::span(first).first(kBeatBytes), alone.begin());
  ASSERT_TRUE(eventually([&] { return alpha->send(std::span(first).first(kBeatBytes)); }));
  EXPECT_TRUE(eventually([&] { return std::ranges::equal(read(1), alone); }));
}

TEST_F(MailboxDisk, ABeatIsToldOnce) {
  make_area();
  write(2, beat(9));
  const auto alpha = open("alpha", "beta");
  ASSERT_TRUE(eventually([&] {
    (void)alpha->send(beat(1));
    return !alpha->receive().empty();
  }));
  for (std::uint8_t i = 2; i < 20; ++i) {
    ASSERT_TRUE(eventually([&] { return alpha->send(beat(i)); }));
    EXPECT_TRUE(alpha->receive().empty());
  }
}

TEST_F(MailboxDisk, NothingIsWrittenToWhatIsNotThisPairs) {
  struct Case {
    std::vector<std::byte> first;
    DiskError error;
  };
  const auto others = encode_disk_header(of("alpha", "beta", "other"), kId);
  auto damaged = encode_disk_header(of("alpha", "beta"), kId);
  damaged[20] ^= std::byte{1};
  const auto bytes = [](const auto& block) { return std::vector<std::byte>(block.begin(), block.end()); };
  const std::vector<std::byte> data(kDiskBlockBytes, std::byte{0x55});
  for (const Case& one :
       {Case{std::vector<std::byte>(kDiskBlockBytes), DiskError::blank}, Case{data, DiskError::no_area},
        Case{bytes(others), DiskError::foreign}, Case{bytes(damaged), DiskError::malformed}}) {
    make_area();
    write(0, one.first);
    write(1, data);
    const auto alpha = open("alpha", "beta");
    ASSERT_TRUE(eventually([&] { return alpha->refused().has_value(); }));
    EXPECT_EQ(*alpha->refused(), one.error);
    EXPECT_FALSE(alpha->send(beat(1)));
    EXPECT_EQ(read(0), one.first);
    EXPECT_EQ(read(1), data);
  }
}

TEST_F(MailboxDisk, IsLeftAloneAsSoonAsSomebodyElseHasIt) {
  make_area();
  const auto alpha = open("alpha", "beta");
  ASSERT_TRUE(eventually([&] { return alpha->send(beat(1)); }));
  ASSERT_TRUE(eventually([&] { return read(1).front() == std::byte{1}; }));
  const std::vector<std::byte> data(kDiskBlockBytes, std::byte{0x55});
  write(0, data);
  ASSERT_TRUE(eventually([&] {
    (void)alpha->send(beat(2));
    return alpha->refused().has_value();
  }));
  write(1, data);
  for (int i = 0; i < 30; ++i) {
    (void)alpha->send(beat(3));
    ::usleep(10'000);
  }
  EXPECT_EQ(read(1), data);
  EXPECT_FALSE(alpha->send(beat(4)));
}

TEST_F(MailboxDisk, HoldsNoDescriptorOfItsProcess) {
  make_area();
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const auto alpha = open("alpha", "beta");
  ASSERT_TRUE(eventually([&] { return alpha->send(beat(1)); }));
  ::close(pipe[1]);
  char byte = 0;
  EXPECT_EQ(::read(pipe[0], &byte, 1), 0) << "the thread that waits for the disk would keep the other end open";
  ::close(pipe[0]);
}

TEST_F(MailboxDisk, IsTakenUpWhenItsAreaIsMadeLater) {
  const auto alpha = open("alpha", "beta");
  ASSERT_TRUE(eventually([&] { return alpha->error() == ENOENT; }));
  make_area();
  EXPECT_TRUE(eventually([&] { return alpha->send(beat(1)); }));
  EXPECT_TRUE(eventually([&] { return read(1).front() == std::byte{1}; }));
}

TEST_F(MailboxDisk, OneThatIsTooShortIsAnError) {
  make_area();
  ASSERT_EQ(::truncate(path_.c_str(), static_cast<off_t>(kDiskBlockBytes)), 0);
  const auto alpha = open("alpha", "beta");
  EXPECT_TRUE(eventually([&] {
    (void)alpha->send(beat(1));
    return alpha->error() == EIO;
  }));
}

TEST(DiskHeader, IsTheGoldenBytes) {
  const auto block =
      encode_disk_header({*PairName::parse("pair-1"), *NodeName::parse("beta"), *NodeName::parse("alpha")}, kId);
  std::string hex;
  for (const std::byte byte : std::span(block).first(sizeof(DiskHeaderLayout))) {
    std::array<char, 3> digits{};
    std::snprintf(digits.data(), digits.size(), "%02x", std::to_integer<unsigned>(byte));
    hex += digits.data();
  }
  // Made by another implementation, as those of tests/unit/ccm/wire/golden.h.
  EXPECT_EQ(hex,
            "4841504449534b310300280000100000706169722d310000000000000000000000000000000000000000000000000000616c7068"
            "61000000000000000000000000000000000000000000000000000000626574610000000000000000000000000000000000000000"
            "00000000000000000102030405060708090a0b0c0d0e0f1000000000e92fdcbd");
  EXPECT_TRUE(std::ranges::all_of(std::span(block).subspan(sizeof(DiskHeaderLayout)),
                                  [](std::byte byte) { return byte == std::byte{}; }));
}

TEST(DiskHeader, IsTheSameFromBothNodesAndNoOtherPairs) {
  const DiskPair alpha{*PairName::parse("pair"), *NodeName::parse("alpha"), *NodeName::parse("beta")};
  const DiskPair beta{alpha.pair, alpha.partner, alpha.node};
  EXPECT_EQ(encode_disk_header(alpha, kId), encode_disk_header(beta, kId));
  EXPECT_EQ(check_disk_header(encode_disk_header(alpha, kId), beta), kId);
  const DiskPair other{*PairName::parse("pair"), *NodeName::parse("alpha"), *NodeName::parse("gamma")};
  EXPECT_EQ(check_disk_header(encode_disk_header(other, kId), alpha).error(), DiskError::foreign);
  auto newer = encode_disk_header(alpha, kId);
  newer[8] = std::byte{4};
  EXPECT_EQ(check_disk_header(newer, alpha).error(), DiskError::malformed) << "its CRC is the old one";
  EXPECT_EQ(check_disk_header(std::span(newer).first(100), alpha).error(), DiskError::no_area);
  EXPECT_NE(beat_block(alpha.node, alpha.partner), beat_block(beta.node, beta.partner));
}

}  // namespace
}  // namespace hapair::ccm
