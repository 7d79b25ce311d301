#include "ccm/watchdog/fed_until_record.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "ccm/wire/status_page.h"
#include "tests/unit/ccm/temp_folder.h"

namespace hapair::ccm {
namespace {

BootId boot_id(const char* text) { return BootId::parse(text).value(); }
const BootId kThisLife = boot_id("11111111-2222-3333-4444-555555555555");
const BootId kNextLife = boot_id("99999999-2222-3333-4444-555555555555");

class FedUntilRecordTest : public testing::Test {
 protected:
  std::string file() const { return folder_ / "fed-until"; }
  // What one CCM leaves behind.
  void write(const BootId& life, std::int64_t until_ns) {
    const auto record = FedUntilRecord::open(file(), life);
    ASSERT_TRUE(record) << record.error();
    ClientName name{};
    put_name(name, "server");
    ASSERT_TRUE(WatchdogFeed(record->table()).take(name, until_ns));
  }
  std::int64_t read(const BootId& life) {
    const auto record = FedUntilRecord::open(file(), life);
    EXPECT_TRUE(record);
    const auto first = WatchdogFeed(record->table()).first();
    return first ? first->until_ns : kSaysNothing;
  }

  TempFolder folder_;
};

TEST_F(FedUntilRecordTest, TheNextCcmGoesOnWithWhatTheOneBeforeKnew) {
  EXPECT_EQ(read(kThisLife), kSaysNothing) << "the first finds nothing";
  write(kThisLife, 5'000'000'000);
  EXPECT_EQ(read(kThisLife), 5'000'000'000);
  write(kThisLife, kFedFreely);
  EXPECT_EQ(read(kThisLife), kSaysNothing);
}

TEST_F(FedUntilRecordTest, OfAnotherLifeOfTheKernelItIsForgotten) {
  write(kThisLife, 5'000'000'000);
  EXPECT_EQ(read(kNextLife), kSaysNothing);
  EXPECT_EQ(read(kThisLife), kSaysNothing) << "for good";
}

TEST_F(FedUntilRecordTest, AFileThatIsNoneIsBegunAnew) {
  std::ofstream(file()) << std::string(5000, 'x');
  EXPECT_EQ(read(kThisLife), kSaysNothing);
  write(kThisLife, 5'000'000'000);
  EXPECT_EQ(read(kThisLife), 5'000'000'000);
}

TEST_F(FedUntilRecordTest, WhereItCannotBeThatIsSaid) {
  const auto record = FedUntilRecord::open(folder_ / "none/fed-until", kThisLife);
  ASSERT_FALSE(record);
  EXPECT_NE(record.error().find("none/fed-until: No such file"), std::string::npos) << record.error();
}

}  // namespace
}  // namespace hapair::ccm
