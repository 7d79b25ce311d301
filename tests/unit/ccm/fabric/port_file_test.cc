#include "ccm/fabric/shm/port_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/unit/ccm/temp_folder.h"

namespace hapair::ccm {
namespace {

struct Ran {
  int status = -1;
  std::string out;
};

Ran run(const std::string& arguments) {
  Ran ran;
  FILE* pipe = ::popen((std::string(SHM_PORT_PROGRAM) + " " + arguments + " 2>&1").c_str(), "r");
  std::array<char, 256> chunk{};
  while (std::fgets(chunk.data(), chunk.size(), pipe) != nullptr) ran.out += chunk.data();
  ran.status = WEXITSTATUS(::pclose(pipe));
  return ran;
}

TEST(PortView, WithoutAFileTheLinkIsUpAndTheMachineOn) {
  const TempFolder folder;
  PortView view(folder / "beta.port");
  view.refresh();
  EXPECT_TRUE(view.link_up());
  EXPECT_TRUE(view.powered());
}

TEST(PortView, AFileThatNobodyHoldsIsAMachineWithoutPower) {
  const TempFolder folder;
  PortView view(folder / "beta.port");
  {
    auto port = PortFile::open(folder / "beta.port", true);
    ASSERT_TRUE(port);
    view.refresh();
    EXPECT_FALSE(view.powered());
    ASSERT_TRUE(port->hold());
    view.refresh();
    EXPECT_TRUE(view.powered());
    port->set_link(false);
    view.refresh();
    EXPECT_FALSE(view.link_up());
    EXPECT_TRUE(view.powered());
  }
  view.refresh();
  EXPECT_FALSE(view.powered());
}

TEST(PortView, AReplacedFileIsLookedAtAnew) {
  const TempFolder folder;
  PortView view(folder / "beta.port");
  auto first = PortFile::open(folder / "beta.port", true);
  ASSERT_TRUE(first && first->hold());
  view.refresh();
  EXPECT_TRUE(view.powered());
  std::filesystem::remove(folder / "beta.port");
  auto second = PortFile::open(folder / "beta.port", true);
  ASSERT_TRUE(second);
  second->set_link(false);
  view.refresh();
  EXPECT_FALSE(view.powered());
  EXPECT_FALSE(view.link_up());
}

TEST(PortView, AFileThatIsNoPortIsAMachineThatIsNotOn) {
  const TempFolder folder;
  std::ofstream(folder / "beta.port") << std::string(64, 'x');
  PortView view(folder / "beta.port");
  view.refresh();
  EXPECT_FALSE(view.powered());
}

TEST(ShmPortProgram, SetsAndShowsAPortThatAnotherHolds) {
  const TempFolder folder;
  const std::string file = folder / "beta.port";
  EXPECT_EQ(run("show " + file).status, 1) << "no file yet";
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t holder = ::fork();
  if (holder == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execl(SHM_PORT_PROGRAM, SHM_PORT_PROGRAM, "hold", file.c_str(), nullptr);
    ::_exit(127);
  }
  std::array<char, 5> said{};
  ASSERT_EQ(::read(ends[0], said.data(), said.size()), 5);
  EXPECT_EQ(std::string_view(said.data(), 4), "held");
  EXPECT_EQ(run("show " + file).out, "link up, power on\n");
  EXPECT_EQ(run("down " + file).status, 0);
  EXPECT_EQ(run("show " + file).out, "link down, power on\n");
  const Ran second = run("hold " + file);
  EXPECT_EQ(second.status, 1);
  EXPECT_NE(second.out.find("another process holds this port"), std::string::npos);
  ::kill(holder, SIGKILL);
  ::waitpid(holder, nullptr, 0);
  EXPECT_EQ(run("show " + file).out, "link down, power off\n");
  EXPECT_EQ(run("up " + file).status, 0);
  EXPECT_EQ(run("show " + file).out, "link up, power off\n");
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(ShmPortProgram, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(run("sideways /nowhere").status, 2);
  EXPECT_EQ(run("").status, 2);
}

}  // namespace
}  // namespace hapair::ccm
