#include "ccm/fabric/shm/shm_fabric.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "tests/unit/ccm/fabric/fabric_contract.h"
#include "tests/unit/ccm/temp_folder.h"

namespace hapair::ccm {
namespace {

ShmSettings settings(const TempFolder& folder, const char* node, const char* partner) {
  return {.dir = folder.path(),
          .pair = *PairName::parse("pair"),
          .node = *NodeName::parse(node),
          .partner = *NodeName::parse(partner)};
}

// The partner's process: exposes its pages, then tells its mailbox to whoever asks over `channel`.
[[noreturn]] void serve_pages(const TempFolder& folder, std::byte mark, int channel) {
  ShmFabric fabric(settings(folder, "beta", "alpha"));
  if (!fabric.open()) ::_exit(1);
  std::ranges::fill(fabric.status_memory(), mark);
  char question = 'r';
  while (::write(channel, &question, 1) == 1 && ::read(channel, &question, 1) == 1) {
    const auto mailbox = fabric.mailbox_memory();
    if (::write(channel, mailbox.data(), mailbox.size()) != static_cast<ssize_t>(mailbox.size())) break;
  }
  ::_exit(0);
}

class ShmRig final : public FabricRig {
 public:
  ShmRig() : fabric_(settings(folder_, "alpha", "beta")) {
    const auto opened = fabric_.open();
    EXPECT_TRUE(opened) << opened.error();
    own_port_ = make_port("alpha");
    partner_port_ = make_port("beta");
  }
  ~ShmRig() override { kill_partner(); }

  Fabric& fabric() override { return fabric_; }
  void start_partner(std::byte mark) override {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    partner_ = ::fork();
    ASSERT_GE(partner_, 0);
    if (partner_ == 0) {
      ::close(ends[0]);
      serve_pages(folder_, mark, ends[1]);
    }
    ::close(ends[1]);
    channel_ = Fd(ends[0]);
    char ready = 0;
    ASSERT_EQ(::read(channel_.get(), &ready, 1), 1) << "the partner's process could not expose its pages";
  }
  void stop_partner() override {
    ::kill(partner_, SIGSTOP);
    int status = 0;
    ASSERT_EQ(::waitpid(partner_, &status, WUNTRACED), partner_);
    ASSERT_TRUE(WIFSTOPPED(status));
  }
  void continue_partner() override { ::kill(partner_, SIGCONT); }
  void kill_partner() override {
    if (partner_ <= 0) return;
    ::kill(partner_, SIGKILL);
    ::waitpid(partner_, nullptr, 0);
    partner_ = -1;
  }
  std::array<std::byte, kPageBytes> partner_mailbox() override {
    std::array<std::byte, kPageBytes> bytes{};
    char question = 'm';
    EXPECT_EQ(::write(channel_.get(), &question, 1), 1);
    EXPECT_EQ(::recv(channel_.get(), bytes.data(), bytes.size(), MSG_WAITALL), static_cast<ssize_t>(bytes.size()));
    EXPECT_EQ(::recv(channel_.get(), &question, 1, MSG_WAITALL), 1);
    return bytes;
  }
  void cut_partner() override { partner_port_->set_link(false); }
  void cut_own() override { own_port_->set_link(false); }
  void heal() override {
    own_port_->set_link(true);
    partner_port_->set_link(true);
  }
  const TempFolder& folder() const { return folder_; }

 private:
  std::optional<PortFile> make_port(const std::string& node) {
    auto port = PortFile::open(folder_ / (node + ".port"), true);
    EXPECT_TRUE(port);
    EXPECT_TRUE(port->hold());
    return std::move(*port);
  }

  TempFolder folder_;
  ShmFabric fabric_;
  std::optional<PortFile> own_port_;
  std::optional<PortFile> partner_port_;
  pid_t partner_ = -1;
  Fd channel_;
};

std::unique_ptr<FabricRig> make_shm_rig() { return std::make_unique<ShmRig>(); }
INSTANTIATE_TEST_SUITE_P(Shm, FabricContract, ::testing::Values(&make_shm_rig));

TEST(ShmFabric, ASecondCcmOfTheSameNodeIsRefusedAndTheFirstIsUntouched) {
  const TempFolder folder;
  ShmFabric first(settings(folder, "alpha", "beta"));
  ASSERT_TRUE(first.open());
  std::ranges::fill(first.status_memory(), std::byte{0x42});
  ShmFabric second(settings(folder, "alpha", "beta"));
  const auto opened = second.open();
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().find("another ccmd of node alpha"), std::string::npos) << opened.error();

  SystemClock clock;
  ShmFabric partner(settings(folder, "beta", "alpha"));
  ASSERT_TRUE(partner.open());
  partner.connect(clock.now());
  std::array<FabricEvent, 2> events;
  ASSERT_EQ(partner.poll(clock.now(), events), 1U);
  EXPECT_EQ(events[0].kind, FabricEvent::Kind::connected);
}

TEST(ShmFabric, PageFilesAreForTheirOwnerAlone) {
  const TempFolder folder;
  ShmFabric fabric(settings(folder, "alpha", "beta"));
  ASSERT_TRUE(fabric.open());
  for (const char* name : {"alpha.status", "alpha.mailbox"}) {
    struct stat st{};
    ASSERT_EQ(::stat((folder / name).c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600U) << name;
    EXPECT_EQ(st.st_size, 4096) << name;
  }
}

TEST(ShmFabric, AWithdrawnNodeIsNotListening) {
  const TempFolder folder;
  SystemClock clock;
  ShmFabric alpha(settings(folder, "alpha", "beta"));
  ASSERT_TRUE(alpha.open());
  {
    ShmFabric beta(settings(folder, "beta", "alpha"));
    ASSERT_TRUE(beta.open());
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "beta.status"));
  alpha.connect(clock.now());
  std::array<FabricEvent, 2> events;
  ASSERT_EQ(alpha.poll(clock.now(), events), 1U);
  EXPECT_EQ(events[0].error, FabricError::not_listening);
}

TEST(ShmFabric, ALinkInThePlaceOfAPageIsRefused) {
  const TempFolder folder;
  SystemClock clock;
  ShmFabric alpha(settings(folder, "alpha", "beta"));
  ASSERT_TRUE(alpha.open());
  std::filesystem::create_symlink(folder / "alpha.status", folder / "beta.status");
  alpha.connect(clock.now());
  std::array<FabricEvent, 2> events;
  ASSERT_EQ(alpha.poll(clock.now(), events), 1U);
  EXPECT_EQ(events[0].error, FabricError::refused);
}

TEST(ShmFabric, AShortPageIsRefusedAndNotTouched) {
  const TempFolder folder;
  SystemClock clock;
  ShmFabric alpha(settings(folder, "alpha", "beta"));
  ASSERT_TRUE(alpha.open());
  std::FILE* file = std::fopen((folder / "beta.status").c_str(), "w");
  std::fputs("short", file);
  std::fclose(file);
  alpha.connect(clock.now());
  std::array<FabricEvent, 2> events;
  ASSERT_EQ(alpha.poll(clock.now(), events), 1U);
  EXPECT_EQ(events[0].error, FabricError::refused);
}

TEST(ShmFabric, ALinkThatReturnsInTimeHidesThatItWasGone) {
  ShmRig rig;
  rig.start_partner(std::byte{1});
  const Instant start = instant_of_ns(1'000'000'000);
  std::array<FabricEvent, 2> events;
  rig.fabric().connect(start);
  ASSERT_EQ(rig.fabric().poll(start, events), 1U);
  rig.cut_partner();
  std::array<std::byte, kPageBytes> page{};
  ASSERT_TRUE(rig.fabric().post_read(start, OperationId(1), RemotePage::status, 0, page));
  EXPECT_EQ(rig.fabric().poll(start + std::chrono::milliseconds(19), events), 0U);
  rig.heal();
  ASSERT_EQ(rig.fabric().poll(start + std::chrono::milliseconds(19), events), 1U);
  EXPECT_EQ(events[0].error, FabricError::none);
  EXPECT_EQ(rig.fabric().last_round_trip(), std::chrono::milliseconds(19));
}

}  // namespace
}  // namespace hapair::ccm
