#include "ccm/network/beat_socket.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace hapair::ccm {
namespace {

// Two ends on loopback, at ports of this process.
class BeatSockets : public ::testing::Test {
 protected:
  static std::uint16_t port() { return static_cast<std::uint16_t>(20000 + ::getpid() % 20000); }
  static Endpoint at(const char* address) { return *Endpoint::make(address, port()); }
  static std::vector<std::byte> bytes(std::size_t size, int value) {
    return std::vector<std::byte>(size, static_cast<std::byte>(value));
  }
  // Copies: the spans end with the next call.
  static std::vector<std::vector<std::byte>> all_of(BeatSocket& socket) {
    std::vector<std::vector<std::byte>> all;
    for (auto batch = socket.receive(); !batch.empty(); batch = socket.receive()) {
      for (const Datagram& one : batch) {
        all.emplace_back(one.bytes.begin(), one.bytes.end());
        EXPECT_GE(one.age, Duration{});
      }
    }
    return all;
  }
};

TEST_F(BeatSockets, carry_datagrams_in_batches_and_in_order) {
  auto alpha = BeatSocket::open(at("127.0.0.1"), at("127.0.0.2"));
  auto beta = BeatSocket::open(at("127.0.0.2"), at("127.0.0.1"));
  ASSERT_TRUE(alpha && beta) << (alpha ? beta.error() : alpha.error());
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(alpha->send(bytes(kBeatBytes, i)));
  const auto all = all_of(*beta);
  ASSERT_EQ(all.size(), 40U);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], bytes(kBeatBytes, i));
  EXPECT_TRUE(all_of(*beta).empty());
}

TEST_F(BeatSockets, show_what_is_no_beat_by_its_length) {
  auto alpha = BeatSocket::open(at("127.0.0.1"), at("127.0.0.2"));
  auto beta = BeatSocket::open(at("127.0.0.2"), at("127.0.0.1"));
  ASSERT_TRUE(alpha && beta);
  ASSERT_TRUE(alpha->send({}));
  ASSERT_TRUE(alpha->send(bytes(3, 7)));
  ASSERT_TRUE(alpha->send(bytes(60'000, 8)));
  const auto all = all_of(*beta);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].size(), 0U);
  EXPECT_EQ(all[1].size(), 3U);
  EXPECT_EQ(all[2].size(), kBeatBytes + 1);
}

TEST_F(BeatSockets, open_before_their_address_is_there) {
  auto early = BeatSocket::open(at("192.0.2.77"), at("192.0.2.78"));
  ASSERT_TRUE(early.has_value()) << early.error();
  EXPECT_FALSE(early->send(bytes(kBeatBytes, 1))) << "no such network: told, and tried again by its owner";
  EXPECT_NE(early->error(), 0);
}

TEST_F(BeatSockets, tell_why_they_cannot_be_had) {
  const auto first = BeatSocket::open(at("127.0.0.3"), at("127.0.0.4"));
  const auto second = BeatSocket::open(at("127.0.0.3"), at("127.0.0.4"));
  ASSERT_TRUE(first.has_value());
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().find(std::strerror(EADDRINUSE)), std::string::npos) << second.error();
}

TEST_F(BeatSockets, say_how_long_ago_a_datagram_came) {
  auto alpha = BeatSocket::open(at("127.0.0.1"), at("127.0.0.2"));
  auto beta = BeatSocket::open(at("127.0.0.2"), at("127.0.0.1"));
  ASSERT_TRUE(alpha && beta);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(alpha->send(bytes(kBeatBytes, i)));
  const auto batch = beta->receive();
  ASSERT_EQ(batch.size(), 2U);
  EXPECT_GT(batch[1].age, Duration{}) << "not when it was read, but when it came";
  EXPECT_GT(batch[0].age, batch[1].age) << "the one that came first has waited longer";
}

}  // namespace
}  // namespace hapair::ccm
