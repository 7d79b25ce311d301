#include "agent/core/lease.h"

#include <gtest/gtest.h>

namespace hapair::agent {
namespace {

using Areas = std::vector<std::optional<ccm::DiskAreaId>>;
constexpr ccm::DiskAreaId kOne{1};
constexpr ccm::DiskAreaId kTwo{2};
constexpr ccm::DiskAreaId kThree{3};
constexpr ccm::DiskAreaId kFour{4};

bool same(const Areas& one, const Areas& other) { return same_mailbox(mailbox_digest(one), mailbox_digest(other)); }
bool differs(const Areas& one, const Areas& other) { return other_mailbox(mailbox_digest(one), mailbox_digest(other)); }

TEST(Mailbox, is_the_same_where_the_one_disk_is) {
  EXPECT_TRUE(same({kOne}, {kOne}));
  EXPECT_FALSE(same({kOne}, {kTwo}));
  EXPECT_TRUE(differs({kOne}, {kTwo}));
  EXPECT_FALSE(same({std::nullopt}, {std::nullopt})) << "nobody knows";
  EXPECT_FALSE(differs({kOne}, {std::nullopt}));
}

TEST(Mailbox, of_three_is_the_same_where_a_majority_is_and_none_differs) {
  EXPECT_TRUE(same({kOne, kTwo, kThree}, {kOne, kTwo, kThree}));
  EXPECT_TRUE(same({kOne, kTwo, std::nullopt}, {kOne, kTwo, kThree}));
  EXPECT_FALSE(same({kOne, std::nullopt, std::nullopt}, {kOne, kTwo, kThree}));
  EXPECT_FALSE(same({kOne, kTwo, std::nullopt}, {kOne, std::nullopt, kThree}));
  EXPECT_FALSE(same({kOne, kTwo, kThree}, {kOne, kTwo, kFour}));
  EXPECT_FALSE(same({kOne, kTwo, kThree}, {kTwo, kOne, kThree})) << "slots are by the disk's place";
}

TEST(Mailbox, of_one_disk_is_another_than_of_three) {
  EXPECT_FALSE(same({kOne}, {kOne, std::nullopt, std::nullopt}));
  EXPECT_TRUE(differs({kOne}, {kOne, kTwo, kThree}));
}

TEST(ExpiryWait, is_longer_than_what_was_told_by_the_drift) {
  EXPECT_EQ(expiry_wait(std::chrono::milliseconds(20'000)), std::chrono::milliseconds(20'200));
}

}  // namespace
}  // namespace hapair::agent
