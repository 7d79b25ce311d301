#include "agent/reservation/held_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST(HeldRecord, NamesTheDisksOfAllThatIsHeld) {
  const test::TempFolder folder;
  const HeldRecord record(folder.path());
  ASSERT_TRUE(record.devices());
  EXPECT_THAT(*record.devices(), IsEmpty());
  ASSERT_TRUE(record.write("pool-a/disks", {"/dev/one", "/dev/two"}));
  ASSERT_TRUE(record.write("pool-b/disks", {"/dev/three"}));
  ASSERT_TRUE(record.write("pool-b/disks", {"/dev/four"}));
  EXPECT_THAT(*record.devices(), UnorderedElementsAre("/dev/one", "/dev/two", "/dev/four"));
  record.remove("pool-a/disks");
  record.remove("pool-c/disks");
  EXPECT_THAT(*record.devices(), UnorderedElementsAre("/dev/four"));
}

TEST(HeldRecord, ThatCannotBeWrittenSaysSo) {
  const test::TempFolder folder;
  folder.write("run", "a file");
  EXPECT_FALSE(HeldRecord(folder / "run").write("pool-a/disks", {"/dev/one"}));
}

}  // namespace
}  // namespace hapair::agent
