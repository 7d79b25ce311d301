#include "agent/shell/record_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <future>
#include <set>

#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class FixedClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override { return instant_of_ns(5); }
  [[nodiscard]] std::int64_t wall_us() const override { return 1'700'000'000'000'000; }
};

// Collects what goes out; waits for `gate` before the first record where there is one.
class Collector final : public RecordSink {
 public:
  explicit Collector(std::vector<LoggedRecord>& into, std::shared_future<void> gate = {})
      : into_(&into), gate_(std::move(gate)) {}
  void write(const LoggedRecord& record) override {
    if (gate_.valid()) gate_.wait();
    into_->push_back(record);
  }

 private:
  std::vector<LoggedRecord>* into_;
  std::shared_future<void> gate_;
};

Record record(std::uint64_t decision, const std::string& text) {
  return {instant_of_ns(123'456'789),
          Severity::notice,
          "pool-state",
          *PoolName::parse("pool-b"),
          decision,
          text,
          {{"to", "serving"}, {"took_ms", "12.500"}}};
}

class ARecordLog : public testing::Test {
 protected:
  std::unique_ptr<RecordLog> open(std::uint64_t file_bytes = 1U << 20, std::shared_future<void> gate = {}) {
    auto log = RecordLog::open(folder_.path(), file_bytes, clock_, std::make_unique<Collector>(out_, std::move(gate)));
    EXPECT_TRUE(log) << log.error();
    return std::move(*log);
  }
  static std::vector<std::string> texts(const RecordLog& log) {
    std::vector<std::string> out;
    for (const LoggedRecord& logged : log.records()) out.push_back(logged.record.text);
    return out;
  }

  test::TempFolder folder_;
  FixedClock clock_;
  std::vector<LoggedRecord> out_;
};

TEST_F(ARecordLog, KeepsWhatIsItsOwnHoweverManyAlertsOfPacemakersCome) {
  const auto log = open(64U << 20);
  log->append(record(7, "its own"));
  for (std::size_t i = 0; i < kRecordsInMemory + 10; ++i) {
    Record alert = record(0, "alert " + std::to_string(i));
    alert.kind = "pacemaker-node";
    log->append(std::move(alert));
  }
  EXPECT_EQ(log->records().size(), kAlertsInMemory + 1);
  EXPECT_EQ(log->records().front().record.text, "its own");
  EXPECT_EQ(log->records().back().record.text, "alert " + std::to_string(kRecordsInMemory + 9));
  // And the other way round, what is newer goes on taking the place of what is older.
  for (std::size_t i = 0; i < kRecordsInMemory; ++i) log->append(record(8, "newer"));
  EXPECT_EQ(log->records().size(), kRecordsInMemory);
  EXPECT_EQ(log->records().front().record.text, "newer");
  Record alert = record(0, "an alert");
  alert.kind = "pacemaker-node";
  log->append(alert);
  EXPECT_EQ(log->records().size(), kRecordsInMemory);
}

TEST_F(ARecordLog, WritesOneLineOfJsonARecord) {
  open()->append(record(7, "pool-b: starting -> serving"));
  EXPECT_EQ(test::content_of(folder_ / "records.jsonl"),
            "{\"when_ns\":123456789,\"wall_us\":1700000000000000,\"severity\":\"notice\",\"kind\":\"pool-state\","
            "\"pool\":\"pool-b\",\"decision\":7,\"text\":\"pool-b: starting -> serving\","
            "\"fields\":{\"to\":\"serving\",\"took_ms\":\"12.500\"}}\n");
  ASSERT_EQ(out_.size(), 1U);
  EXPECT_EQ(out_[0].record.text, "pool-b: starting -> serving");
}

TEST_F(ARecordLog, RemembersAfterARestart) {
  {
    const auto log = open();
    log->append(record(7, "one"));
    log->append(record(9, "two"));
    EXPECT_EQ(log->last_decision(), 9U);
  }
  const auto log = open();
  EXPECT_THAT(texts(*log), ElementsAre("one", "two"));
  EXPECT_EQ(log->last_decision(), 9U);
  EXPECT_EQ(log->records().front(), (LoggedRecord{record(7, "one"), clock_.wall_us()}));
  EXPECT_EQ(log->append(record(10, "three")).record.text, "three");
  EXPECT_THAT(texts(*log), ElementsAre("one", "two", "three"));
  EXPECT_EQ(log->unreadable_lines(), 0U);
}

TEST_F(ARecordLog, DropsALastLineTornAtAnyByte) {
  open()->append(record(1, "whole"));
  const std::string whole = test::content_of(folder_ / "records.jsonl");
  for (std::size_t length = 1; length < whole.size(); ++length) {
    folder_.write("records.jsonl", whole + whole.substr(0, length));
    {
      const auto log = open();
      EXPECT_THAT(texts(*log), ElementsAre("whole")) << length;
      EXPECT_EQ(log->unreadable_lines(), 1U);
      log->append(record(2, "next"));
    }
    const auto log = open();
    EXPECT_THAT(texts(*log), testing::Contains("next")) << length;
  }
}

TEST_F(ARecordLog, SkipsLinesThatAreNoRecords) {
  open()->append(record(1, "first"));
  const std::string good = test::content_of(folder_ / "records.jsonl");
  std::string content = good;
  for (const char* bad : {"", "{}", "[]", "null", "{\"when_ns\":\"1\"}", "\xff\xfe", "{\"when_ns\":1e99}"}) {
    content += std::string(bad) + "\n";
  }
  folder_.write("records.jsonl", content + good);
  const auto log = open();
  EXPECT_THAT(texts(*log), ElementsAre("first", "first"));
  EXPECT_EQ(log->unreadable_lines(), 7U);
}

TEST_F(ARecordLog, RotatesBetweenTwoBoundedFiles) {
  constexpr std::uint64_t kBytes = 2000;
  {
    const auto log = open(kBytes);
    for (std::uint64_t i = 1; i <= 50; ++i) log->append(record(i, "number " + std::to_string(i)));
  }
  EXPECT_LE(std::filesystem::file_size(folder_ / "records.jsonl"), kBytes);
  EXPECT_LE(std::filesystem::file_size(folder_ / "records.jsonl.1"), kBytes);
  const auto log = open(kBytes);
  const auto all = texts(*log);
  ASSERT_GE(all.size(), 8U);
  EXPECT_EQ(all.back(), "number 50");
  for (std::size_t i = 1; i < all.size(); ++i) {
    EXPECT_EQ(log->records()[i].record.decision, log->records()[i - 1].record.decision + 1)
        << "in order, without a gap";
  }
}

TEST_F(ARecordLog, KeepsABoundedNumberInMemory) {
  const auto log = open();
  for (std::uint64_t i = 1; i <= kRecordsInMemory + 10; ++i) log->append(record(i, "x"));
  EXPECT_EQ(log->records().size(), kRecordsInMemory);
  EXPECT_EQ(log->records().front().record.decision, 11U);
}

TEST_F(ARecordLog, WhoseSinkStallsHoldsUpNothingAndSaysWhatItDropped) {
  std::promise<void> gate;
  {
    const auto log = open(64U << 20, gate.get_future().share());
    for (std::uint64_t i = 1; i <= 20'000; ++i) log->append(record(i, "x"));
    EXPECT_EQ(log->last_decision(), 20'000U);
    gate.set_value();
  }
  EXPECT_LT(out_.size(), 20'000U);
  EXPECT_EQ(out_.back().record.decision, 20'000U);
  const bool told =
      std::ranges::any_of(out_, [](const LoggedRecord& logged) { return logged.record.kind == "records-dropped"; });
  EXPECT_TRUE(told);
}

TEST_F(ARecordLog, WhoseFolderIsGoneSaysSoOnce) {
  {
    const auto log = open(300);
    log->append(record(1, "fills the file"));
    std::filesystem::remove_all(folder_.path());
    for (std::uint64_t i = 2; i <= 5; ++i) log->append(record(i, std::string(200, 'x')));
  }
  const auto told = std::ranges::count_if(
      out_, [](const LoggedRecord& logged) { return logged.record.kind == "records-not-written"; });
  EXPECT_LE(told, 1);
  EXPECT_GE(out_.size(), 5U);
}

TEST_F(ARecordLog, ThatCannotBeOpenedIsASentence) {
  const auto log = RecordLog::open(folder_ / "missing", 1000, clock_, std::make_unique<Collector>(out_));
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error(), (folder_ / "missing/records.jsonl") + " cannot be opened: No such file or directory");
}

TEST(ARecord, GoesToTheJournalWithItsFields) {
  EXPECT_THAT(journal_fields({record(7, "it happened"), 1}, *NodeName::parse("alpha")),
              ElementsAre("MESSAGE=it happened", "PRIORITY=5", "MESSAGE_ID=" + message_id_of("pool-state"),
                          "SYSLOG_IDENTIFIER=hapaird", "HAPAIR_KIND=pool-state", "HAPAIR_NODE=alpha",
                          "HAPAIR_WHEN_NS=123456789", "HAPAIR_POOL=pool-b", "HAPAIR_DECISION=7", "HAPAIR_TO=serving",
                          "HAPAIR_TOOK_MS=12.500"));
}

TEST(ARecord, OfOneKindAlwaysHasTheSameMessageId) {
  EXPECT_EQ(message_id_of("verdict"), "b3afc5c1b0474d3ca04b508907d35c0a");
  EXPECT_NE(message_id_of("verdict"), message_id_of("verdicts"));
}

TEST(ARecord, WithBytesThatAreNoTextStillIsALine) {
  const LoggedRecord odd{record(1, "a\xff\nb\"\\"), 0};
  const std::string line = odd.json_line();
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_TRUE(LoggedRecord::from_json_line(line));
}

// The real journal protocol, into a socket of the test's own: a private /run in a mount namespace of this process.
TEST(ARecord, ReachesTheJournalsSocket) {
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0) << "it makes a mount namespace: run it as root, as tests/run does";
  ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  ASSERT_EQ(::mount("tmpfs", "/run", "tmpfs", 0, nullptr), 0);
  std::filesystem::create_directories("/run/systemd/journal");
  const Fd journal(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string_view("/run/systemd/journal/socket").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(journal.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  journal_or_stderr(*NodeName::parse("alpha"))->write({record(7, "it happened"), 1});
  std::array<char, 4096> bytes{};
  const ssize_t n = ::recv(journal.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  ASSERT_GT(n, 0);
  const std::string_view datagram(bytes.data(), static_cast<std::size_t>(n));
  EXPECT_THAT(std::string(datagram), HasSubstr("MESSAGE=it happened\n"));
  EXPECT_THAT(std::string(datagram), HasSubstr("HAPAIR_DECISION=7\n"));
}

}  // namespace
}  // namespace hapair::agent
