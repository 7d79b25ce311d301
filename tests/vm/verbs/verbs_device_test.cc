// What the fabric contract cannot say for all fabrics: devices that come and go, and where the pages lie.
#include <string>
#include <thread>

#include "tests/vm/verbs/verbs_rig.h"

namespace hapair::ccm {
namespace {

constexpr std::byte kMark{0x5c};
constexpr Duration kPatience = std::chrono::seconds(20);

using Kind = FabricEvent::Kind;

class VerbsDevice : public FabricContract {
 protected:
  VerbsFabric& verbs() { return static_cast<VerbsRig&>(*rig_).fabric(); }

  // Polls, as a CCM does that searches for its partner.
  template <class Condition>
  bool polls_until(Condition&& condition) {
    const Instant end = clock_.now() + kPatience;
    while (!condition()) {
      if (clock_.now() > end) return false;
      std::array<FabricEvent, 4> events;
      const std::size_t count = rig_->fabric().poll(clock_.now(), events);
      polled_.insert(polled_.end(), events.begin(), events.begin() + static_cast<std::ptrdiff_t>(count));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  bool connects_at_last() {
    const Instant end = clock_.now() + kPatience;
    while (connect() != FabricError::none) {
      if (clock_.now() > end) return false;
    }
    return true;
  }
};

TEST_P(VerbsDevice, EachRailsPagesLieAtAPlaceOfTheirOwn) {
  EXPECT_EQ(reinterpret_cast<std::uint64_t>(verbs().status_memory().data()), kStatusAddress);
  EXPECT_EQ(reinterpret_cast<std::uint64_t>(verbs().mailbox_memory().data()), kMailboxAddress);
  VerbsFabric second({.address = "10.9.1.1", .partner_address = given("CONTROL_ADDRESS"), .rail = 1});
  ASSERT_TRUE(second.open());
  EXPECT_EQ(second.trouble(), "");
  EXPECT_EQ(reinterpret_cast<std::uint64_t>(second.status_memory().data()), kStatusAddress + kRailStride);
  EXPECT_EQ(reinterpret_cast<std::uint64_t>(second.mailbox_memory().data()), kMailboxAddress + kRailStride);
}

TEST_P(VerbsDevice, AnAddressOfNoRdmaDeviceIsTold) {
  VerbsFabric lost({.address = "127.0.0.1", .partner_address = given("PARTNER_ADDRESS"), .rail = 2});
  ASSERT_TRUE(lost.open()) << "it may come yet";
  EXPECT_NE(lost.trouble().find("127.0.0.1"), std::string_view::npos) << lost.trouble();
  lost.connect(clock_.now());
  std::array<FabricEvent, 2> events;
  ASSERT_EQ(lost.poll(clock_.now(), events), 1U);
  EXPECT_EQ(events[0].error, FabricError::link_down);
}

TEST_P(VerbsDevice, ADeviceThatIsRemovedIsLetGoAndTakenUpWhenItIsBack) {
  expect_connected();
  ASSERT_TRUE(begin_to_remove_device(given("FABRIC")));
  ASSERT_TRUE(polls_until([&] { return !verbs().trouble().empty(); })) << "its removal was not told";
  ASSERT_EQ(polled_.size(), 1U);
  EXPECT_EQ(polled_.front().kind, Kind::lost);
  EXPECT_EQ(polled_.front().error, FabricError::link_down);
  polled_.clear();
  EXPECT_EQ(connect(), FabricError::link_down);
  EXPECT_TRUE(polls_until([&] { return !device_is_there(given("FABRIC")); })) << "this end holds it";
  ASSERT_TRUE(add_device(given("FABRIC")));
  EXPECT_TRUE(polls_until([&] { return verbs().trouble().empty(); })) << verbs().trouble();
  EXPECT_EQ(verbs().counters().devices, 2U);
  EXPECT_EQ(connect(), FabricError::none);
  std::array<std::byte, kPageBytes> page{};
  EXPECT_EQ(read(page), FabricError::none);
  EXPECT_EQ(page[0], kMark);
}

TEST_P(VerbsDevice, ADeviceThatAppearsLateIsTakenUp) {
  ASSERT_TRUE(begin_to_remove_device(given("FABRIC")));
  ASSERT_TRUE(polls_until([&] { return !device_is_there(given("FABRIC")); }));
  auto& rig = static_cast<VerbsRig&>(*rig_);
  rig.reopen();
  EXPECT_NE(verbs().trouble(), "");
  EXPECT_EQ(connect(), FabricError::link_down);
  ASSERT_TRUE(add_device(given("FABRIC")));
  EXPECT_TRUE(polls_until([&] { return verbs().trouble().empty(); })) << verbs().trouble();
  expect_connected();
}

TEST_P(VerbsDevice, ThePartnersDeviceMayGoAndComeToo) {
  expect_connected();
  auto& rig = static_cast<VerbsRig&>(*rig_);
  rig.remove_partners_device();
  std::array<std::byte, kPageBytes> page{};
  EXPECT_NE(read(page), FabricError::none);
  EXPECT_EQ(next_event()->kind, Kind::lost);
  EXPECT_NE(connect(), FabricError::none);
  rig.add_partners_device();
  EXPECT_TRUE(connects_at_last());
  EXPECT_EQ(read(page), FabricError::none);
  EXPECT_EQ(page[0], kMark);
}

std::unique_ptr<FabricRig> make_verbs_rig() { return std::make_unique<VerbsRig>(); }
INSTANTIATE_TEST_SUITE_P(Verbs, VerbsDevice, ::testing::Values(&make_verbs_rig));

}  // namespace
}  // namespace hapair::ccm
