#include "ccm/wire/page_news.h"

#include <gtest/gtest.h>

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace hapair::ccm {
namespace {

class PageNewsTest : public ::testing::Test {
 protected:
  PageNewsTest() {
    put_name(page_.node, "beta");
    page_.ccm_beat = 1;
    page_.clients[0].state = static_cast<std::uint8_t>(ClientState::registered);
  }
  void beat() {
    ++page_.ccm_beat;
    page_.phase_since_ms += 10;
    page_.sequence += 2;
    page_.crc += 77;
    ++page_.page_mac[0];
  }
  bool take() { return news_.take(std::as_bytes(std::span(&page_, 1)).first<kPageBytes>()); }

  StatusPageLayout page_{};
  PageNews news_;
};

TEST_F(PageNewsTest, BeatsAndWorkThatGoOnAreNone) {
  EXPECT_TRUE(take()) << "the first";
  for (int i = 0; i < 3; ++i) {
    beat();
    ++page_.clients[0].beat;
    page_.clients[0].completed += 5;
    ++page_.clients[0].outstanding;
    EXPECT_FALSE(take());
  }
}

TEST_F(PageNewsTest, ABeatThatStandsIsSomeEachTimeAndSoIsItsEnd) {
  take();
  EXPECT_TRUE(take());
  EXPECT_TRUE(take());
  beat();
  EXPECT_TRUE(take()) << "that it goes on again";
  beat();
  EXPECT_FALSE(take());
}

TEST_F(PageNewsTest, AfterSomethingElseTheNextPageIs) {
  take();
  beat();
  news_.forget();
  EXPECT_TRUE(take());
  beat();
  EXPECT_FALSE(take());
}

TEST_F(PageNewsTest, WhateverElseChangesIsSomeOnce) {
  const std::vector<std::pair<std::string, std::function<void(StatusPageLayout&)>>> changes{
      {"phase", [](auto& page) { page.phase = static_cast<std::uint8_t>(BootPhase::shutting_down); }},
      {"handshake", [](auto& page) { page.handshake = static_cast<std::uint8_t>(HandshakeState::refused); }},
      {"trouble", [](auto& page) { page.trouble = kTroubleRail; }},
      {"incarnation", [](auto& page) { ++page.incarnation; }},
      {"boot id", [](auto& page) { ++page.boot_id[15]; }},
      {"nonce", [](auto& page) { ++page.nonce[0]; }},
      {"a client gone", [](auto& page) { page.clients[0].state = static_cast<std::uint8_t>(ClientState::gone); }},
      {"a client anew", [](auto& page) { ++page.clients[0].life; }},
      {"another client", [](auto& page) { put_name(page.clients[7].name, "target"); }},
      {"a limit for work", [](auto& page) { page.clients[0].stall_limit_ms = 1; }},
      {"the agent's block", [](auto& page) { ++page.agent.serial; }},
      {"its last pool", [](auto& page) { page.agent.pools.back().state = 1; }},
      {"the session's block",
       [](auto& page) { std::as_writable_bytes(std::span(&page.session, 1)).back() ^= std::byte{1}; }},
  };
  take();
  for (const auto& [what, change] : changes) {
    beat();
    change(page_);
    EXPECT_TRUE(take()) << what;
    beat();
    EXPECT_FALSE(take()) << what << ", once more";
  }
}

}  // namespace
}  // namespace hapair::ccm
