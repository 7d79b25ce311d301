#include "agent/reservation/scsi_disk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using testing::HasSubstr;

// With a real disk: tests/vm/run scsi.
TEST(ScsiDisk, ThatIsNoneSaysWhyToEveryQuestion) {
  const test::TempFolder folder;
  ScsiDisk absent(folder / "nowhere", std::chrono::seconds(1));
  EXPECT_EQ(absent.paths(), 1U);
  EXPECT_EQ(absent.read().error().kind, DiskProblem::Kind::absent);
  EXPECT_THAT(absent.read().error().text, HasSubstr("nowhere: No such file or directory; connect it"));
  ScsiDisk file(folder.write("file", "text"), std::chrono::seconds(1));
  EXPECT_THAT(file.read().error().text, HasSubstr("is no block device; name a disk"));
  const auto sent = file.send(0, {ReserveOutAction::register_key, {}, ReservationKey(1)});
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().kind, DiskProblem::Kind::wrong);
}

TEST(ScsiDisk, IsNoOtherBlockDevice) {
  for (const char* device : {"/dev/loop0", "/dev/vda", "/dev/nvme0n1"}) {
    ScsiDisk disk(device, std::chrono::seconds(1));
    const auto said = disk.read();
    ASSERT_FALSE(said);
    if (said.error().kind == DiskProblem::Kind::absent) continue;
    EXPECT_THAT(said.error().text, HasSubstr("is no SCSI disk, and only those have SCSI-3 reservations"));
  }
}

}  // namespace
}  // namespace hapair::agent
