#include "agent/reservation/key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/agent/reservation/memory_disk.h"

namespace hapair::agent {
namespace {

using test::keys_of;
using testing::HasSubstr;

TEST(ReservationKeys, AreTheSameInOneLifeAndNeverZero) {
  std::set<ReservationKey> seen;
  for (int number = 1; number < 100; ++number) {
    const auto life = static_cast<std::uint8_t>(number);
    const ReservationKey key = keys_of("alpha", life).own();
    EXPECT_EQ(key, keys_of("alpha", life).own());
    EXPECT_NE(key, ReservationKey{});
    seen.insert(key);
  }
  EXPECT_EQ(seen.size(), 99U);
}

TEST(ReservationKeys, OfAnEarlierLifeAreOwn) {
  EXPECT_EQ(keys_of("alpha", 2).owner_of(keys_of("alpha", 1).own()), KeyOwner::own_earlier);
  EXPECT_EQ(keys_of("alpha", 2).owner_of(keys_of("alpha", 2).own()), KeyOwner::own);
}

TEST(ReservationKeys, OfThePartnerAreKnownInWhicheverLife) {
  for (int number = 1; number < 100; ++number) {
    EXPECT_EQ(keys_of("alpha").owner_of(keys_of("beta", static_cast<std::uint8_t>(number)).own()), KeyOwner::partner);
  }
}

TEST(ReservationKeys, OfAnotherPairAreForeign) {
  const PairNames other{*PairName::parse("other"), *NodeName::parse("alpha"), *NodeName::parse("beta")};
  EXPECT_EQ(keys_of("alpha").owner_of(Keyring(test::pair_key(), other, test::life(1)).own()), KeyOwner::foreign);
  std::array<std::byte, 32> secret{};
  const PairNames same{*PairName::parse("lab"), *NodeName::parse("alpha"), *NodeName::parse("beta")};
  const Keyring of_another_key(ccm::Key::from_secret(secret), same, test::life(1));
  EXPECT_EQ(keys_of("alpha").owner_of(of_another_key.own()), KeyOwner::foreign);
  EXPECT_EQ(keys_of("alpha").owner_of(ReservationKey(0xabc)), KeyOwner::foreign);
}

TEST(ReservationKeys, AreNamedForTheOperator) {
  const Keyring keys = keys_of("alpha");
  EXPECT_EQ(text_of(ReservationKey(0xabc)), "0xabc");
  EXPECT_THAT(keys.title_of(keys_of("beta").own()), HasSubstr("beta's key 0x"));
  EXPECT_THAT(keys.title_of(ReservationKey(0xabc)), HasSubstr("0xabc, which is no node's of pair lab"));
}

}  // namespace
}  // namespace hapair::agent
