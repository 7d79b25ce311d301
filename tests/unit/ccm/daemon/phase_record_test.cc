#include "ccm/daemon/phase_record.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/unit/ccm/temp_folder.h"

namespace hapair::ccm {
namespace {

constexpr std::array kStorage{BootPhase::awaiting_giveback, BootPhase::storage_starting, BootPhase::storage_active,
                              BootPhase::storage_stopping};

BootId boot(std::uint8_t number) {
  BootId id;
  id.bytes[0] = number;
  return id;
}

class PhaseRecordTest : public ::testing::Test {
 protected:
  PhaseRecord record(BootPhase first, std::uint8_t boot_number = 1, std::int64_t now_ns = 5) {
    return {folder_ / "phase", boot(boot_number), first, instant_of_ns(now_ns)};
  }
  TempFolder folder_;
};

TEST_F(PhaseRecordTest, NothingGoesBackBeforeStorage) {
  for (const BootPhase from : kStorage) {
    EXPECT_FALSE(record(from).allows(BootPhase::early));
    EXPECT_FALSE(record(from).allows(BootPhase::root));
  }
  EXPECT_FALSE(record(BootPhase::root).allows(BootPhase::early));
  for (const BootPhase to : kStorage) EXPECT_FALSE(record(BootPhase::shutting_down).allows(to));
}

TEST_F(PhaseRecordTest, PoolsComeAndGoWithinOneBoot) {
  for (const BootPhase to : kStorage) EXPECT_TRUE(record(BootPhase::storage_stopping).allows(to));
  EXPECT_TRUE(record(BootPhase::storage_active).allows(BootPhase::awaiting_giveback));
}

TEST_F(PhaseRecordTest, NobodyMayForgetThePhase) { EXPECT_FALSE(record(BootPhase::early).allows(BootPhase::unknown)); }

TEST_F(PhaseRecordTest, SurvivesARestartInTheSameBootWithItsTime) {
  auto first = record(BootPhase::early);
  ASSERT_TRUE(first.set(BootPhase::storage_active, instant_of_ns(1000)));
  const auto second = record(BootPhase::early, 1, 9000);
  EXPECT_EQ(second.phase(), BootPhase::storage_active);
  EXPECT_EQ(second.since(), instant_of_ns(1000));
}

TEST_F(PhaseRecordTest, MeansNothingInAnotherBoot) {
  auto first = record(BootPhase::early);
  ASSERT_TRUE(first.set(BootPhase::storage_active, instant_of_ns(1000)));
  EXPECT_EQ(record(BootPhase::early, 2).phase(), BootPhase::early);
}

TEST_F(PhaseRecordTest, GarbageInTheFileIsNoPhase) {
  for (const char* content : {"", "garbage", "11111111-2222-3333-4444-555555555555 nowhere 5", "\n\n\n"}) {
    std::ofstream(folder_ / "phase") << content;
    EXPECT_EQ(record(BootPhase::unknown).phase(), BootPhase::unknown) << content;
  }
}

}  // namespace
}  // namespace hapair::ccm
