#include "agent/reservation/persistent_reserve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace hapair::agent {
namespace {

using Bytes = std::vector<std::uint8_t>;
using testing::ElementsAre;
using testing::HasSubstr;

// What a Linux target answered in tests/vm/run scsi, two nodes registered.
const Bytes kTwoKeys{0, 0, 0, 5, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0xff, 0, 0, 0, 0, 0, 0, 0x0b};
const Bytes kReserved{0, 0, 0, 5, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0, 0x05, 0, 0};

TEST(PersistentReserve, KeysAreRead) {
  const auto keys = parse_keys(kTwoKeys);
  ASSERT_TRUE(keys);
  EXPECT_THAT(*keys, ElementsAre(ReservationKey(0x0a), ReservationKey(0xff0000000000000b)));
  const auto none = parse_keys(Bytes{0, 0, 0, 0, 0, 0, 0, 0});
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
}

TEST(PersistentReserve, AReservationIsRead) {
  const auto reservation = parse_reservation(kReserved);
  ASSERT_TRUE(reservation);
  EXPECT_EQ(*reservation, (Reservation{ReservationKey(0x0a), 5}));
  const auto none = parse_reservation(Bytes{0, 0, 0, 9, 0, 0, 0, 0});
  ASSERT_TRUE(none);
  EXPECT_EQ(*none, std::nullopt);
}

TEST(PersistentReserve, WhatIsCutShortIsRefused) {
  for (std::size_t size = 0; size < kTwoKeys.size(); ++size) {
    const Bytes cut(kTwoKeys.begin(), kTwoKeys.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(parse_keys(cut)) << size;
    EXPECT_FALSE(parse_reservation(cut)) << size;
  }
}

TEST(PersistentReserve, GarbageIsRefusedOrRead) {
  Bytes half_a_key{0, 0, 0, 5, 0, 0, 0, 12};
  half_a_key.resize(20, 1);
  EXPECT_THAT(parse_keys(half_a_key).error(), HasSubstr("12 bytes of keys of 8 bytes each"));
  Bytes key_zero{0, 0, 0, 5, 0, 0, 0, 8};
  key_zero.resize(16);
  EXPECT_THAT(parse_keys(key_zero).error(), HasSubstr("under key 0"));
  Bytes an_extent = kReserved;
  an_extent[21] = 0x15;
  EXPECT_THAT(parse_reservation(an_extent).error(), HasSubstr("less than the whole disk"));
  Bytes too_much(kTwoKeys);
  too_much[4] = 0xff;
  EXPECT_THAT(parse_keys(too_much).error(), HasSubstr("announced, 16 given"));
  // Whatever comes: read within its bounds, which the sanitizers watch.
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    Bytes bytes(random() % 64);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random() % 4 == 0 ? random() : 0);
    if (const auto keys = parse_keys(bytes)) {
      EXPECT_LE(8 + 8 * keys->size(), bytes.size());
    }
    (void)parse_reservation(bytes);
    (void)parse_capabilities(bytes);
    (void)parse_sense(bytes);
  }
}

TEST(PersistentReserve, CommandsAreAsTheStandardSays) {
  EXPECT_THAT(command_block(ReserveInAction::read_reservation, 0x2000),
              ElementsAre(0x5e, 1, 0, 0, 0, 0, 0, 0x20, 0, 0));
  const ReserveOut preempt{ReserveOutAction::preempt_and_abort, ReservationKey(0x0a), ReservationKey(0x0b)};
  EXPECT_THAT(command_block(preempt), ElementsAre(0x5f, 5, 5, 0, 0, 0, 0, 0, 24, 0));
  const auto parameters = parameters_of(preempt, true);
  EXPECT_EQ(parameters[7], 0x0a);
  EXPECT_EQ(parameters[15], 0x0b);
  EXPECT_EQ(parameters[20], 0) << "only who registers asks for it to outlive a loss of power";
  EXPECT_EQ(parameters_of({ReserveOutAction::register_key, {}, ReservationKey(0x0a)}, true)[20], 1);
  EXPECT_EQ(parameters_of({ReserveOutAction::register_key, {}, ReservationKey(0x0a)}, false)[20], 0);
}

TEST(PersistentReserve, CapabilitiesAreRead) {
  const auto linux_target = parse_capabilities(Bytes{0, 8, 0x0d, 0x81, 0xea, 0x01, 0, 0});
  ASSERT_TRUE(linux_target);
  EXPECT_TRUE(linux_target->through_power_loss);
  EXPECT_TRUE(linux_target->registrants_only);
  const auto other = parse_capabilities(Bytes{0, 8, 0, 0x80, 0x02, 0, 0, 0});
  ASSERT_TRUE(other);
  EXPECT_FALSE(other->through_power_loss);
  EXPECT_FALSE(other->registrants_only);
  EXPECT_TRUE(parse_capabilities(Bytes{0, 8, 0, 0, 0, 0, 0, 0})->registrants_only) << "it does not say";
  EXPECT_FALSE(parse_capabilities(Bytes{0, 8, 0}));
}

TEST(PersistentReserve, ErrorsSayWhatTheyMean) {
  EXPECT_EQ(meaning_of(*parse_sense(Bytes{0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0})),
            "has no persistent reservations; it cannot be a disk of reservations (sense 5/20/00)");
  EXPECT_EQ(meaning_of(*parse_sense(Bytes{0x72, 5, 0x55, 4})), "has no room for another registration (sense 5/55/04)");
  EXPECT_EQ(meaning_of(*parse_sense(Bytes{0x72, 7, 0x27, 0})), "is write-protected (sense 7/27/00)");
  EXPECT_FALSE(parse_sense(Bytes{}));
  EXPECT_FALSE(parse_sense(Bytes{0x72, 5}));
}

}  // namespace
}  // namespace hapair::agent
