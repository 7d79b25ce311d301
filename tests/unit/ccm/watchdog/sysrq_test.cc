#include "ccm/watchdog/sysrq.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/unit/ccm/temp_folder.h"

namespace hapair::ccm {
namespace {

// Never the kernel's own file: that one resets this machine.
class Sysrq : public ::testing::Test {
 protected:
  int reset_in(const std::string& pid_namespace) {
    std::ofstream(folder_ / "trigger").close();
    std::filesystem::create_symlink(pid_namespace, folder_ / "pid");
    return SysrqTrigger(folder_ / "trigger", folder_ / "pid").reset();
  }
  [[nodiscard]] std::string written() const {
    std::ifstream in(folder_ / "trigger");
    return {std::istreambuf_iterator<char>(in), {}};
  }

  const TempFolder folder_;
};

TEST_F(Sysrq, WritesItsLetterAndSaysThatItRunsOn) {
  EXPECT_EQ(reset_in("pid:[4026531836]"), ENOTSUP);
  EXPECT_EQ(written(), "b");
}

TEST_F(Sysrq, OfAContainerTouchesNothing) {
  EXPECT_EQ(reset_in("pid:[4026532836]"), EPERM);
  EXPECT_EQ(written(), "");
}

TEST_F(Sysrq, SaysWhyItCannot) {
  EXPECT_EQ(SysrqTrigger(folder_ / "trigger", folder_ / "nothing").reset(), ENOENT);
  std::filesystem::create_symlink("pid:[4026531836]", folder_ / "pid");
  EXPECT_EQ(SysrqTrigger(folder_ / "nothing", folder_ / "pid").reset(), ENOENT);
}

}  // namespace
}  // namespace hapair::ccm
