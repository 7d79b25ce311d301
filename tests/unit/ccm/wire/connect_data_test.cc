#include "ccm/wire/connect_data.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace hapair::ccm {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[std::to_integer<unsigned>(b) >> 4];
    text += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

ConnectRequest request() {
  ConnectRequest request{ConnectService::port, {}};
  for (std::size_t i = 0; i < request.token.size(); ++i) request.token[i] = static_cast<std::uint8_t>(i);
  return request;
}

ConnectAnswer answer() {
  return {ConnectService::early_channel, {{{0x4841'0000'0000, 4096, 0x1234}, {0x4841'0001'0000, 4096, 0x5678}}}};
}

TEST(ConnectData, RequestsHaveTheGoldenBytes) {
  EXPECT_EQ(hex(encode(request())),
            "4841504301000200000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f000000005cb74797");
}

TEST(ConnectData, AnswersHaveTheGoldenBytes) {
  EXPECT_EQ(hex(encode(answer())),
            "4841504101000100000000004148000000100000341200000000010041480000001000007856000000000000c3bf459c");
}

TEST(ConnectData, WhatWasEncodedIsReadBackAlsoWithTheDevicesPadding) {
  std::array<std::byte, 196> padded{};
  const ConnectBytes sent = encode(answer());
  std::ranges::copy(sent, padded.begin());
  const auto read = parse_connect_answer(padded);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->service, ConnectService::early_channel);
  EXPECT_EQ(read->regions, answer().regions);
  const auto asked = parse_connect_request(encode(request()));
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->token, request().token);
}

TEST(ConnectData, EveryFlippedBitAndEveryCutIsRefused) {
  const ConnectBytes whole = encode(request());
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    ConnectBytes bytes = whole;
    bytes[bit / 8] ^= std::byte(1U << (bit % 8));
    EXPECT_FALSE(parse_connect_request(bytes)) << "bit " << bit;
  }
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_EQ(parse_connect_request(std::span(whole).first(n)).error(), ConnectDataError::too_short);
  }
  EXPECT_EQ(parse_connect_answer(whole).error(), ConnectDataError::not_ours) << "a request is no answer";
}

TEST(ConnectData, ARegionThatWrapsRoundTheAddressSpaceIsRefused) {
  ConnectAnswer lying = answer();
  lying.regions[1].address = ~std::uint64_t{0} - 10;
  EXPECT_EQ(parse_connect_answer(encode(lying)).error(), ConnectDataError::malformed);
}

}  // namespace
}  // namespace hapair::ccm
