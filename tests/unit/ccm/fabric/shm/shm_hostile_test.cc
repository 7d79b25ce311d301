// What an end of a shm port does with a partner that does not keep to the rules: one that speaks to the socket itself.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "ccm/fabric/shm/sealed_memory.h"
#include "tests/unit/ccm/fabric/shm/shm_ports.h"

namespace hapair::ccm {
namespace {

using Kind = PortEvent::Kind;
using enum FabricError;

ConnectBytes request(std::uint8_t mark) { return encode(ConnectRequest{ConnectService::port, port_token(mark)}); }

// ---- who asks -----------------------------------------------------------------------------------------------------

class ShmPortExposer : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(fabric_.open());
    expose(true, true);
  }
  void expose(bool reads, bool writes) {
    fabric_.remove(clock_.now(), PortId(1));
    (void)turn();
    ASSERT_TRUE(fabric_.add(PortId(1), port_token(1), memory_.exposure(reads, writes)));
  }
  std::vector<PortEvent> turn() {
    std::array<PortEvent, 16> events;
    const std::size_t count = fabric_.poll(clock_.now(), events);
    return {events.begin(), events.begin() + static_cast<std::ptrdiff_t>(count)};
  }
  Fd dial_in() {
    auto socket = dial(folder_ / "beta.ports");
    EXPECT_TRUE(socket);
    return std::move(*socket);
  }
  // Let in, with what the answer brought.
  struct Visitor {
    Fd socket;
    PortPacket answer;
    Mapping ring;
    [[nodiscard]] RingLayout& words() const { return *reinterpret_cast<RingLayout*>(ring.bytes().data()); }
  };
  Visitor visit() {
    Visitor visitor{dial_in(), {}, {}};
    EXPECT_TRUE(send_packet(visitor.socket, request(1)));
    for (int i = 0; i < 3; ++i) seen_.append_range(turn());
    visitor.answer = receive_packet(visitor.socket);
    EXPECT_EQ(visitor.answer.size, kConnectDataBytes);
    visitor.ring = *Mapping::map(visitor.answer.memory[0], kRingBytes, true);
    seen_.clear();
    return visitor;
  }
  static bool hung_up(const Fd& socket) { return receive_packet(socket).kind == PortPacket::Kind::ended; }
  // The visitor broke a rule: out it goes.
  void expect_thrown_out(const Visitor& visitor) {
    const auto events = turn();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].kind, Kind::partner_out);
    EXPECT_TRUE(hung_up(visitor.socket));
    EXPECT_EQ(visitor.words().exposer.revoked, 1U);
  }

  TempFolder folder_;
  SystemClock clock_;
  ExposedMemory memory_{8192};
  ShmPortFabric fabric_{shm_settings(folder_.path(), "beta", "alpha")};
  struct Seen : std::vector<PortEvent> {
    void append_range(const std::vector<PortEvent>& more) { insert(end(), more.begin(), more.end()); }
  } seen_;
};

TEST_F(ShmPortExposer, BytesThatAreNoRequestAreCountedAndHungUpOn) {
  std::vector<std::vector<std::byte>> bad;
  const ConnectBytes good = request(1);
  bad.emplace_back(1);
  bad.emplace_back(good.begin(), good.end() - 1);
  bad.emplace_back(good.begin(), good.end()).emplace_back();
  bad.emplace_back(good.begin(), good.end())[20] ^= std::byte{1};
  bad.emplace_back(2000);
  const ConnectBytes early = encode(ConnectRequest{ConnectService::early_channel, port_token(1)});
  bad.emplace_back(early.begin(), early.end());
  for (const auto& bytes : bad) {
    const Fd socket = dial_in();
    ASSERT_TRUE(send_packet(socket, bytes));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(turn().empty());
    EXPECT_TRUE(hung_up(socket)) << bytes.size();
  }
  EXPECT_EQ(fabric_.counters().refused_malformed, bad.size());
  EXPECT_EQ(fabric_.counters().refused_tokens, 0U);
}

TEST_F(ShmPortExposer, AFloodOfConnectionsIsCountedAndThePortServesOn) {
  const Visitor visitor = visit();
  std::vector<Fd> strangers;
  for (int i = 0; i < 100; ++i) {
    strangers.push_back(dial_in());
    EXPECT_TRUE(turn().empty());
  }
  EXPECT_EQ(fabric_.counters().refused_limit, 92U);
  std::array<PortEvent, 4> events;
  EXPECT_EQ(fabric_.poll(clock_.now() + std::chrono::seconds(3), events), 0U);
  EXPECT_EQ(fabric_.counters().refused_malformed, 8U) << "silent for too long";
  std::vector<std::byte> buffer(PortFabric::kMaxMessage);
  ASSERT_TRUE(fabric_.post_receive(PortId(1), OperationId(9), buffer));
  visitor.words().length[0] = 5;
  visitor.words().poster.sent = 1;
  ASSERT_TRUE(send_word(visitor.socket, PortWord::bell));
  const auto heard = turn();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].kind, Kind::received);
  EXPECT_EQ(heard[0].bytes, 5U);
}

TEST_F(ShmPortExposer, AnotherUserIsAStranger) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod((folder_ / "beta.ports").c_str(), 0777), 0);  // by default it cannot even reach it
  const pid_t other = ::fork();
  if (other == 0) {
    if (::setuid(65534) != 0) ::_exit(2);
    auto socket = dial(folder_ / "beta.ports");
    if (!socket) ::_exit(3);
    (void)send_packet(*socket, request(1));
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(other, &status, 0), other);
  ASSERT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(turn().empty());
  EXPECT_EQ(fabric_.counters().refused_strangers, 1U);
}

TEST_F(ShmPortExposer, TheSocketIsForItsOwnerAlone) {
  struct stat st{};
  ASSERT_EQ(::stat((folder_ / "beta.ports").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600U);
}

TEST_F(ShmPortExposer, WithoutTheRightToWriteTheDescriptorIsReadOnly) {
  expose(true, false);
  const Visitor visitor = visit();
  const int memory = visitor.answer.memory[1].get();
  EXPECT_EQ(::fcntl(memory, F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0), MAP_FAILED);
  EXPECT_NE(::ftruncate(memory, 0), 0);
  auto mapping = Mapping::map(visitor.answer.memory[1], 8192, false);
  ASSERT_TRUE(mapping);
  EXPECT_NE(::mprotect(mapping->bytes().data(), 8192, PROT_READ | PROT_WRITE), 0);
}

TEST_F(ShmPortExposer, WithoutAnyRightThereIsNoDescriptorOfTheMemory) {
  expose(false, false);
  EXPECT_FALSE(visit().answer.memory[1].valid());
}

TEST_F(ShmPortExposer, NeitherMemoryCanBeShortenedByThePartner) {
  const Visitor visitor = visit();
  EXPECT_NE(::ftruncate(visitor.answer.memory[0].get(), 0), 0);
  EXPECT_NE(::ftruncate(visitor.answer.memory[1].get(), 0), 0);
}

TEST_F(ShmPortExposer, ALengthThatLiesEndsTheConnection) {
  const Visitor visitor = visit();
  std::vector<std::byte> buffer(PortFabric::kMaxMessage);
  ASSERT_TRUE(fabric_.post_receive(PortId(1), OperationId(9), buffer));
  visitor.words().length[0] = 0xffff'ffff;
  visitor.words().poster.sent = 1;
  ASSERT_TRUE(send_word(visitor.socket, PortWord::bell));
  expect_thrown_out(visitor);
  EXPECT_EQ(fabric_.counters().broken_rules, 1U);
}

TEST_F(ShmPortExposer, AMessageThatNoBufferAwaitsEndsTheConnection) {
  const Visitor visitor = visit();
  visitor.words().poster.sent = 1;
  ASSERT_TRUE(send_word(visitor.socket, PortWord::bell));
  expect_thrown_out(visitor);
  EXPECT_EQ(fabric_.counters().broken_rules, 1U);
}

TEST_F(ShmPortExposer, AWordThatIsNoneEndsTheConnection) {
  const Visitor visitor = visit();
  ASSERT_TRUE(send_packet(visitor.socket, std::array{std::byte{77}}));
  expect_thrown_out(visitor);
  EXPECT_EQ(fabric_.counters().broken_rules, 1U);
}

TEST_F(ShmPortExposer, DescriptorsThatNobodyAskedForAreClosed) {
  const Visitor visitor = visit();
  const auto open_files = [] {
    int count = 0;
    for (int fd = 0; fd < 1024; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
  };
  const int before = open_files();
  const std::array<int, 2> gifts{visitor.answer.memory[0].get(), visitor.answer.memory[0].get()};
  ASSERT_TRUE(send_packet(visitor.socket, std::array{static_cast<std::byte>(PortWord::bell)}, gifts));
  EXPECT_TRUE(turn().empty());
  EXPECT_EQ(open_files(), before);
}

TEST_F(ShmPortExposer, WhoComesWithTheTokenReplacesTheOneBefore) {
  const Visitor first = visit();
  Fd second = dial_in();
  ASSERT_TRUE(send_packet(second, request(1)));
  for (int i = 0; i < 3; ++i) seen_.append_range(turn());
  ASSERT_EQ(seen_.size(), 2U);
  EXPECT_EQ(seen_[0].kind, Kind::partner_out);
  EXPECT_EQ(seen_[1].kind, Kind::partner_in);
  EXPECT_EQ(first.words().exposer.revoked, 1U);
  EXPECT_TRUE(hung_up(first.socket));
}

TEST_F(ShmPortExposer, RemovingWaitsForAPieceAndNotForEver) {
  const Visitor visitor = visit();
  visitor.words().poster.busy = 1;  // as one that was stopped in the midst of it
  fabric_.remove(clock_.now(), PortId(1));
  EXPECT_EQ(visitor.words().exposer.revoked, 1U);
  EXPECT_TRUE(hung_up(visitor.socket));
}

// ---- who answers --------------------------------------------------------------------------------------------------

class ShmPortPoster : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(fabric_.open());
    ASSERT_TRUE(fabric_.add(PortId(1), port_token(2), {}));
    listener_ = *listen_at(folder_ / "beta.ports");
    raw_ = *Mapping::map(ring_, kRingBytes, true);
    words().head.magic = kMessageRingMagic;
  }
  RingLayout& words() { return *reinterpret_cast<RingLayout*>(raw_.bytes().data()); }
  static ConnectBytes answer(std::uint32_t length, std::uint32_t ring = kRingBytes, std::uint32_t rights = 3) {
    return encode(ConnectAnswer{ConnectService::port, {{{0, length, rights}, {0, ring, 0}}}});
  }
  // Connects, is answered with `bytes` and `descriptors`, and takes its next event.
  std::optional<PortEvent> connect_and_answer(std::span<const std::byte> bytes, std::span<const int> descriptors) {
    fabric_.connect(clock_.now(), PortId(1), port_token(1));
    std::array<PortEvent, 1> event;
    EXPECT_EQ(fabric_.poll(clock_.now(), event), 0U);
    socket_ = accept_from(listener_);
    EXPECT_EQ(receive_packet(socket_).size, kConnectDataBytes);
    EXPECT_TRUE(send_packet(socket_, bytes, descriptors));
    return next_event(fabric_);
  }
  void expect_refused(std::span<const std::byte> bytes, std::span<const int> descriptors, const char* what) {
    const auto event = connect_and_answer(bytes, descriptors);
    ASSERT_TRUE(event) << what;
    EXPECT_EQ(event->kind, Kind::not_connected) << what;
    EXPECT_EQ(event->error, refused) << what;
  }

  TempFolder folder_;
  SystemClock clock_;
  ShmPortFabric fabric_{shm_settings(folder_.path(), "alpha", "beta")};
  Fd listener_;
  Fd socket_;
  Fd ring_ = *make_sealed_memory("ring", kRingBytes);
  Fd memory_ = *make_sealed_memory("memory", 8192);
  Mapping raw_;
};

TEST_F(ShmPortPoster, AnAnswerThatIsNoneIsRefused) {
  const std::array good{ring_.get(), memory_.get()};
  const auto right = answer(8192);
  expect_refused(std::span(right).first(47), good, "cut short");
  auto corrupted = right;
  corrupted[9] ^= std::byte{1};
  expect_refused(corrupted, good, "corrupted");
  expect_refused(std::vector<std::byte>(500), good, "too long");
  expect_refused(answer(8192, 4096), good, "another ring");
  expect_refused(right, {}, "no descriptor");
  expect_refused(right, std::span(good).first(1), "no memory");
  expect_refused(encode(ConnectAnswer{ConnectService::early_channel, {{{0, 8192, 3}, {0, kRingBytes, 0}}}}), good,
                 "another service");
  const auto event = connect_and_answer(right, good);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, Kind::connected) << "and this one is right";
}

TEST_F(ShmPortPoster, MemoryThatCouldEndThisProcessIsRefused) {
  const Fd open_ended(::memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(open_ended.get(), static_cast<off_t>(kRingBytes)), 0);
  expect_refused(answer(8192), std::array{ring_.get(), open_ended.get()}, "memory that can be shortened");
  expect_refused(answer(8192), std::array{open_ended.get(), memory_.get()}, "a ring that can be shortened");
  expect_refused(answer(8193), std::array{ring_.get(), memory_.get()}, "shorter than it says");
  expect_refused(answer(0xffff'ffff), std::array{ring_.get(), memory_.get()}, "much shorter than it says");
  expect_refused(answer(8192), std::array{memory_.get(), memory_.get()}, "a short ring");
  expect_refused(answer(8192), std::array{listener_.get(), memory_.get()}, "a socket");
  const Fd file(::open((folder_ / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::ftruncate(file.get(), 8192), 0);
  expect_refused(answer(8192), std::array{ring_.get(), file.get()}, "a file");
  const Fd read_only(::open(("/proc/self/fd/" + std::to_string(memory_.get())).c_str(), O_RDONLY | O_CLOEXEC));
  expect_refused(answer(8192), std::array{ring_.get(), read_only.get()}, "read-only, and said to be writable");
  words().head.magic = 0;
  expect_refused(answer(8192), std::array{ring_.get(), memory_.get()}, "no ring");
}

TEST_F(ShmPortPoster, AnAcknowledgementOfWhatWasNeverSentEndsTheConnection) {
  const auto event = connect_and_answer(answer(8192), std::array{ring_.get(), memory_.get()});
  ASSERT_TRUE(event && event->kind == Kind::connected);
  words().exposer.taken = 3;
  const std::array<std::byte, 1> byte{};
  ASSERT_TRUE(fabric_.post_send(clock_.now(), PortId(1), OperationId(1), byte));
  expect_next(fabric_, Kind::done, disconnected);
  expect_next(fabric_, Kind::lost, disconnected);
}

TEST_F(ShmPortPoster, NothingIsWrittenOnceTheMemoryWasTakenBack) {
  const auto event = connect_and_answer(answer(8192), std::array{ring_.get(), memory_.get()});
  ASSERT_TRUE(event && event->kind == Kind::connected);
  const auto there = Mapping::map(memory_, 8192, false);
  const std::array<std::byte, 1> byte{std::byte{1}};
  words().exposer.revoked = 1;  // and the socket says nothing of it
  ASSERT_TRUE(fabric_.post_write(clock_.now(), PortId(1), OperationId(1), 0, byte));
  expect_next(fabric_, Kind::done, disconnected);
  expect_next(fabric_, Kind::lost, disconnected);
  EXPECT_EQ(there->bytes()[0], std::byte{0});
}

TEST_F(ShmPortPoster, APartnerThatNeverReadsItsSocketDoesNotBlockThisOne) {
  const auto event = connect_and_answer(answer(8192), std::array{ring_.get(), memory_.get()});
  ASSERT_TRUE(event && event->kind == Kind::connected);
  const std::array<std::byte, 1> byte{};
  std::array<PortEvent, 1> done;
  for (std::uint64_t i = 1; i <= 2000; ++i) {
    ASSERT_TRUE(fabric_.post_send(clock_.now(), PortId(1), OperationId(i), byte));
    EXPECT_EQ(fabric_.poll(clock_.now(), done), 0U);
    words().exposer.taken = i;  // it takes them, and hears no bell
    ASSERT_EQ(fabric_.poll(clock_.now(), done), 1U);
    ASSERT_EQ(done[0].error, none);
  }
}

}  // namespace
}  // namespace hapair::ccm
