#include "ccm/watchdog/sysrq.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/unit/ccm/temp_folder.h"

namespace hapair::ccm {
namespace {

// Never the kernel's own file: that one resets this machine.
TEST(SysrqTrigger, WritesItsLetterAndSaysThatItRunsOn) {
  const TempFolder folder;
  const std::string file = folder / "trigger";
  std::ofstream(file).close();
  EXPECT_EQ(SysrqTrigger(file).reset(), ENOTSUP);
  std::ifstream in(file);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "b");
}

TEST(SysrqTrigger, SaysWhyItCannot) {
  const TempFolder folder;
  EXPECT_EQ(SysrqTrigger(folder / "nothing").reset(), ENOENT);
}

}  // namespace
}  // namespace hapair::ccm
