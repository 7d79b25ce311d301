// What can be told of it without a watchdog. The rest is in machines that may be reset: tests/vm/run watchdog.
#include "ccm/watchdog/linux_watchdog.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>

#include "tests/unit/ccm/temp_folder.h"

namespace hapair::ccm {
namespace {

WatchdogFault fault_of(const std::string& path) {
  LinuxWatchdog watchdog(path);
  const auto held = watchdog.hold(std::chrono::seconds(10), {}, {});
  return held ? WatchdogFault{} : held.error();
}

TEST(LinuxWatchdog, OneThatIsNotThereIsTold) {
  const TempFolder folder;
  EXPECT_EQ(fault_of(folder / "watchdog0"), (WatchdogFault{WatchdogProblem::cannot_open, ENOENT}));
}

TEST(LinuxWatchdog, WhatIsNoWatchdogIsNotTakenForOne) {
  const TempFolder folder;
  std::ofstream(folder / "file") << "text";
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  for (const std::string& path : {folder / "file", folder / "pipe", folder.path(), std::string("/dev/null")}) {
    EXPECT_EQ(fault_of(path), (WatchdogFault{WatchdogProblem::no_watchdog, 0})) << path;
  }
  std::string text;
  std::getline(std::ifstream(folder / "file"), text);
  EXPECT_EQ(text, "text") << "nothing was written to it";
}

TEST(LinuxWatchdog, OfANotHeldOneNothingBreaks) {
  LinuxWatchdog watchdog("/dev/null");
  EXPECT_EQ(watchdog.feed({}), EBADF);
  watchdog.stop();
  watchdog.leave_running();
}

}  // namespace
}  // namespace hapair::ccm
