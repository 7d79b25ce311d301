#include "ccm/wire/observation.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "ccm/wire/observation_ring.h"

namespace hapair::ccm {
namespace {

TEST(ObservationRing, AReaderGetsWhatComesAfterItInOrder) {
  const auto ring = std::make_unique<ObservationRing>();
  ObservationWriter writer(*ring);
  ObservationLayout observation{};
  writer.write(observation);
  ObservationReader reader(*ring);
  EXPECT_FALSE(reader.next(observation));
  for (std::int64_t i = 1; i <= 3; ++i) {
    observation.when_ns = i;
    writer.write(observation);
  }
  for (std::int64_t i = 1; i <= 3; ++i) {
    ASSERT_TRUE(reader.next(observation));
    EXPECT_EQ(observation.when_ns, i);
  }
  EXPECT_FALSE(reader.next(observation));
  EXPECT_EQ(reader.missed(), 0U);
}

TEST(ObservationRing, ASlowReaderKnowsHowManyItMissed) {
  const auto ring = std::make_unique<ObservationRing>();
  ObservationWriter writer(*ring);
  ObservationReader reader(*ring);
  ObservationLayout observation{};
  for (std::uint64_t i = 1; i <= 3 * kObservationSlots; ++i) writer.write(observation);
  std::uint64_t seen = 0;
  while (reader.next(observation)) ++seen;
  EXPECT_EQ(observation.serial, 3 * kObservationSlots) << "the newest is never missed";
  EXPECT_EQ(seen + reader.missed(), 3 * kObservationSlots);
  EXPECT_LT(seen, kObservationSlots);
}

TEST(ObservationRing, AReaderNeverSeesHalfAnObservation) {
  const auto ring = std::make_unique<ObservationRing>();
  ObservationWriter writer(*ring);
  ObservationReader reader(*ring);
  constexpr std::uint8_t kLast = 200;
  std::thread writing([&] {
    ObservationLayout observation{};
    for (int round = 0; round < 20; ++round) {
      for (std::uint8_t value = 0; value <= kLast; ++value) {
        observation.page.fill(value);
        writer.write(observation);
      }
    }
  });
  ObservationLayout observation{};
  std::uint64_t last = 0;
  while (last < 20U * (kLast + 1)) {
    if (!reader.next(observation)) continue;
    ASSERT_GT(observation.serial, last);
    last = observation.serial;
    for (const std::uint8_t byte : observation.page) ASSERT_EQ(byte, observation.page[0]);
  }
  writing.join();
}

TEST(SequenceLock, AWriterThatDiedAtWorkGivesNothing) {
  std::uint32_t sequence = 0;
  CcmSelfLayout shared{};
  CcmSelfLayout value{};
  value.beat = 5;
  sequence_write(sequence, shared, value);
  ASSERT_TRUE(sequence_read(sequence, shared));
  EXPECT_EQ(sequence_read(sequence, shared)->beat, 5U);
  sequence |= 1;
  EXPECT_FALSE(sequence_read(sequence, shared));
  value.beat = 6;
  sequence_write(sequence, shared, value);
  EXPECT_EQ(sequence_read(sequence, shared)->beat, 6U) << "its next life makes the value whole again";
}

}  // namespace
}  // namespace hapair::ccm
