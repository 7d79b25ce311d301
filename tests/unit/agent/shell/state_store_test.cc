#include "agent/shell/state_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <future>

#include "ccm/base/crc32c.h"
#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

PoolDurable pool(const char* name, std::uint64_t epoch, const char* owner, bool released, std::uint64_t claim,
                 bool held = false) {
  return {.pool = *PoolName::parse(name),
          .epoch = Epoch(epoch),
          .owner = *owner == '\0' ? NodeName{} : *NodeName::parse(owner),
          .released = released,
          .claim = Epoch(claim),
          .partner_boot = *BootId::parse("ffeeddcc-bbaa-9988-7766-554433221100"),
          .held = held,
          .leased = false,
          .armed = {},
          .lease_over = {},
          .mailbox = 0};
}

DurableState some_state() {
  DurableState state;
  state.boot_id = *BootId::parse("00112233-4455-6677-8899-aabbccddeeff");
  state.pools = {pool("pool-a", 7, "alpha", false, 8, true), pool("pool-b", 0x0102030405060708, "", true, 0)};
  state.pools[0].leased = true;
  state.pools[0].armed = Epoch(7);
  state.pools[0].lease_over = std::chrono::milliseconds(42);
  state.pools[0].mailbox = 0x0a0b;
  state.pools[1].earlier_life = true;
  state.inhibitions.at(2) = {.on = true,
                             .since = WallTime(0x0102030405),
                             .length = WallTime(0x0100000000),
                             .until = WallTime(0x0202030405),
                             .ends = instant_of_ns(0x0708),
                             .by = "root",
                             .reason = "new cables"};
  state.fences = {{WallTime(0x11), instant_of_ns(0x33)}, {WallTime(0x22), instant_of_ns(0x44)}};
  return state;
}

StateIdentity identity() { return {*PairName::parse("lab"), *NodeName::parse("alpha")}; }

std::string as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::string good_bytes() { return as_text(encode_state(identity(), some_state())); }

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

class AState : public testing::Test {
 protected:
  auto load() const { return load_state(folder_.path(), identity()); }
  std::string problem_with(const std::string& bytes) const {
    folder_.write("state", bytes);
    const auto loaded = load();
    return loaded ? "" : loaded.error().what;
  }
  test::TempFolder folder_;
};

// Made by another program.
TEST_F(AState, HasTheBytesOfVersion5) {
  const std::string zeros(416, '0');
  const auto padded = [&zeros](const std::string& digits, std::size_t bytes) {
    return digits + zeros.substr(0, 2 * bytes - digits.size());
  };
  const std::string life = "ffeeddccbbaa99887766554433221100";
  const std::string alpha = padded("616c706861", 32);
  const std::string head = "4850535441544531" + std::string("05000000") + "a0050000";
  const std::string after_crc = "02000000" + padded("6c6162", 32) + alpha + "00112233445566778899aabbccddeeff" +  //
                                padded("706f6f6c2d61", 32) + alpha + "0700000000000000" + "0800000000000000" +
                                "000101002a0000000700000000000000" + life + "0b0a000000000000" +  //
                                padded("706f6f6c2d62", 32) + padded("", 32) + "0807060504030201" + padded("", 8) +
                                padded("01000001", 16) + life + padded("", 8);
  const std::string orders = padded("", 208) + padded("", 208) +  //
                             "0504030201000000" + "0504030202000000" + "0000000001000000" + "0807000000000000" +
                             padded("01", 8) + padded("726f6f74", 48) + padded("6e6577206361626c6573", 120) +
                             padded("", 208) + padded("02000000", 8) +                              //
                             padded("11", 8) + padded("22", 8) + padded("", std::size_t{14} * 8) +  //
                             padded("33", 8) + padded("44", 8) + padded("", std::size_t{14} * 8);
  const std::string bytes = hex(good_bytes());
  EXPECT_EQ(bytes.substr(0, 32), head);
  EXPECT_EQ(bytes.substr(32, 8), "c194397c");
  EXPECT_EQ(bytes.substr(40), after_crc + orders);
}

TEST_F(AState, ThatIsMissingIsNoneYet) {
  const auto loaded = load();
  ASSERT_TRUE(loaded);
  EXPECT_FALSE(loaded->has_value());
}

TEST_F(AState, ComesBackAsItWasWritten) {
  ASSERT_TRUE(state_file_in(folder_.path())->replace(encode_state(identity(), some_state())));
  const auto loaded = load();
  ASSERT_TRUE(loaded) << loaded.error().what;
  EXPECT_EQ(*loaded, some_state());
  EXPECT_FALSE(std::filesystem::exists(folder_ / "state.new"));
}

// What older ones wrote: version 1 without the partner's boot, neither of them with what operators have forbidden.
TEST_F(AState, OfAnOlderVersionIsReadWithoutWhatItDidNotHave) {
  for (const std::uint32_t version : {1U, 2U}) {
    DurableState state = some_state();
    state.inhibitions = {};
    state.fences = {};
    state.pools[0].leased = false;
    state.pools[0].armed = {};
    state.pools[0].lease_over = {};
    state.pools[0].mailbox = 0;
    state.pools[1].earlier_life = false;
    const std::vector<std::byte> bytes = encode_state(identity(), state);
    StateHeaderLayout header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    std::vector<std::byte> old(bytes.begin(), bytes.begin() + sizeof header);
    for (std::size_t i = 0; i < header.pool_count; ++i) {
      const auto at = bytes.begin() + static_cast<std::ptrdiff_t>(sizeof header + i * sizeof(StatePoolLayout));
      const std::size_t length = version == 1 ? kPoolBytesOfVersion1 : kPoolBytesOfVersion3;
      old.insert(old.end(), at, at + static_cast<std::ptrdiff_t>(length));
      if (version == 1) state.pools[i].partner_boot = BootId{};
    }
    header.version = version;
    header.bytes = static_cast<std::uint32_t>(old.size());
    header.crc = 0;
    std::memcpy(old.data(), &header, sizeof header);
    header.crc = crc32c(old);
    std::memcpy(old.data(), &header, sizeof header);
    const auto decoded = decode_state(identity(), old);
    ASSERT_TRUE(decoded) << decoded.error();
    state.pools[1].earlier_life = true;  // what is not held here was not seen, for all that is known
    EXPECT_EQ(*decoded, state) << version;
  }
}

// With a checksum that is right: what is wrong is what it says.
TEST_F(AState, WithOrdersThatMakeNoSenseIsRefused) {
  const auto refused = [](auto change) {
    std::vector<std::byte> bytes = encode_state(identity(), some_state());
    StateOrdersLayout orders{};
    const std::size_t at = bytes.size() - sizeof orders;
    std::memcpy(&orders, bytes.data() + at, sizeof orders);
    change(orders);
    std::memcpy(bytes.data() + at, &orders, sizeof orders);
    StateHeaderLayout header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    header.crc = 0;
    std::memcpy(bytes.data(), &header, sizeof header);
    header.crc = crc32c(bytes);
    std::memcpy(bytes.data(), &header, sizeof header);
    return !decode_state(identity(), bytes).has_value();
  };
  EXPECT_FALSE(refused([](StateOrdersLayout&) {}));
  EXPECT_TRUE(refused([](StateOrdersLayout& o) { o.inhibitions[0].on = 2; }));
  EXPECT_TRUE(refused([](StateOrdersLayout& o) { o.inhibitions[1].zero[3] = 1; }));
  EXPECT_TRUE(refused([](StateOrdersLayout& o) { o.inhibitions[2].since_ms = -1; }));
  EXPECT_TRUE(refused([](StateOrdersLayout& o) { o.inhibitions[2].until_ms = INT64_MAX; }));
  EXPECT_TRUE(refused([](StateOrdersLayout& o) { o.inhibitions[2].ends_ns = INT64_MIN; }));
  EXPECT_TRUE(refused([](StateOrdersLayout& o) { o.fences_ms[0] = -1; }));
  EXPECT_TRUE(refused([](StateOrdersLayout& o) { o.fences_ns[1] = INT64_MAX; }));
  EXPECT_TRUE(refused([](StateOrdersLayout& o) { o.inhibitions[3].reason[5] = 'x'; }));
  EXPECT_TRUE(refused([](StateOrdersLayout& o) { o.fence_count = kFencesKept + 1; }));
  EXPECT_TRUE(refused([](StateOrdersLayout& o) { o.zero = 1; }));
}

TEST_F(AState, OfNoPoolsAndOfTheMostComesBack) {
  DurableState state;
  for (std::size_t i = 0; i <= ccm::kMaxPools; ++i) {
    const auto decoded = decode_state(identity(), encode_state(identity(), state));
    ASSERT_TRUE(decoded) << decoded.error();
    EXPECT_EQ(*decoded, state);
    if (i < ccm::kMaxPools) state.pools.push_back(pool(("pool-" + std::to_string(i)).c_str(), i, "beta", false, 0));
  }
}

TEST_F(AState, ThatWasCutAtAnyLengthIsRefused) {
  const std::string good = good_bytes();
  for (std::size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(decode_state(identity(), std::as_bytes(std::span(good.data(), length)))) << length;
  }
  const std::string longer = good + "x";
  EXPECT_FALSE(decode_state(identity(), std::as_bytes(std::span(longer))));
}

TEST_F(AState, WithAnyByteFlippedIsRefused) {
  const std::string good = good_bytes();
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      EXPECT_FALSE(decode_state(identity(), std::as_bytes(std::span(bad)))) << at;
    }
  }
}

TEST_F(AState, ThatCannotBeUsedIsKeptAsideOnceAndStaysInPlace) {
  const std::string cut = good_bytes().substr(0, 150);
  EXPECT_EQ(problem_with(cut),
            (folder_ / "state") + " cannot be used: it has 150 bytes where its head says 1440: it was cut or is torn");
  for (int start = 0; start < 3; ++start) {
    const auto again = load();
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().kept_at, folder_ / "state.kept-1");
  }
  EXPECT_EQ(test::content_of(folder_ / "state.kept-1"), cut);
  EXPECT_EQ(test::content_of(folder_ / "state"), cut);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "state.kept-2"));
  EXPECT_THAT(problem_with("something else"), HasSubstr("it has only 14 bytes"));
  EXPECT_EQ(load().error().kept_at, folder_ / "state.kept-2");
}

TEST_F(AState, OfAnotherNodeOrVersionIsRefusedWithItsName) {
  const StateIdentity other{*PairName::parse("lab"), *NodeName::parse("beta")};
  EXPECT_THAT(problem_with(as_text(encode_state(other, some_state()))),
              HasSubstr("it is of node beta of pair lab, and this is node alpha of pair lab"));
  std::string newer = good_bytes();
  newer[8] = 6;
  EXPECT_THAT(problem_with(newer), HasSubstr("it has version 6; this hapaird reads versions 1 to 5"));
  EXPECT_THAT(problem_with(std::string(200, 'x')), HasSubstr("it is no state file of hapair"));
}

TEST_F(AState, ThatWasResetIsNoneYet) {
  problem_with("damaged");
  ASSERT_FALSE(load());
  EXPECT_TRUE(reset_state(folder_.path()));
  EXPECT_TRUE(reset_state(folder_.path())) << "once more does no harm";
  const auto loaded = load();
  ASSERT_TRUE(loaded);
  EXPECT_FALSE(loaded->has_value());
  EXPECT_TRUE(std::filesystem::exists(folder_ / "state.kept-1"));
}

TEST_F(AState, ThatCannotEvenBeReadIsNoFirstStartAndGoesAsideAsItIs) {
  const std::string state = folder_ / "state";
  const auto make = [&](int kind) {
    if (kind == 0) std::filesystem::create_directory(state);
    if (kind == 1) std::filesystem::create_symlink("/nonexistent/disk/state", state);
    if (kind == 2) folder_.write("state", std::string(2U << 20, 'x'));
  };
  for (int kind = 0; kind < 3; ++kind) {
    make(kind);
    const auto loaded = load();
    ASSERT_FALSE(loaded) << kind;
    EXPECT_THAT(loaded.error().what, HasSubstr(state)) << kind;
    EXPECT_TRUE(reset_state(folder_.path())) << kind;
    EXPECT_TRUE(load().has_value()) << kind;
    const auto kept = std::filesystem::symlink_status(state + ".kept-" + std::to_string(kind + 1));
    EXPECT_TRUE(std::filesystem::exists(kept)) << kind;
  }
}

TEST_F(AState, ThatWasHalfWrittenWhenThePowerWentIsTheOldOne) {
  ASSERT_TRUE(state_file_in(folder_.path())->replace(encode_state(identity(), some_state())));
  folder_.write("state.new", "half");
  EXPECT_EQ(load().value(), some_state());
  DurableState next = some_state();
  next.pools.pop_back();
  ASSERT_TRUE(state_file_in(folder_.path())->replace(encode_state(identity(), next)));
  EXPECT_EQ(load().value(), next);
}

TEST_F(AState, FolderIsMadeAndLockedForOneProcess) {
  const std::string dir = folder_ / "var/lib/hapair";
  const auto first = lock_state_dir(dir, identity().node);
  ASSERT_TRUE(first) << first.error();
  struct stat st{};
  ASSERT_EQ(::stat(dir.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700U);
  const auto second = lock_state_dir(dir, identity().node);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), "hapaird of node alpha already runs as pid " + std::to_string(::getpid()) + ": it holds " +
                                dir + "/lock; the first is untouched");
}

TEST_F(AState, FolderIsFreeAgainWhenItsProcessWasKilled) {
  const std::string dir = folder_ / "state";
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto held = lock_state_dir(dir, identity().node);
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(lock_state_dir(dir, identity().node));
}

TEST_F(AState, FolderThatCannotBeMadeIsASentence) {
  folder_.write("file", "");
  EXPECT_EQ(lock_state_dir(folder_ / "file/state", identity().node).error(),
            "state_dir " + (folder_ / "file/state") + " cannot be made: Not a directory");
}

// A disk that answers when the test says so.
class SlowFile final : public StateFile {
 public:
  struct Control {
    std::mutex mutex;
    std::condition_variable changed;
    int allowed = 0;
    int begun = 0;
    std::string error;
    std::vector<std::string> written;
  };
  explicit SlowFile(std::shared_ptr<Control> control) : control_(std::move(control)) {}
  std::expected<void, std::string> replace(std::span<const std::byte> bytes) override {
    std::unique_lock lock(control_->mutex);
    ++control_->begun;
    control_->changed.notify_all();
    control_->changed.wait(lock, [this] { return control_->allowed > 0; });
    --control_->allowed;
    if (!control_->error.empty()) return std::unexpected(std::exchange(control_->error, ""));
    control_->written.push_back(as_text(bytes));
    return {};
  }

 private:
  std::shared_ptr<Control> control_;
};

class AStateWriter : public AState {
 protected:
  AStateWriter() {
    writer_ = std::make_unique<StateWriter>(
        loop_.get(), std::make_unique<SlowFile>(control_), identity(), [this](const StateWriter::Answer& answer) {
          answers_.push_back(std::to_string(answer.generation) + (answer.error.empty() ? "" : " " + answer.error));
        });
  }
  ~AStateWriter() override { allow(1000); }
  void allow(int writes) {
    const std::lock_guard lock(control_->mutex);
    control_->allowed += writes;
    control_->changed.notify_all();
  }
  void wait_begun(int writes) {
    std::unique_lock lock(control_->mutex);
    control_->changed.wait(lock, [&] { return control_->begun >= writes; });
  }
  static DurableState with_epoch(std::uint64_t epoch) {
    DurableState state = some_state();
    state.pools[0].epoch = Epoch(epoch);
    return state;
  }

  test::EventLoop loop_;
  std::shared_ptr<SlowFile::Control> control_ = std::make_shared<SlowFile::Control>();
  std::vector<std::string> answers_;
  std::unique_ptr<StateWriter> writer_;
};

TEST_F(AStateWriter, OnAStalledDiskHoldsUpNothingAndThenWritesOnlyTheNewest) {
  writer_->write(1, with_epoch(1));
  wait_begun(1);
  for (std::uint64_t epoch = 2; epoch <= 100; ++epoch) writer_->write(epoch, with_epoch(epoch));
  EXPECT_TRUE(answers_.empty());
  allow(2);
  EXPECT_TRUE(loop_.run_until([&] { return answers_.size() == 2; }));
  EXPECT_THAT(answers_, ElementsAre("1", "100"));
  EXPECT_THAT(control_->written, ElementsAre(as_text(encode_state(identity(), with_epoch(1))),
                                             as_text(encode_state(identity(), with_epoch(100)))));
}

TEST_F(AStateWriter, SaysWhyTheDiskRefused) {
  control_->error = "No space left on device";
  allow(2);
  writer_->write(1, with_epoch(1));
  EXPECT_TRUE(loop_.run_until([&] { return answers_.size() == 1; }));
  writer_->write(2, with_epoch(1));
  EXPECT_TRUE(loop_.run_until([&] { return answers_.size() == 2; }));
  EXPECT_THAT(answers_, ElementsAre("1 No space left on device", "2"));
}

TEST_F(AStateWriter, WritesWhatStillWaitsBeforeItGoes) {
  allow(1000);
  writer_->write(3, with_epoch(5));
  writer_.reset();
  EXPECT_EQ(control_->written.back(), as_text(encode_state(identity(), with_epoch(5))));
}

TEST_F(AState, WrittenToARealFolderThatIsGoneFailsWithASentence) {
  test::EventLoop loop;
  std::optional<StateWriter::Answer> got;
  StateWriter writer(loop.get(), state_file_in(folder_ / "missing"), identity(),
                     [&](const StateWriter::Answer& answer) { got = answer; });
  writer.write(1, some_state());
  ASSERT_TRUE(loop.run_until([&] { return got.has_value(); }));
  EXPECT_EQ(got->error, (folder_ / "missing/state.new") + " cannot be opened: No such file or directory");
}

}  // namespace
}  // namespace hapair::agent
