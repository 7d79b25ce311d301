// What a peer that keeps to no rule can do to the partner's pages, and to the pair's own connection: nothing.
#include <algorithm>
#include <string>

#include "tests/vm/verbs/raw_peer.h"
#include "tests/vm/verbs/verbs_rig.h"

namespace hapair::ccm {
namespace {

constexpr std::byte kMark{0x5c};
constexpr std::byte kDirt{0xd1};
constexpr std::uint16_t kServicePort = 7480;

bool is_siw() { return given("FABRIC") == "siw"; }

class HostilePeer : public FabricContract {
 protected:
  void SetUp() override {
    FabricContract::SetUp();
    expect_connected();
  }
  // The pair's own connection is as it was, and so are the partner's pages.
  void TearDown() override {
    std::array<std::byte, kPageBytes> page{};
    EXPECT_EQ(read(page), FabricError::none);
    EXPECT_TRUE(std::ranges::all_of(page, [](std::byte b) { return b == kMark; }));
    EXPECT_TRUE(std::ranges::all_of(rig_->partner_mailbox(), [](std::byte b) { return b == std::byte{0}; }));
    expect_no_event();
  }

  static std::expected<std::unique_ptr<RawPeer>, std::string> connect_raw(
      std::span<const std::byte> request, const std::string& own = given("OWN_ADDRESS")) {
    return RawPeer::connect({own, given("PARTNER_ADDRESS"), kServicePort}, request);
  }
  static std::unique_ptr<RawPeer> accepted() {
    auto peer = connect_raw(encode(ConnectRequest{ConnectService::early_channel, {}}));
    EXPECT_TRUE(peer) << peer.error();
    if (!peer) return nullptr;
    std::ranges::fill((*peer)->buffer(), kDirt);
    return std::move(*peer);
  }
  static void expect_refused(std::optional<ibv_wc_status> status) {
    // Soft-iWARP tells no reason, and of a read that is posted while its connection ends it may tell nothing at all.
    if (is_siw() && !status) return;
    ASSERT_TRUE(status) << "no completion came";
    EXPECT_EQ(*status, is_siw() ? IBV_WC_WR_FLUSH_ERR : IBV_WC_REM_ACCESS_ERR) << ::ibv_wc_status_str(*status);
  }
  static void expect_nothing_read(RawPeer& peer) {
    EXPECT_TRUE(std::ranges::all_of(peer.buffer(), [](std::byte b) { return b == kDirt; }));
  }
};

TEST_P(HostilePeer, FindsThePagesAtThePredeterminedAddresses) {
  const auto peer = accepted();
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->answer().regions[0].address, kStatusAddress);
  EXPECT_EQ(peer->answer().regions[1].address, kMailboxAddress);
  ASSERT_EQ(peer->read(kStatusAddress, peer->answer().regions[0].key, kPageBytes), IBV_WC_SUCCESS)
      << "what follows would prove nothing";
  EXPECT_EQ(peer->buffer()[0], kMark);
}

TEST_P(HostilePeer, CannotReadTheMailbox) {
  if (is_siw()) GTEST_SKIP() << "the kernel's soft-iWARP (6.1) does not look at the right to read";
  const auto peer = accepted();
  ASSERT_TRUE(peer);
  expect_refused(peer->read(kMailboxAddress, peer->answer().regions[1].key, 64));
  expect_nothing_read(*peer);
}

TEST_P(HostilePeer, CannotWriteTheStatusPage) {
  const auto peer = accepted();
  ASSERT_TRUE(peer);
  const auto status = peer->write(kStatusAddress, peer->answer().regions[0].key, 64);
  // On iWARP the write has left before the other end refuses it.
  if (!is_siw()) expect_refused(status);
}

TEST_P(HostilePeer, CannotReachBeyondAPage) {
  for (const auto& [address, bytes] :
       {std::pair{kStatusAddress + kPageBytes - 8, std::size_t{16}}, std::pair{kStatusAddress - 8, std::size_t{16}},
        std::pair{kStatusAddress, kPageBytes + 1}, std::pair{~std::uint64_t{0} - 7, std::size_t{16}}}) {
    const auto peer = accepted();
    ASSERT_TRUE(peer);
    expect_refused(peer->read(address, peer->answer().regions[0].key, bytes));
    expect_nothing_read(*peer);
  }
}

TEST_P(HostilePeer, CannotUseAKeyThatItWasNotGiven) {
  for (const std::uint32_t difference : {0x100U, 0x1U, 0x8000'0000U}) {
    const auto peer = accepted();
    ASSERT_TRUE(peer);
    expect_refused(peer->read(kStatusAddress, peer->answer().regions[0].key ^ difference, 64));
    expect_nothing_read(*peer);
  }
}

TEST_P(HostilePeer, CannotUseTheKeyOfOnePageForTheOther) {
  const auto peer = accepted();
  ASSERT_TRUE(peer);
  const auto status = peer->write(kStatusAddress, peer->answer().regions[1].key, 64);
  if (!is_siw()) expect_refused(status);
}

TEST_P(HostilePeer, CannotUseTheKeysOfAnotherConnection) {
  if (is_siw()) GTEST_SKIP() << "without memory windows a key is for every connection of the partner";
  const auto peer = accepted();
  const auto other = accepted();
  ASSERT_TRUE(peer && other);
  expect_refused(peer->read(kStatusAddress, other->answer().regions[0].key, 64));
  expect_nothing_read(*peer);
}

TEST_P(HostilePeer, SendsAMessageToNobody) {
  const auto peer = accepted();
  ASSERT_TRUE(peer);
  const auto status = peer->send(64);
  if (!is_siw()) {
    EXPECT_EQ(status, IBV_WC_RNR_RETRY_EXC_ERR);
  }
}

TEST_P(HostilePeer, IsRefusedWithARequestThatIsNone) {
  ConnectBytes request = encode(ConnectRequest{ConnectService::early_channel, {}});
  request[5] ^= std::byte{1};
  EXPECT_FALSE(connect_raw(request));
  EXPECT_FALSE(connect_raw(encode(ConnectRequest{ConnectService::port, {}})));
  EXPECT_FALSE(connect_raw(std::span(request).first(8)));
}

TEST_P(HostilePeer, IsRefusedFromAnotherAddress) {
  ASSERT_TRUE(do_command("/usr/bin/ip addr add 10.9.0.77/24 dev eth0"));
  EXPECT_FALSE(connect_raw(encode(ConnectRequest{ConnectService::early_channel, {}}), "10.9.0.77"));
  EXPECT_TRUE(do_command("/usr/bin/ip addr del 10.9.0.77/24 dev eth0"));
}

TEST_P(HostilePeer, FloodsInVain) {
  ConnectBytes request = encode(ConnectRequest{ConnectService::early_channel, {}});
  request[0] ^= std::byte{1};
  for (int i = 0; i < 40; ++i) EXPECT_FALSE(connect_raw(request));
}

std::unique_ptr<FabricRig> make_verbs_rig() { return std::make_unique<VerbsRig>(); }
INSTANTIATE_TEST_SUITE_P(Verbs, HostilePeer, ::testing::Values(&make_verbs_rig));

}  // namespace
}  // namespace hapair::ccm
