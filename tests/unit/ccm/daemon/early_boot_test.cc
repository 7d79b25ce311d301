// A ccmd as an initramfs starts it, and what becomes of it: real processes, short of the initramfs itself and of the
// service manager that adopts it (tests/vm/run early-boot has those).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "ccm/base/fd.h"
#include "ccm/config/early_boot_note.h"
#include "tests/unit/ccm/daemon/running_ccmd.h"

namespace hapair::ccm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int kRunning = 3;
constexpr int kConfig = 78;

class EarlyBoot : public testing::Test {
 protected:
  void TearDown() override { ccmd_.end_early(); }
  [[nodiscard]] pid_t pid() const {
    const auto text = read_file(ccmd_.run_dir() + "/ccmd.lock", 64);
    return text ? std::atoi(text->c_str()) : 0;
  }
  [[nodiscard]] EarlyBootNote note() const { return read_early_boot_note(ccmd_.run_dir()).value_or(EarlyBootNote{}); }

  TempFolder folder_;
  RunningCcmd ccmd_{folder_, {}};
};

TEST_F(EarlyBoot, GoesToTheBackgroundMarkedAsAStorageDaemonAndServes) {
  ASSERT_EQ(ccmd_.run_to_end("--early"), 0);
  const auto words = read_file("/proc/" + std::to_string(pid()) + "/cmdline", 4096);
  ASSERT_TRUE(words);
  EXPECT_EQ(words->front(), '@');
  EXPECT_EQ(::getsid(pid()), pid()) << "a session of its own";
  ASSERT_TRUE(ccmd_.page());
  EXPECT_EQ(ccmd_.page()->phase, BootPhase::early);
  EXPECT_EQ(ccmd_.page()->trouble, 0);
  EXPECT_EQ(note().pid, pid());
  EXPECT_THAT(note().problems, IsEmpty());
  EXPECT_EQ(ccmd_.run_to_end("--early"), kRunning) << "one at a time";
}

TEST_F(EarlyBoot, WithoutAKeyItRunsAndSaysSo) {
  (void)ccmd_.run_to_end("--check");  // which writes its files
  const std::string config = ccmd_.config_file();
  std::filesystem::remove(std::filesystem::path(config).parent_path() / "alpha.key");
  ASSERT_EQ(::system((std::string(CCMD_PROGRAM) + " --early --config " + config).c_str()), 0);
  ASSERT_TRUE(eventually([this] { return ccmd_.page().has_value(); }));
  EXPECT_EQ(ccmd_.page()->trouble & kTroubleNoKey, kTroubleNoKey);
  EXPECT_EQ(note().key, "");
  EXPECT_THAT(note().problems, ElementsAre(HasSubstr("No such file or directory")));
}

TEST_F(EarlyBoot, AnotherConfigurationIsNotAdoptedButReplaced) {
  ASSERT_EQ(ccmd_.run_to_end("--early"), 0);
  const pid_t early = pid();
  const std::uint64_t incarnation = ccmd_.page()->incarnation.value();
  ccmd_.options.pace_ms = 7;
  ccmd_.options.adopt = true;
  ccmd_.options.phase = "root";
  ccmd_.start();
  ASSERT_TRUE(eventually([&] { return pid() != early && ccmd_.page() && ccmd_.page()->phase == BootPhase::root; }));
  EXPECT_NE(ccmd_.page()->incarnation.value(), incarnation);
  EXPECT_TRUE(eventually([early] { return ::kill(early, 0) != 0; }));
  EXPECT_THAT(note().problems, ElementsAre(HasSubstr("its configuration is not the one that this system has")));
  EXPECT_THAT(ccmd_.log(), HasSubstr("update-initramfs -u"));
}

TEST_F(EarlyBoot, AProcessThatIsNoEarlyCcmdIsLeftAlone) {
  (void)ccmd_.run_to_end("--check");
  ASSERT_TRUE(std::filesystem::create_directories(ccmd_.run_dir()) || std::filesystem::exists(ccmd_.run_dir()));
  EarlyBootNote stale;
  stale.pid = ::getpid();  // the number of one that died may be anybody's
  ASSERT_TRUE(write_early_boot_note(ccmd_.run_dir(), stale));
  ccmd_.options.adopt = true;
  ccmd_.options.phase = "root";
  ccmd_.start();
  EXPECT_TRUE(eventually([this] { return ccmd_.page() && ccmd_.page()->phase == BootPhase::root; }));
}

TEST_F(EarlyBoot, ItsOwnWordsExcludeEachOther) {
  EXPECT_EQ(ccmd_.run_to_end("--early --adopt"), 2);
  EXPECT_EQ(ccmd_.run_to_end("--check --boot-plan"), 2);
}

TEST_F(EarlyBoot, TellsWhatAnInitramfsNeeds) {
  ccmd_.options.more_rails =
      R"(,{"name":"fast","fabric":"verbs","address":"10.9.0.1","partner_address":"10.9.0.2","early_boot":)"
      R"({"interface":"mac:52:54:00:00:00:01","soft_rdma":"rxe","modules":["virtio_net"]}})"
      R"(,{"name":"plain","fabric":"iwarp","address":"10.9.1.1","partner_address":"10.9.1.2","early_boot":)"
      R"({"interface":"name:eth1","prefix_length":16,"modules":["virtio_net"]}})";
  EXPECT_EQ(ccmd_.run_to_end("--boot-plan"), 0);
  EXPECT_THAT(ccmd_.log(), HasSubstr("module virtio_net\nmodule ib_uverbs\nmodule rdma_ucm\nmodule rdma_rxe\n"
                                     "provider rxe\n"
                                     "rail fast\n"
                                     "rail plain\n"));
  EXPECT_THAT(ccmd_.log(), HasSubstr("config " + ccmd_.config_file() + "\nkey "));
}

TEST_F(EarlyBoot, AnInitramfsNeedsTheLibrariesOfItsDevicesOnlyAndAllWhereTheDeviceIsNotTold) {
  const std::string begin = R"(,{"name":"fast","fabric":"verbs","address":"10.9.0.1","partner_address":"10.9.0.2")";
  const std::string early = R"(,"early_boot":{"interface":"mac:52:54:00:00:00:01","modules":[)";
  ccmd_.options.more_rails = begin + early + R"("mlx5_core","mlx5_ib"]}})";
  EXPECT_EQ(ccmd_.run_to_end("--boot-plan"), 0);
  EXPECT_THAT(ccmd_.log(), HasSubstr("provider mlx5\nrail "));
  ccmd_.options.more_rails = begin + early + R"("some_new_driver"]}})";
  EXPECT_EQ(ccmd_.run_to_end("--boot-plan"), 0);
  EXPECT_THAT(ccmd_.log(), HasSubstr("provider *\nrail "));
  ccmd_.options.more_rails = begin + "}";
  EXPECT_EQ(ccmd_.run_to_end("--boot-plan"), 0);
  EXPECT_THAT(ccmd_.log(), HasSubstr("provider *\n"));
}

TEST_F(EarlyBoot, RefusesAnInterfaceThatWouldBeAnotherWordOfAShell) {
  ccmd_.options.more_rails =
      R"(,{"name":"plain","fabric":"iwarp","address":"10.9.1.1","partner_address":"10.9.1.2","early_boot":)"
      R"({"interface":"name:eth1; reboot","modules":["a b"]}})";
  EXPECT_EQ(ccmd_.run_to_end("--boot-plan"), kConfig);
  EXPECT_THAT(ccmd_.log(), HasSubstr("ccm.rails[1].early_boot.interface"));
  EXPECT_THAT(ccmd_.log(), HasSubstr("ccm.rails[1].early_boot.modules"));
}

}  // namespace
}  // namespace hapair::ccm
