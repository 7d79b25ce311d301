// Two nodes on the same files, by direct I/O.
#include "agent/shell/ownership_disks.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <map>

#include "ccm/base/direct_io.h"
#include "tests/unit/agent/shell/event_loop.h"
#include "tests/unit/agent/temp_folder.h"

namespace hapair::agent {
namespace {

using ccm::PairSide;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = BallotOutcome::Kind;

ccm::DiskPair pair_of(const char* node, const char* partner) {
  return {*PairName::parse("lab"), *NodeName::parse(node), *NodeName::parse(partner)};
}

// One of the two nodes, with its outcomes as they come.
class Side {
 public:
  Side(sd_event* loop, const std::vector<std::string>& devices, bool lower, std::shared_ptr<const Fd> lock = nullptr)
      : disks(loop,
              {.devices = devices,
               .of = lower ? pair_of("alpha", "beta") : pair_of("beta", "alpha"),
               .pools = {*PoolName::parse("pool-a"), *PoolName::parse("pool-b")},
               .pair_key = ccm::Key::from_secret(std::as_bytes(std::span("a secret of at least thirty-two bytes"))),
               .life = lower ? 11U : 12U,
               .disk_deadline = std::chrono::milliseconds(1000),
               .patience = std::chrono::seconds(20),
               .backoff = std::chrono::milliseconds(5),
               .lock = std::move(lock)},
              {.outcome = [this](PoolIndex pool, const BallotOutcome& outcome) { outcomes[pool] = outcome; },
               .seen = [this](PoolIndex) { ++seen; }}),
        own(lower ? PairSide::lower : PairSide::upper) {}

  void claim(PoolIndex pool) {
    outcomes.erase(pool);
    disks.begin(pool, Proposal{.epoch = Epoch(1), .owner = own, .rests_on = std::nullopt, .luck = luck += 7919});
  }
  void learn(PoolIndex pool) {
    outcomes.erase(pool);
    disks.begin(pool, std::nullopt);
  }

  std::map<PoolIndex, BallotOutcome> outcomes;
  int seen = 0;
  OwnershipDisks disks;
  PairSide own;
  std::uint64_t luck = 1;
};

class OwnershipOnDisks : public testing::Test {
 protected:
  std::string make_disk(const std::string& name, const ccm::DiskPair& of = pair_of("alpha", "beta")) const {
    std::string bytes(ccm::kDiskBytes, '\0');
    const auto header = ccm::encode_disk_header(of, {7});
    std::memcpy(bytes.data(), header.data(), header.size());
    return folder_.write(name, bytes);
  }
  std::vector<std::string> make_disks(std::size_t n) const {
    std::vector<std::string> disks(n);
    for (std::size_t i = 0; i < n; ++i) disks[i] = make_disk("disk-" + std::to_string(i));
    return disks;
  }
  std::unique_ptr<Side> node(const std::vector<std::string>& devices, bool lower,
                             std::shared_ptr<const Fd> lock = nullptr) {
    return std::make_unique<Side>(loop_.get(), devices, lower, std::move(lock));
  }
  Kind outcome_of(Side& side, PoolIndex pool = 0) {
    EXPECT_TRUE(loop_.run_until([&] { return side.outcomes.contains(pool); }));
    return side.outcomes.contains(pool) ? side.outcomes.at(pool).kind : Kind::no_majority;
  }
  Kind claimed(Side& side, PoolIndex pool = 0) {
    side.claim(pool);
    return outcome_of(side, pool);
  }
  Kind learnt(Side& side, PoolIndex pool = 0) {
    side.learn(pool);
    return outcome_of(side, pool);
  }

  test::TempFolder folder_;
  test::EventLoop loop_;
};

class OwnershipOnSomeDisks : public OwnershipOnDisks, public testing::WithParamInterface<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Disks, OwnershipOnSomeDisks, testing::Values(1, 3));

TEST_P(OwnershipOnSomeDisks, IsDecidedPoolByPoolAndLearntByThePartner) {
  const auto devices = make_disks(GetParam());
  const auto alpha = node(devices, true);
  const auto beta = node(devices, false);
  EXPECT_EQ(learnt(*beta), Kind::known);
  EXPECT_EQ(claimed(*alpha, 0), Kind::decided);
  EXPECT_EQ(claimed(*beta, 1), Kind::decided);
  EXPECT_EQ(learnt(*beta, 0), Kind::known);
  EXPECT_EQ(learnt(*alpha, 1), Kind::known);
  EXPECT_EQ(beta->disks.decided(0), (ccm::OwnershipDecision{1, {Epoch(1), PairSide::lower}}));
  EXPECT_EQ(alpha->disks.decided(1), (ccm::OwnershipDecision{1, {Epoch(1), PairSide::upper}}));
  EXPECT_THAT(alpha->disks.troubles(), IsEmpty());
}

TEST_P(OwnershipOnSomeDisks, GoesToBothInTurnWhereTheyClaimAtTheSameTime) {
  const auto devices = make_disks(GetParam());
  const auto alpha = node(devices, true);
  const auto beta = node(devices, false);
  const SystemClock clock;
  std::map<std::uint64_t, ccm::OwnershipValue> decided;
  std::map<Side*, Instant> next;
  std::map<Side*, int> wins;
  const auto turn = [&](Side& side) {
    if (side.disks.busy(0)) return;
    if (const auto found = side.outcomes.find(0); found != side.outcomes.end()) {
      const BallotOutcome outcome = found->second;
      side.outcomes.erase(0);
      ASSERT_TRUE(outcome.kind == Kind::decided || outcome.kind == Kind::lost) << text_of(outcome.kind);
      next[&side] = clock.now() + outcome.wait;
      if (outcome.kind == Kind::decided) {
        ++wins[&side];
        EXPECT_EQ(outcome.decided.value.owner, side.own);
        EXPECT_TRUE(decided.emplace(outcome.decided.instance, outcome.decided.value).second);
      }
    }
    if (clock.now() >= next[&side] && wins[&side] < 5) side.claim(0);
  };
  EXPECT_TRUE(loop_.run_until([&] {
    turn(*alpha);
    turn(*beta);
    return HasFatalFailure() || (wins[alpha.get()] == 5 && wins[beta.get()] == 5);
  }));
  Epoch last;
  for (const auto& [instance, value] : decided) {
    EXPECT_GT(value.epoch, last) << "of instance " << instance;
    last = value.epoch;
  }
}

TEST_P(OwnershipOnSomeDisks, IsRememberedByTheNextLifeOfBothNodes) {
  const auto devices = make_disks(GetParam());
  for (std::uint64_t life = 1; life <= 3; ++life) {
    auto lock = std::make_shared<const Fd>();
    const std::weak_ptr<const Fd> held = lock;
    {
      const auto alpha = node(devices, true, lock);
      const auto beta = node(devices, false, lock);
      lock.reset();
      EXPECT_EQ(claimed(*alpha), Kind::decided);
      EXPECT_EQ(claimed(*beta), Kind::decided);
      EXPECT_EQ(beta->disks.decided(0), (ccm::OwnershipDecision{2 * life, {Epoch(2 * life), PairSide::upper}}));
    }
    // The next life begins when the last write of this one is over.
    EXPECT_TRUE(loop_.run_until([&] { return held.expired(); }));
  }
}

TEST_P(OwnershipOnSomeDisks, IsShownByACompleteLook) {
  const auto devices = make_disks(GetParam());
  const auto alpha = node(devices, true);
  const auto beta = node(devices, false);
  ASSERT_EQ(claimed(*alpha), Kind::decided);
  const ccm::OwnershipDecision mine = alpha->disks.decided(0);
  const auto looked = [&] {
    const Instant asked = SystemClock().now();
    alpha->disks.look(0);
    EXPECT_TRUE(loop_.run_until([&] {
      const auto look = alpha->disks.newest_look(0, mine);
      return look && look->began >= asked;
    }));
    return alpha->disks.newest_look(0, mine).value_or(CompleteLook{}).shows;
  };
  EXPECT_EQ(looked(), ClaimSight::none);
  ASSERT_EQ(claimed(*beta), Kind::decided);
  EXPECT_GE(looked(), ClaimSight::voted);
  EXPECT_FALSE(renews_lease(looked()));
  EXPECT_GT(alpha->seen, 0);
}

TEST_F(OwnershipOnDisks, NothingIsWrittenToADiskThatIsNotThisPairs) {
  auto devices = make_disks(3);
  devices[1] = make_disk("foreign", pair_of("alpha", "gamma"));
  const auto before = test::content_of(devices[1]);
  const auto alpha = node(devices, true);
  EXPECT_EQ(claimed(*alpha), Kind::unfounded);
  EXPECT_EQ(test::content_of(devices[1]), before);
  EXPECT_THAT(alpha->disks.troubles(),
              ElementsAre(devices[1] +
                          ": its mailbox area is another pair's; nothing is written there. Where it is to be "
                          "this pair's: hapair mailbox init " +
                          devices[1]));
}

TEST_F(OwnershipOnDisks, ADiskThatSomebodyElseHasTakenMeanwhileIsLeftAlone) {
  const auto devices = make_disks(3);
  auto lock = std::make_shared<const Fd>();
  const std::weak_ptr<const Fd> held = lock;
  const auto alpha = node(devices, true);
  {
    const auto before = node(devices, true, lock);
    const auto beta = node(devices, false, lock);
    lock.reset();
    EXPECT_EQ(learnt(*beta), Kind::known);
    EXPECT_EQ(claimed(*before), Kind::decided);
  }
  ASSERT_TRUE(loop_.run_until([&] { return held.expired(); })) << "nothing is on its way to a disk";
  alpha->disks.look(0);
  ASSERT_TRUE(loop_.run_until([&] { return alpha->seen == 3; })) << "it has opened them";
  const std::string data(ccm::kDiskBytes, 'x');
  {
    const Fd file(::open(devices[2].c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(file.get(), data.data(), data.size(), 0), static_cast<ssize_t>(data.size()));
  }
  EXPECT_EQ(claimed(*alpha), Kind::decided) << "two disks are enough";
  EXPECT_EQ(claimed(*alpha), Kind::decided);
  EXPECT_EQ(test::content_of(devices[2]), data);
}

TEST_F(OwnershipOnDisks, ADiskThatWasWipedIsNotTakenForANewOne) {
  const auto devices = make_disks(1);
  auto lock = std::make_shared<const Fd>();
  const std::weak_ptr<const Fd> held = lock;
  {
    const auto alpha = node(devices, true, std::move(lock));
    EXPECT_EQ(claimed(*alpha), Kind::decided);
  }
  ASSERT_TRUE(loop_.run_until([&] { return held.expired(); })) << "nothing is on its way to the disk";
  const std::string zeros(ccm::kDiskBytes, '\0');
  folder_.write("disk-0", zeros);
  const auto alpha = node(devices, true);
  EXPECT_EQ(learnt(*alpha), Kind::no_majority);
  EXPECT_EQ(test::content_of(devices[0]), zeros);
  EXPECT_THAT(alpha->disks.troubles(), ElementsAre(HasSubstr("it is blank; nothing is written there")));
}

// Who opens the disk for writing waits in the kernel until the lease is given up.
class HeldDisk {
 public:
  explicit HeldDisk(const std::string& device) : fd_(::open(device.c_str(), O_RDONLY | O_CLOEXEC)) {
    (void)std::signal(SIGIO, SIG_IGN);
    held_ = ::fcntl(fd_.get(), F_SETLEASE, F_RDLCK) == 0;
  }
  ~HeldDisk() { let_go(); }
  HeldDisk(const HeldDisk&) = delete;
  HeldDisk& operator=(const HeldDisk&) = delete;
  [[nodiscard]] bool held() const { return held_; }
  void let_go() { (void)::fcntl(fd_.get(), F_SETLEASE, F_UNLCK); }

 private:
  Fd fd_;
  bool held_ = false;
};

TEST_F(OwnershipOnDisks, ADiskThatDoesNotAnswerHoldsUpNothingAndCountsAgainWhenItIsBack) {
  const auto devices = make_disks(3);
  {
    const auto alpha = node(devices, true);
    const auto beta = node(devices, false);
    ASSERT_EQ(learnt(*beta), Kind::known);
    ASSERT_EQ(claimed(*alpha), Kind::decided);
  }
  // The threads of that life have closed the disks.
  std::optional<HeldDisk> held;
  ASSERT_TRUE(loop_.run_until([&] {
    held.emplace(devices[1]);
    return held->held();
  }));
  const auto alpha = node(devices, true);
  EXPECT_EQ(claimed(*alpha), Kind::decided) << "by the other two";
  EXPECT_TRUE(loop_.run_until([&] { return !alpha->disks.troubles().empty(); }));
  EXPECT_THAT(alpha->disks.troubles(), ElementsAre(devices[1] + ": does not answer; look at the disk and its path"));
  EXPECT_EQ(claimed(*alpha), Kind::decided);
  held->let_go();
  EXPECT_TRUE(loop_.run_until([&] { return alpha->disks.troubles().empty(); }));
  std::filesystem::remove(devices[0]);
  EXPECT_EQ(claimed(*alpha), Kind::decided) << "what is open stays open";
}

TEST_F(OwnershipOnDisks, TheNodesLockIsHeldForAsLongAsADiskIsAsked) {
  const auto devices = make_disks(1);
  const HeldDisk held(devices[0]);
  ASSERT_TRUE(held.held());
  auto lock = std::make_shared<const Fd>(::open(devices[0].c_str(), O_RDONLY | O_CLOEXEC));
  const std::weak_ptr<const Fd> watched = lock;
  auto alpha = node(devices, true, lock);
  lock.reset();
  EXPECT_EQ(claimed(*alpha), Kind::no_majority);
  alpha.reset();
  EXPECT_FALSE(watched.expired()) << "the thread is in the kernel still";
}

}  // namespace
}  // namespace hapair::agent
