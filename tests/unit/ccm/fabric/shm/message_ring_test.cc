#include "ccm/fabric/shm/message_ring.h"

#include <gtest/gtest.h>

#include <vector>

#include "ccm/fabric/shm/sealed_memory.h"

namespace hapair::ccm {
namespace {

class MessageRing : public ::testing::Test {
 protected:
  Mapping map() { return *Mapping::map(memory_, kRingBytes, true); }
  RingLayout& words() { return *reinterpret_cast<RingLayout*>(raw_.bytes().data()); }
  void put(std::size_t bytes, std::uint8_t mark) {
    const std::vector<std::byte> message(bytes, std::byte{mark});
    (void)poster_->put(message);
  }

  Fd memory_ = *make_sealed_memory("test", kRingBytes);
  Mapping raw_ = map();
  ExposerRing exposer_{map()};
  std::optional<PosterRing> poster_ = PosterRing::attach(map());
};

TEST_F(MessageRing, CarriesMessagesInTheirOrderRoundAndRound) {
  ASSERT_TRUE(poster_);
  std::vector<std::byte> into(PortFabric::kMaxMessage);
  for (std::uint64_t round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < kRingPlaces; ++i) put(i * 64 + 1, static_cast<std::uint8_t>(i + round));
    for (std::size_t i = 0; i < kRingPlaces; ++i) {
      ASSERT_EQ(exposer_.look(), ExposerRing::Look::message);
      ASSERT_EQ(exposer_.take(into), i * 64 + 1);
      EXPECT_EQ(into[i * 64], std::byte(static_cast<std::uint8_t>(i + round)));
    }
    EXPECT_EQ(exposer_.look(), ExposerRing::Look::nothing);
    EXPECT_EQ(poster_->taken(), (round + 1) * kRingPlaces);
  }
}

TEST_F(MessageRing, ALengthThatIsTooLargeIsBroken) {
  put(10, 1);
  words().length[0] = PortFabric::kMaxMessage + 1;
  EXPECT_EQ(exposer_.look(), ExposerRing::Look::broken);
}

TEST_F(MessageRing, MoreMessagesThanPlacesAreBroken) {
  words().poster.sent = kRingPlaces + 1;
  EXPECT_EQ(exposer_.look(), ExposerRing::Look::broken);
}

TEST_F(MessageRing, ACountThatGoesBackIsBroken) {
  std::vector<std::byte> into(PortFabric::kMaxMessage);
  put(10, 1);
  put(10, 1);
  ASSERT_EQ(exposer_.look(), ExposerRing::Look::message);
  (void)exposer_.take(into);
  ASSERT_EQ(exposer_.look(), ExposerRing::Look::message);
  (void)exposer_.take(into);
  words().poster.sent = 1;
  EXPECT_EQ(exposer_.look(), ExposerRing::Look::broken);
}

TEST_F(MessageRing, MoreTakenThanSentIsNoAnswer) {
  put(10, 1);
  words().exposer.taken = 2;
  EXPECT_EQ(poster_->taken(), std::nullopt);
}

TEST_F(MessageRing, NoPieceBeginsOnceTheMemoryWasTakenBack) {
  ASSERT_TRUE(poster_->begin_piece());
  EXPECT_FALSE(exposer_.revoke()) << "a piece is being moved";
  poster_->end_piece();
  EXPECT_TRUE(exposer_.revoke());
  EXPECT_FALSE(poster_->begin_piece());
  EXPECT_TRUE(exposer_.revoke()) << "the refused piece left no mark";
}

TEST_F(MessageRing, OtherMemoryIsNoRing) {
  words().head.magic = 0;
  EXPECT_FALSE(PosterRing::attach(map()));
  EXPECT_FALSE(PosterRing::attach(*Mapping::map(memory_, 4096, true)));
}

}  // namespace
}  // namespace hapair::ccm
