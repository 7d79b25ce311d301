#include "ccm/fabric/shm/shm_port_fabric.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <vector>

#include "tests/unit/ccm/fabric/port_fabric_contract.h"
#include "tests/unit/ccm/fabric/shm/shm_ports.h"

namespace hapair::ccm {
namespace {

using Kind = PortEvent::Kind;
using enum FabricError;

class ShmPortRig final : public PortRig {
 public:
  ShmPortRig() : own_port_(held_port(folder_ / "alpha.port")), partner_port_(held_port(folder_ / "beta.port")) {
    restart_partner();
    own_.emplace(shm_settings(folder_.path(), "alpha", "beta"));
    const auto opened = own_->open();
    EXPECT_TRUE(opened) << opened.error();
  }
  [[nodiscard]] PortTraits traits() const override { return {.stopped = none}; }
  PortFabric& own() override { return *own_; }
  PortFabric& partner() override { return *partner_; }
  void restart_partner() override {
    partner_.reset();
    partner_.emplace(shm_settings(folder_.path(), "beta", "alpha"));
    const auto opened = partner_->open();
    EXPECT_TRUE(opened) << opened.error();
  }
  void cut_partner() override { partner_port_->set_link(false); }
  void cut_own() override { own_port_->set_link(false); }
  void heal() override {
    own_port_->set_link(true);
    partner_port_->set_link(true);
  }
  void power_partner_off() { partner_port_.reset(); }
  [[nodiscard]] const TempFolder& folder() const { return folder_; }

 private:
  TempFolder folder_;
  std::optional<PortFile> own_port_;
  std::optional<PortFile> partner_port_;
  std::optional<ShmPortFabric> own_;
  std::optional<ShmPortFabric> partner_;
};

std::unique_ptr<PortRig> make_rig() { return std::make_unique<ShmPortRig>(); }
INSTANTIATE_TEST_SUITE_P(Shm, PortFabricContract, ::testing::Values(&make_rig));

class ShmPorts : public ::testing::Test {
 protected:
  void connect(PortId port, const ExposedMemory& memory) {
    const auto mark = static_cast<std::uint8_t>(port.value());
    ASSERT_TRUE(rig_.partner().add(port, port_token(mark), memory.exposure()));
    ASSERT_TRUE(rig_.own().add(port, port_token(100), {}));
    rig_.own().connect(clock_.now(), port, port_token(mark));
    expect_next(rig_.own(), Kind::connected, none, &rig_.partner());
  }

  ShmPortRig rig_;
  SystemClock clock_;
};

TEST_F(ShmPorts, APartnerWithoutPowerIsSilent) {
  ExposedMemory memory(4096);
  connect(PortId(1), memory);
  rig_.power_partner_off();
  rig_.restart_partner();  // as its processes die with the machine, and before anybody looks
  const std::array<std::byte, 1> byte{std::byte{1}};
  ASSERT_TRUE(rig_.own().post_write(clock_.now(), PortId(1), OperationId(1), 0, byte));
  expect_next(rig_.own(), Kind::done, retry_exceeded);
  expect_next(rig_.own(), Kind::lost, retry_exceeded);
  rig_.own().connect(clock_.now(), PortId(1), port_token(1));
  expect_next(rig_.own(), Kind::not_connected, retry_exceeded);
}

TEST_F(ShmPorts, ALinkThatReturnsInTimeHidesThatItWasGone) {
  ExposedMemory memory(4096);
  connect(PortId(1), memory);
  const Instant start = clock_.now();
  rig_.cut_partner();
  const std::array<std::byte, 1> byte{std::byte{1}};
  ASSERT_TRUE(rig_.own().post_write(start, PortId(1), OperationId(1), 0, byte));
  std::array<PortEvent, 2> events;
  EXPECT_EQ(rig_.own().poll(start + std::chrono::milliseconds(19), events), 0U);
  EXPECT_EQ(memory[0], std::byte{0});
  rig_.heal();
  ASSERT_EQ(rig_.own().poll(start + std::chrono::milliseconds(19), events), 1U);
  EXPECT_EQ(events[0].error, none);
  EXPECT_EQ(memory[0], std::byte{1});
}

TEST_F(ShmPorts, TheEndOfAConnectionIsNotHeardAcrossACut) {
  ExposedMemory memory(4096);
  connect(PortId(1), memory);
  rig_.cut_partner();
  rig_.own().drop(clock_.now(), PortId(1));
  std::array<PortEvent, 2> events;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(rig_.partner().poll(clock_.now(), events), 0U);
  rig_.heal();
  expect_next(rig_.partner(), Kind::partner_out, disconnected);
}

TEST_F(ShmPorts, ALargeWriteDoesNotKeepAnotherPortWaiting) {
  constexpr std::size_t kLarge = 16 * ShmPortEnd::kPieceBytes;
  ExposedMemory large(kLarge);
  ExposedMemory small(4096);
  connect(PortId(1), large);
  connect(PortId(2), small);
  const std::vector<std::byte> bytes(kLarge, std::byte{7});
  ASSERT_TRUE(rig_.own().post_write(clock_.now(), PortId(1), OperationId(1), 0, bytes));
  ASSERT_TRUE(rig_.own().post_write(clock_.now(), PortId(2), OperationId(2), 0, std::span(bytes).first(1)));
  const auto first = next_event(rig_.own());
  ASSERT_TRUE(first);
  EXPECT_EQ(first->operation, OperationId(2));
  EXPECT_EQ(large[kLarge - 1], std::byte{0}) << "it was moved as a whole, before the other";
  const auto second = next_event(rig_.own());
  ASSERT_TRUE(second);
  EXPECT_EQ(second->operation, OperationId(1));
  EXPECT_TRUE(std::ranges::equal(large.bytes(), bytes));
}

TEST_F(ShmPorts, TheDescriptorTellsThatPollHasSomething) {
  ExposedMemory memory(4096);
  connect(PortId(1), memory);
  const auto readable = [](PortFabric& fabric) {
    pollfd fd{fabric.poll_fd(), POLLIN, 0};
    return ::poll(&fd, 1, 0) == 1;
  };
  std::array<PortEvent, 8> events;
  while (rig_.partner().poll(clock_.now(), events) > 0) {
  }
  EXPECT_FALSE(readable(rig_.own()));
  EXPECT_FALSE(readable(rig_.partner()));
  const std::array<std::byte, 1> byte{std::byte{1}};
  ASSERT_TRUE(rig_.own().post_write(clock_.now(), PortId(1), OperationId(1), 0, byte));
  EXPECT_TRUE(readable(rig_.own()));
  EXPECT_EQ(rig_.own().poll(clock_.now(), std::span<PortEvent>()), 0U);
  EXPECT_TRUE(readable(rig_.own())) << "an event waits";
  EXPECT_EQ(rig_.own().poll(clock_.now(), events), 1U);
  EXPECT_FALSE(readable(rig_.own()));
  std::vector<std::byte> buffer(PortFabric::kMaxMessage);
  ASSERT_TRUE(rig_.partner().post_receive(PortId(1), OperationId(5), buffer));
  ASSERT_TRUE(rig_.own().post_send(clock_.now(), PortId(1), OperationId(2), byte));
  EXPECT_EQ(rig_.own().poll(clock_.now(), events), 0U);
  EXPECT_FALSE(readable(rig_.own())) << "the message waits for the partner";
  EXPECT_TRUE(readable(rig_.partner()));
  EXPECT_EQ(rig_.partner().poll(clock_.now(), events), 1U);
  EXPECT_TRUE(readable(rig_.own())) << "it was taken";
  EXPECT_EQ(rig_.own().poll(clock_.now(), events), 1U);
  rig_.own().drop(clock_.now(), PortId(1));
  EXPECT_TRUE(readable(rig_.partner()));
}

TEST_F(ShmPorts, AWriteBehindAMessageIsCarriedOutAndCompletesBehindIt) {
  ExposedMemory memory(4096);
  connect(PortId(1), memory);
  const std::array<std::byte, 1> byte{std::byte{1}};
  std::vector<std::byte> buffer(PortFabric::kMaxMessage);
  ASSERT_TRUE(rig_.partner().post_receive(PortId(1), OperationId(5), buffer));
  ASSERT_TRUE(rig_.own().post_send(clock_.now(), PortId(1), OperationId(1), byte));
  ASSERT_TRUE(rig_.own().post_write(clock_.now(), PortId(1), OperationId(2), 0, byte));
  std::array<PortEvent, 8> events;
  EXPECT_EQ(rig_.own().poll(clock_.now(), events), 0U) << "the partner has not taken the message";
  EXPECT_EQ(memory[0], std::byte{1});
  (void)rig_.partner().poll(clock_.now(), events);
  ASSERT_EQ(rig_.own().poll(clock_.now(), events), 2U);
  EXPECT_EQ(events[0].operation, OperationId(1));
  EXPECT_EQ(events[1].operation, OperationId(2));
}

TEST_F(ShmPorts, AMissingRightBehindAMessageIsToldOnceTheMessageWasTaken) {
  ExposedMemory memory(4096);
  ASSERT_TRUE(rig_.partner().add(PortId(1), port_token(1), memory.exposure(true, false)));
  ASSERT_TRUE(rig_.own().add(PortId(1), port_token(100), {}));
  rig_.own().connect(clock_.now(), PortId(1), port_token(1));
  expect_next(rig_.own(), Kind::connected, none, &rig_.partner());
  const std::array<std::byte, 1> byte{std::byte{1}};
  std::vector<std::byte> buffer(PortFabric::kMaxMessage);
  ASSERT_TRUE(rig_.partner().post_receive(PortId(1), OperationId(5), buffer));
  ASSERT_TRUE(rig_.own().post_send(clock_.now(), PortId(1), OperationId(1), byte));
  ASSERT_TRUE(rig_.own().post_write(clock_.now(), PortId(1), OperationId(2), 0, byte));
  const auto sent = next_event(rig_.own(), &rig_.partner());
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->operation, OperationId(1));
  EXPECT_EQ(sent->error, none);
  expect_next(rig_.own(), Kind::done, remote_access, &rig_.partner());
  expect_next(rig_.own(), Kind::lost, remote_access, &rig_.partner());
  EXPECT_EQ(memory[0], std::byte{0});
}

TEST_F(ShmPorts, WhatIsNoSealableMemoryIsNotExposed) {
  std::vector<std::byte> heap(4096);
  const auto without = rig_.own().add(PortId(1), port_token(1), {.memory = heap, .partner_reads = true});
  ASSERT_FALSE(without);
  EXPECT_NE(without.error().find("memfd with MFD_ALLOW_SEALING"), std::string::npos) << without.error();
  const Fd file(::memfd_create("unsealable", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(file.get(), 4096), 0);
  EXPECT_FALSE(rig_.own().add(PortId(1), port_token(1), {.memory = heap, .memory_fd = file.get()}));
  const Fd shorter(::memfd_create("short", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(shorter.get(), 4095), 0);
  const auto refused_length = rig_.own().add(PortId(1), port_token(1), {.memory = heap, .memory_fd = shorter.get()});
  ASSERT_FALSE(refused_length);
  EXPECT_NE(refused_length.error().find("4096 bytes"), std::string::npos) << refused_length.error();
}

TEST_F(ShmPorts, ASecondCcmOfTheSameNodeIsRefusedAndTheFirstServesOn) {
  ShmPortFabric second(shm_settings(rig_.folder().path(), "beta", "alpha"));
  const auto opened = second.open();
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().find("another ccmd of node beta"), std::string::npos) << opened.error();
  ExposedMemory memory(4096);
  connect(PortId(1), memory);
}

TEST_F(ShmPorts, APathTooLongForASocketIsNamed) {
  const std::string folder = rig_.folder() / std::string(100, 'x');
  ShmPortFabric fabric(shm_settings(folder, "alpha", "beta"));
  const auto opened = fabric.open();
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().find("shorter shm_dir"), std::string::npos) << opened.error();
}

// ---- a process of its own, in namespaces of its own ---------------------------------------------------------------

// Exposes 64 KiB as port 1, takes messages, and says over `channel` for each byte that it gets there what the first
// byte of its memory is.
[[noreturn]] void serve(const std::string& folder, int channel) {
  ExposedMemory memory(std::size_t{64} * 1024);
  ShmPortFabric fabric(shm_settings(folder, "beta", "alpha"));
  std::vector<std::byte> buffer(PortFabric::kMaxMessage);
  const SystemClock clock;
  char said = 'r';
  if (!fabric.open() || !fabric.add(PortId(1), port_token(1), memory.exposure()) ||
      !fabric.post_receive(PortId(1), OperationId(1), buffer) || ::write(channel, &said, 1) != 1) {
    ::_exit(1);
  }
  std::array<PortEvent, 8> events;
  while (true) {
    std::array<pollfd, 2> fds{{{fabric.poll_fd(), POLLIN, 0}, {channel, POLLIN, 0}}};
    ::poll(fds.data(), fds.size(), -1);
    (void)fabric.poll(clock.now(), events);
    if (fds[1].revents == 0) continue;
    if (::read(channel, &said, 1) != 1) ::_exit(0);
    said = static_cast<char>(memory[0]);
    if (::write(channel, &said, 1) != 1) ::_exit(0);
  }
}

class ShmPortsAcrossNamespaces : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "namespaces cannot be made: not root";
    std::array<int, 2> ends{};
    std::array<int, 2> child{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    ASSERT_EQ(::pipe2(child.data(), O_CLOEXEC), 0);
    outer_ = ::fork();
    if (outer_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(ends[0]);
      if (::unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC) != 0) ::_exit(1);
      const pid_t first = ::fork();
      if (first == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        // /proc of its own PID namespace, as a node has it.
        const bool mounted = ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                             ::mount("proc", "/proc", "proc", 0, nullptr) == 0;
        if (!mounted) ::_exit(1);
        serve(folder_.path(), ends[1]);
      }
      (void)!::write(child[1], &first, sizeof first);
      ::waitpid(first, nullptr, 0);
      ::_exit(0);
    }
    ::close(ends[1]);
    ::close(child[1]);
    channel_ = Fd(ends[0]);
    ASSERT_EQ(::read(child[0], &partner_, sizeof partner_), static_cast<ssize_t>(sizeof partner_));
    ::close(child[0]);
    char ready = 0;
    ASSERT_EQ(::read(channel_.get(), &ready, 1), 1) << "the partner's process could not serve";
    own_.emplace(shm_settings(folder_.path(), "alpha", "beta"));
    ASSERT_TRUE(own_->open());
    ASSERT_TRUE(own_->add(PortId(1), port_token(2), {}));
    own_->connect(clock_.now(), PortId(1), port_token(1));
    expect_next(*own_, Kind::connected, none);
  }
  void TearDown() override { kill_partner(); }
  void kill_partner() {
    if (outer_ <= 0) return;
    ::kill(partner_, SIGKILL);
    ::waitpid(outer_, nullptr, 0);
    outer_ = -1;
  }
  void expect_written(std::byte value) {
    const std::array<std::byte, 1> byte{value};
    std::array<std::byte, 1> back{};
    ASSERT_TRUE(own_->post_write(clock_.now(), PortId(1), OperationId(1), 0, byte));
    ASSERT_TRUE(own_->post_read(clock_.now(), PortId(1), OperationId(2), 0, back));
    expect_next(*own_, Kind::done, none);
    expect_next(*own_, Kind::done, none);
    EXPECT_EQ(back, byte);
  }
  char memory_there() {
    char said = 'm';
    EXPECT_EQ(::write(channel_.get(), &said, 1), 1);
    EXPECT_EQ(::read(channel_.get(), &said, 1), 1);
    return said;
  }

  TempFolder folder_;
  SystemClock clock_;
  Fd channel_;
  std::optional<ShmPortFabric> own_;
  pid_t outer_ = -1;
  pid_t partner_ = -1;
};

TEST_F(ShmPortsAcrossNamespaces, AStoppedPartnerIsReadAndWrittenAndOnlyMessagesWaitForIt) {
  expect_written(std::byte{0x11});
  EXPECT_EQ(memory_there(), 0x11);
  ASSERT_EQ(::kill(partner_, SIGSTOP), 0);
  expect_written(std::byte{0x22});
  const std::array<std::byte, 1> byte{std::byte{1}};
  ASSERT_TRUE(own_->post_send(clock_.now(), PortId(1), OperationId(3), byte));
  expect_next(*own_, Kind::done, retry_exceeded);
  expect_next(*own_, Kind::lost, retry_exceeded);
  own_->connect(clock_.now(), PortId(1), port_token(1));
  expect_next(*own_, Kind::not_connected, retry_exceeded);
  ASSERT_EQ(::kill(partner_, SIGCONT), 0);
  EXPECT_EQ(memory_there(), 0x22);
  own_->connect(clock_.now(), PortId(1), port_token(1));
  expect_next(*own_, Kind::connected, none);
  expect_written(std::byte{0x33});
}

TEST_F(ShmPortsAcrossNamespaces, AKilledPartnerHangsUp) {
  kill_partner();
  expect_next(*own_, Kind::lost, disconnected);
  own_->connect(clock_.now(), PortId(1), port_token(1));
  expect_next(*own_, Kind::not_connected, not_listening);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "beta.ports")) << "what a killed one leaves";
  ShmPortFabric next(shm_settings(folder_.path(), "beta", "alpha"));
  EXPECT_TRUE(next.open());
}

}  // namespace
}  // namespace hapair::ccm
