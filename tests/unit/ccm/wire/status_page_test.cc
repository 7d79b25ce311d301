#include "ccm/wire/status_page.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "ccm/base/crc32c.h"
#include "tests/unit/ccm/wire/golden.h"

namespace hapair::ccm {
namespace {

using Bytes = std::vector<std::byte>;

Key golden_key() {
  static constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";
  return Key::from_secret(std::as_bytes(std::span(kSecret)));
}

template <std::size_t N>
void count_up(std::array<std::uint8_t, N>& bytes, std::uint8_t from) {
  std::iota(bytes.begin(), bytes.end(), from);
}

void fill_golden(StatusPageLayout& page) {
  put_name(page.pair, "pair-1");
  put_name(page.node, "alpha");
  page.incarnation = 0x1122334455667788;
  count_up(page.boot_id, 0);
  page.phase = static_cast<std::uint8_t>(BootPhase::storage_active);
  page.handshake = static_cast<std::uint8_t>(HandshakeState::connected);
  page.pace_us = 10'000;
  page.phase_since_ms = 123'456;
  count_up(page.nonce, 0);
  page.ccm_beat = 42;
  page.proof_for_incarnation = 77;
  count_up(page.proof, 100);
  put_name(page.clients[0].name, "hapaird");
  page.clients[0].beat = 9;
  page.clients[0].life = 0xabcdef;
  page.clients[0].pace_us = 20'000;
  page.clients[0].state = static_cast<std::uint8_t>(ClientState::registered);
  put_name(page.clients[1].name, "target");
  page.clients[1].beat = 5;
  page.clients[1].life = 0x1234;
  page.clients[1].pace_us = 100'000;
  page.clients[1].state = static_cast<std::uint8_t>(ClientState::registered);
  page.clients[1].completed = 0x0102030405060708;
  page.clients[1].outstanding = 7;
  page.clients[1].stall_limit_ms = 30'000;
  page.agent.serial = 3;
  page.agent.agent_life = 4;
  page.agent.shared_config_hash = 5;
  page.agent.pool_count = 1;
  page.agent.node_state = 6;
  page.agent.flags = 7;
  page.agent.saw_partner_serial = 8;
  page.agent.saw_partner_life = 9;
  PoolEntryLayout& pool = page.agent.pools[0];
  put_name(pool.name, "pool-a");
  pool.epoch = 11;
  pool.claim_epoch = 12;
  pool.request_serial = 13;
  pool.owner = 1;
  pool.state = 2;
  pool.request = 3;
  pool.flags = 4;
}

void fill_golden_session(SessionBlockLayout& session) {
  session.protocol_min = 1;
  session.protocol_max = 3;
  session.rails = 0b101;
  session.port_count = 2;
  session.capabilities = 0x8000000000000001;
  put_name(session.software, "hapair 2.10");
  session.serial = 0x0102030405060708;
  session.ports[0] = {.slot = 7,
                      .index = 3,
                      .rail = 2,
                      .rights = kPartnerReads | kPartnerWrites,
                      .exposure = 0xa1b2c3d4,
                      .reaches = 0xd4c3b2a1,
                      .avoids = 0b1010,
                      .zero = {},
                      .memory_bytes = 0x1020304050};
  session.ports[1].rights = kPartnerReads;
  session.ports[1].memory_bytes = 4096;
}

bool is_authentic(const Bytes& bytes, const Key& key) {
  StillDigest still;
  return page_is_authentic(bytes, still, key);
}

Bytes golden_page() { return golden_bytes(kGoldenPage, kPageBytes); }

// A page whose fields were changed after it was made, with a CRC that fits again.
Bytes changed_page(const std::function<void(StatusPageLayout&)>& change) {
  Bytes bytes = golden_page();
  StatusPageLayout page;
  std::memcpy(&page, bytes.data(), sizeof page);
  change(page);
  std::memcpy(bytes.data(), &page, sizeof page);
  page.crc = crc32c(std::span(bytes).subspan(offsetof(StatusPageLayout, layout_min)));
  std::memcpy(bytes.data(), &page, sizeof page);
  return bytes;
}

PageError error_of(const Bytes& bytes) {
  const auto view = parse_status_page(bytes);
  EXPECT_FALSE(view.has_value());
  const auto head = parse_status_head(bytes);
  EXPECT_FALSE(head.has_value());
  EXPECT_EQ(view.error(), head.error());
  return view.error();
}

TEST(StatusPage, IsPublishedAsTheGoldenBytes) {
  Bytes memory(kPageBytes);
  StatusPublisher publisher(memory);
  fill_golden(publisher.draft());
  publisher.publish(golden_key());
  EXPECT_EQ(memory, golden_page());
}

TEST(StatusPage, WithASessionIsPublishedAsTheGoldenBytes) {
  Bytes memory(kPageBytes);
  StatusPublisher publisher(memory);
  fill_golden(publisher.draft());
  fill_golden_session(publisher.draft().session);
  publisher.publish(golden_key());
  EXPECT_EQ(memory, golden_bytes(kGoldenSessionPage, kPageBytes));
}

TEST(StatusPage, WithASessionIsReadFromTheGoldenBytes) {
  const Bytes bytes = golden_bytes(kGoldenSessionPage, kPageBytes);
  ASSERT_TRUE(parse_status_head(bytes));
  ASSERT_TRUE(is_authentic(bytes, golden_key()));
  StatusPageLayout page;
  std::memcpy(&page, bytes.data(), sizeof page);
  SessionBlockLayout expected{};
  fill_golden_session(expected);
  EXPECT_EQ(page.session, expected);
  EXPECT_TRUE(session_block_is_sound(page.session));
}

// What the session's part says is judged by the session: a partner of another version is still watched.
TEST(StatusPage, IsReadWhateverItsSessionPartSays) {
  EXPECT_TRUE(parse_status_page(changed_page([](StatusPageLayout& page) { page.session.port_count = 255; })));
}

TEST(StatusPage, IsReadFromTheGoldenBytes) {
  const auto view = parse_status_page(golden_page());
  ASSERT_TRUE(view);
  EXPECT_EQ(view->pair.view(), "pair-1");
  EXPECT_EQ(view->node.view(), "alpha");
  EXPECT_EQ(view->incarnation, Incarnation(0x1122334455667788));
  EXPECT_EQ(view->boot_id.text(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
  EXPECT_EQ(view->phase, BootPhase::storage_active);
  EXPECT_EQ(view->phase_since, std::chrono::milliseconds(123'456));
  EXPECT_EQ(view->handshake, HandshakeState::connected);
  EXPECT_EQ(view->pace, std::chrono::milliseconds(10));
  EXPECT_EQ(view->nonce[31], 31);
  EXPECT_EQ(view->ccm_beat, 42U);
  EXPECT_EQ(view->proof_for, Incarnation(77));
  EXPECT_EQ(view->proof[0], 100);
  ASSERT_EQ(view->clients.size(), 2U);
  EXPECT_EQ(view->clients[0].name, "hapaird");
  EXPECT_EQ(view->clients[0].beat, 9U);
  EXPECT_EQ(view->clients[0].state, ClientState::registered);
  EXPECT_EQ(view->clients[0].stall_limit, Duration{});
  EXPECT_EQ(view->clients[1].completed, 0x0102030405060708U);
  EXPECT_EQ(view->clients[1].outstanding, 7U);
  EXPECT_EQ(view->clients[1].stall_limit, std::chrono::seconds(30));
  EXPECT_EQ(view->agent.pools[0].epoch, 11U);
  EXPECT_TRUE(is_authentic(golden_page(), golden_key()));
}

TEST(StatusPage, AFlippedBitAnywhereIsNoticed) {
  const Bytes whole = golden_page();
  for (std::size_t bit = 0; bit < 8 * kPageBytes; ++bit) {
    Bytes bytes = whole;
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    const bool in_sequence = bit / 8 >= 8 && bit / 8 < 12;
    // The sequence is outside the CRC: it says only whether the writer is at work.
    if (in_sequence && bit != 64) continue;
    ASSERT_FALSE(parse_status_head(bytes)) << "bit " << bit;
  }
}

TEST(StatusPage, AnyTornPageIsNoticed) {
  Bytes before(kPageBytes);
  StatusPublisher publisher(before);
  fill_golden(publisher.draft());
  publisher.publish(golden_key());
  Bytes after = before;
  StatusPublisher next(after);
  std::memcpy(&next.draft(), before.data(), sizeof(StatusPageLayout));
  next.draft().ccm_beat = 43;
  next.draft().agent.serial = 4;
  next.publish(golden_key());
  ASSERT_TRUE(parse_status_head(after));
  for (std::size_t cut = 1; cut < kPageBytes; ++cut) {
    Bytes torn = before;
    std::copy(after.begin(), after.begin() + static_cast<std::ptrdiff_t>(cut), torn.begin());
    if (torn == before || torn == after) continue;
    ASSERT_FALSE(parse_status_head(torn)) << "cut at " << cut;
  }
}

TEST(StatusPage, AWriterAtWorkIsTorn) {
  Bytes bytes = golden_page();
  bytes[8] = std::byte{3};
  EXPECT_EQ(error_of(bytes), PageError::torn);
}

TEST(StatusPage, BytesWithoutTheMagicAreNoPage) {
  EXPECT_EQ(error_of(Bytes(kPageBytes)), PageError::not_a_page);
  EXPECT_EQ(error_of(Bytes(kPageBytes, std::byte{0xff})), PageError::not_a_page);
  EXPECT_EQ(error_of(Bytes(kPageBytes - 1)), PageError::not_a_page);
  EXPECT_EQ(error_of({}), PageError::not_a_page);
}

TEST(StatusPage, NoLayoutInCommonIsSaidWithTheRange) {
  const Bytes newer = changed_page([](StatusPageLayout& page) {
    page.layout_min = kLayoutMax + 1;
    page.layout_max = kLayoutMax + 3;
  });
  EXPECT_EQ(error_of(newer), PageError::no_layout);
  EXPECT_EQ(layouts_of(newer).min, kLayoutMax + 1);
  EXPECT_EQ(layouts_of(newer).max, kLayoutMax + 3);
  EXPECT_EQ(error_of(changed_page([](StatusPageLayout& page) {
              page.layout_min = 0;
              page.layout_max = kLayoutMin - 1;
            })),
            PageError::no_layout);
  EXPECT_TRUE(parse_status_head(changed_page([](StatusPageLayout& page) { page.layout_max = 9; })))
      << "a newer writer that still writes ours";
}

TEST(StatusPage, EveryFieldOutOfItsRangeIsMalformed) {
  const auto malformed = [](const std::function<void(StatusPageLayout&)>& change) {
    return error_of(changed_page(change)) == PageError::malformed;
  };
  EXPECT_TRUE(malformed([](StatusPageLayout& page) { page.incarnation = 0; }));
  EXPECT_TRUE(malformed([](StatusPageLayout& page) { page.page_bytes = 8192; }));
  EXPECT_TRUE(malformed([](StatusPageLayout& page) { page.phase = 9; }));
  EXPECT_TRUE(malformed([](StatusPageLayout& page) { page.phase = 255; }));
  EXPECT_TRUE(malformed([](StatusPageLayout& page) { page.handshake = 6; }));
  EXPECT_TRUE(malformed([](StatusPageLayout& page) { page.clients[7].state = 4; }));
  EXPECT_TRUE(malformed([](StatusPageLayout& page) { page.clients[7].state = 1; })) << "a client without a name";
  EXPECT_TRUE(malformed([](StatusPageLayout& page) { put_name(page.clients[0].name, "\033[2Jhapaird"); }));
  EXPECT_TRUE(malformed([](StatusPageLayout& page) { page.clients[0].name.fill('x'); })) << "a name without an end";
  EXPECT_TRUE(malformed([](StatusPageLayout& page) { page.pair = {}; }));
  EXPECT_TRUE(malformed([](StatusPageLayout& page) { page.node.fill('x'); })) << "a name without an end";
  EXPECT_TRUE(malformed([](StatusPageLayout& page) { put_name(page.node, "a b"); }));
}

TEST(StatusPage, TheLongestTimesStayWithinADuration) {
  const auto head = parse_status_head(changed_page([](StatusPageLayout& page) {
    page.phase_since_ms = UINT64_MAX;
    page.pace_us = UINT32_MAX;
  }));
  ASSERT_TRUE(head);
  EXPECT_GT(head->phase_since, Duration{});
  EXPECT_GT(head->pace, Duration{});
}

TEST(StatusPage, CarriesTheMacOfItsSessionOnly) {
  const Key other = golden_key().derive("other", {});
  EXPECT_FALSE(is_authentic(golden_page(), other));
  EXPECT_FALSE(is_authentic(changed_page([](StatusPageLayout& page) { page.ccm_beat = 43; }), golden_key()))
      << "a CRC can be made to fit, a MAC cannot";
  Bytes memory(kPageBytes);
  StatusPublisher publisher(memory);
  fill_golden(publisher.draft());
  publisher.publish(std::nullopt);
  EXPECT_TRUE(parse_status_head(memory));
  EXPECT_FALSE(is_authentic(memory, golden_key()));
}

TEST(StatusPage, AChangeOfWhatSeldomChangesIsNotMissed) {
  Bytes memory(kPageBytes);
  StatusPublisher publisher(memory);
  StillDigest still;
  fill_golden(publisher.draft());
  for (const std::size_t at : {std::size_t{0}, std::size_t{1}, kMaxPools - 1}) {
    publisher.draft().ccm_beat++;
    publisher.publish(golden_key());
    EXPECT_TRUE(page_is_authentic(memory, still, golden_key()));
    publisher.draft().agent.pools[at].epoch += 5;
    publisher.publish(golden_key());
    EXPECT_TRUE(page_is_authentic(memory, still, golden_key()));
    for (const std::size_t byte : {offsetof(StatusPageLayout, ccm_beat), kStillFrom - 1, kStillFrom, kPageBytes - 1}) {
      Bytes other = memory;
      other[byte] ^= std::byte{1};
      EXPECT_FALSE(page_is_authentic(other, still, golden_key())) << "byte " << byte;
      EXPECT_TRUE(page_is_authentic(memory, still, golden_key()));
    }
  }
}

}  // namespace
}  // namespace hapair::ccm
