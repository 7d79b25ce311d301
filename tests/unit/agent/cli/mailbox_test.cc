// `hapair mailbox` itself, on files; who owns the pools is decided on them by two nodes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "agent/cli/json.h"
#include "agent/shell/ownership_disks.h"
#include "agent/shell/process.h"
#include "ccm/base/crc32c.h"
#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";

class AMailboxDisk : public testing::Test {
 protected:
  void configure(std::size_t disks) {
    Json config = Json::parse(R"({
      "pair": "lab", "node": "alpha", "partner": "beta",
      "ccm": {"rails": [{"name": "r0", "fabric": "shm"}], "mailbox_disks": []},
      "fencing": {"devices": [{"name": "power", "agent": "fence_it"}]},
      "pools": [{"name": "pool-a", "home": "alpha", "resources": [{"name": "a", "type": "systemd:a.service"}]},
                {"name": "pool-b", "home": "beta", "resources": [{"name": "b", "type": "systemd:b.service"}]}]})");
    config["key_file"] = folder_.write("key", kSecret);
    std::filesystem::permissions(folder_ / "key", std::filesystem::perms::owner_read);
    config["fencing"]["devices"][0]["agent"] = folder_.write_script("fence_it", "exit 0");
    for (std::size_t i = 0; i < disks; ++i) {
      devices_.push_back(folder_.write("disk-" + std::to_string(i), std::string(ccm::kDiskBytes, '\0')));
      config["ccm"]["mailbox_disks"].push_back({{"name", "m" + std::to_string(i)}, {"device", devices_.back()}});
    }
    config_ = folder_.write("hapair.json", config.dump());
  }
  agent::ProcessResult run(std::vector<std::string> arguments) {
    std::optional<agent::ProcessResult> result;
    agent::ProcessSpec spec{.argv = {HAPAIR_PROGRAM, "mailbox"},
                            .environment = {"HAPAIR_CONFIG=" + config_, "PATH=/usr/bin:/bin"},
                            .input = "",
                            .timeout = std::chrono::seconds(30)};
    spec.argv.insert(spec.argv.end(), arguments.begin(), arguments.end());
    const auto running = runner_.run(spec, [&](agent::ProcessResult got) { result = std::move(got); });
    EXPECT_TRUE(loop_.run_until([&] { return result.has_value(); }, std::chrono::seconds(40)));
    return result.value_or(agent::ProcessResult{});
  }
  ccm::DiskPair of(bool lower) const {
    const auto alpha = *NodeName::parse("alpha");
    const auto beta = *NodeName::parse("beta");
    return {*PairName::parse("lab"), lower ? alpha : beta, lower ? beta : alpha};
  }
  void claim(bool lower, agent::PoolIndex pool) {
    std::optional<agent::BallotOutcome> outcome;
    std::size_t seen = 0;
    agent::OwnershipDisks disks(loop_.get(),
                                {.devices = devices_,
                                 .of = of(lower),
                                 .pools = {*PoolName::parse("pool-a"), *PoolName::parse("pool-b")},
                                 .pair_key = ccm::Key::from_secret(std::as_bytes(std::span(kSecret))),
                                 .life = 5,
                                 .disk_deadline = std::chrono::seconds(5),
                                 .patience = std::chrono::seconds(20),
                                 .backoff = std::chrono::milliseconds(5),
                                 .lock = nullptr},
                                {.outcome = [&](agent::PoolIndex, const agent::BallotOutcome& one) { outcome = one; },
                                 .seen = [&](agent::PoolIndex) { ++seen; }});
    disks.begin(pool, agent::Proposal{.epoch = Epoch(7),
                                      .owner = lower ? ccm::PairSide::lower : ccm::PairSide::upper,
                                      .rests_on = std::nullopt});
    ASSERT_TRUE(loop_.run_until([&] { return outcome.has_value(); }));
    EXPECT_EQ(outcome->kind, agent::BallotOutcome::Kind::decided);
    // What was decided is written once more, for others to read. A look comes after that on each disk; one of the reads
    // that are seen may still be the ballot's.
    for (int round = 0; round < 2; ++round) {
      seen = 0;
      disks.look(pool);
      ASSERT_TRUE(loop_.run_until([&] { return seen >= devices_.size(); }));
    }
  }
  void write(const std::string& device, std::size_t block, std::span<const std::byte> bytes) const {
    std::string content = test::content_of(device);
    std::memcpy(content.data() + block * ccm::kDiskBlockBytes, bytes.data(), bytes.size());
    folder_.write(std::filesystem::path(device).filename().string(), content);
  }

  test::TempFolder folder_;
  test::EventLoop loop_;
  SystemClock clock_;
  agent::SystemProcessRunner runner_{loop_.get(), clock_};
  std::string config_;
  std::vector<std::string> devices_;
};

TEST_F(AMailboxDisk, ShowsForEachPoolWhatIsDecidedAndABallotUnderWay) {
  configure(1);
  EXPECT_EQ(run({"init", devices_[0]}).code, 0);
  EXPECT_THAT(run({"show"}).out, HasSubstr("version 3, 40 blocks of 4096 bytes"));
  EXPECT_THAT(run({"show"}).out, HasSubstr("pool-a: nothing is decided yet"));
  claim(true, 0);
  const ccm::SlotPlace place{.of = of(false),
                             .writer = ccm::PairSide::upper,
                             .pool = *PoolName::parse("pool-a"),
                             .pool_place = 0,
                             .disk = 0,
                             .disks = 1};
  const ccm::Key key = ccm::slot_key(ccm::Key::from_secret(std::as_bytes(std::span(kSecret))));
  ccm::OwnershipSlot slot{.life = 9, .sequence = 3, .founded = true, .instance = 2, .ballot = 4};
  slot.decided = {1, {Epoch(7), ccm::PairSide::lower}};
  write(devices_[0], place.block(), ccm::encode_slot(slot, place, key));
  EXPECT_THAT(run({"show"}).out, HasSubstr("  pool-a: decided for alpha at epoch 7 (instance 1)\n"
                                           "  pool-a: ballot 4 of beta is under way in instance 2: no vote yet\n"
                                           "  pool-b: nothing is decided yet\n"));
  slot.voted_in = 4;
  slot.vote = {Epoch(8), ccm::PairSide::upper};
  write(devices_[0], place.block(), ccm::encode_slot(slot, place, key));
  EXPECT_THAT(run({"show"}).out, HasSubstr("a vote for beta at epoch 8, which may be decided"));
  const Json shown = Json::parse(run({"show", "--json"}).out)["disks"][0]["pools"][0];
  EXPECT_EQ(shown["owner"], "alpha");
  EXPECT_EQ(shown["epoch"], 7);
  EXPECT_EQ(shown["slots"][1]["vote"]["owner"], "beta");
}

TEST_F(AMailboxDisk, ShowsOnThreeDisksWhatEachSays) {
  configure(3);
  for (const std::string& device : devices_) EXPECT_EQ(run({"init", device}).code, 0);
  claim(true, 0);
  claim(false, 1);
  for (const Json& disk : Json::parse(run({"show", "--json"}).out)["disks"]) {
    EXPECT_EQ(disk["pools"][0]["owner"], "alpha");
    EXPECT_EQ(disk["pools"][1]["owner"], "beta");
  }
  EXPECT_EQ(run({"check"}).code, 0) << run({"check"}).err;
}

TEST_F(AMailboxDisk, OfAnEvenNumberSaysWhichDecidesNothing) {
  configure(2);
  for (const std::string& device : devices_) EXPECT_EQ(run({"init", device}).code, 0);
  EXPECT_THAT(run({"show", devices_[0]}).out, HasSubstr("pool-a: nothing is decided yet"));
  EXPECT_THAT(run({"show", devices_[1]}).out, HasSubstr("decides nothing: of an even number of disks one is left out"));
}

TEST_F(AMailboxDisk, SaysWhichSlotCannotBeUsedAndWhatToDo) {
  configure(1);
  EXPECT_EQ(run({"init", devices_[0]}).code, 0);
  claim(true, 0);
  folder_.write("key", "another secret of this pair, as long as the first one");
  EXPECT_THAT(run({"show"}).out,
              HasSubstr("pool-a: what alpha wrote about its ownership cannot be used: it does not carry "
                        "the MAC of this pair's key: compare the two key files"));
  const auto checked = run({"check"});
  EXPECT_EQ(checked.code, 1);
  EXPECT_THAT(checked.err, HasSubstr(devices_[0] + ": pool-a: what alpha wrote"));
}

// Which is what a changed key, or another number of disks, is told to need.
TEST_F(AMailboxDisk, OfThisPairIsMadeAnewOnlyWhenToldToAndWhileNoNodeBeatsThere) {
  configure(1);
  EXPECT_EQ(run({"init", devices_[0]}).code, 0);
  claim(true, 0);
  EXPECT_THAT(run({"init", devices_[0]}).out, HasSubstr("is this pair's already; nothing was changed"));
  EXPECT_THAT(run({"show"}).out, HasSubstr("pool-a: decided for alpha"));
  std::array<std::byte, ccm::kDiskBlockBytes> beat{};
  std::atomic<bool> over = false;
  std::thread beats([&] {
    std::fstream disk(devices_[0], std::ios::in | std::ios::out | std::ios::binary);
    while (!over) {
      beat[0] = static_cast<std::byte>(static_cast<int>(beat[0]) + 1);
      disk.seekp(2 * ccm::kDiskBlockBytes);
      disk.write(reinterpret_cast<const char*>(beat.data()), beat.size()).flush();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  const auto refused = run({"init", devices_[0], "--overwrite"});
  over = true;
  beats.join();
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("a node beats there, so the disk is in use. Nothing was written"));
  EXPECT_THAT(run({"init", devices_[0], "--overwrite"}).out,
              HasSubstr("is made anew: nothing is known there any more"));
  EXPECT_THAT(run({"show"}).out, HasSubstr("pool-a: nothing is decided yet"));
}

TEST_F(AMailboxDisk, OfVersionOneIsToldAsSuchWithWhatToDo) {
  configure(1);
  // Its header had no id: the checksum lay where the id begins, behind four zeros.
  auto header = ccm::encode_disk_header(of(true), {});
  ccm::DiskHeaderLayout layout;
  std::memcpy(&layout, header.data(), sizeof layout);
  layout.version = 1;
  layout.blocks = 8;
  layout.crc = 0;
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(&layout, 1)).first(116));
  std::memcpy(layout.id.data() + 4, &crc, sizeof crc);
  std::memcpy(header.data(), &layout, sizeof layout);
  write(devices_[0], 0, header);
  const auto shown = run({"show"});
  EXPECT_EQ(shown.code, 1);
  EXPECT_THAT(shown.out,
              HasSubstr("its mailbox area is of an older version, as an earlier hapair made it, and must be made anew "
                        "with --overwrite. Where it is to be this pair's: hapair mailbox init " +
                        devices_[0] + " --overwrite"));
  EXPECT_EQ(run({"check"}).code, 1);
  const auto refused = run({"init", devices_[0]});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("If its first 160 KiB may be lost: add --overwrite"));
  EXPECT_EQ(run({"init", devices_[0], "--overwrite"}).code, 0);
  EXPECT_EQ(run({"show"}).code, 0);
}

TEST_F(AMailboxDisk, OfTheSizeThatVersionOneHadIsTooShort) {
  configure(1);
  std::filesystem::resize_file(devices_[0], 8 * ccm::kDiskBlockBytes);
  EXPECT_THAT(run({"init", devices_[0]}).err, HasSubstr("has 32768 bytes; a mailbox disk needs 163840"));
  EXPECT_THAT(run({"check"}).err, HasSubstr("has 32768 bytes; a mailbox disk needs 163840"));
}

}  // namespace
}  // namespace hapair::cli
