#include "agent/reservation/orders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/reservation/taking.h"
#include "tests/unit/agent/reservation/memory_disk.h"

namespace hapair::agent {
namespace {

using test::DiskOfNode;
using test::keys_of;
using test::MemoryDisk;
using testing::HasSubstr;

class TwoPools : public testing::Test {
 protected:
  // Those of one node, of which both disks are shared.
  static Disks disks(const std::string& node, std::initializer_list<MemoryDisk*> which) {
    Disks out;
    for (MemoryDisk* disk : which) out.push_back(std::make_unique<DiskOfNode>(*disk, node));
    return out;
  }

  MemoryDisk a_;
  MemoryDisk b_;
  Keyring alphas_ = keys_of("alpha");
  Keyring betas_ = keys_of("beta");
  Disks alphas_a_ = disks("alpha", {&a_});
  Disks alphas_b_ = disks("alpha", {&b_});
  Disks betas_a_ = disks("beta", {&a_});
  Disks betas_b_ = disks("beta", {&b_});
};

TEST_F(TwoPools, AStartTouchesNoDiskWhereOneIsRefused) {
  b_.carry_out({"stranger", 0}, {ReserveOutAction::register_key, {}, ReservationKey(0xabc)});
  Disks both = disks("alpha", {&a_, &b_});
  const ReserveAnswer answer = start_reservation(both, alphas_);
  EXPECT_EQ(answer.code, kReserveFailed);
  EXPECT_THAT(answer.words, HasSubstr("which is no node's of pair lab"));
  EXPECT_TRUE(a_.log.empty());
}

TEST_F(TwoPools, AMonitorTellsWhatIsStillHeld) {
  Disks both = disks("alpha", {&a_, &b_});
  EXPECT_EQ(monitor_reservation(both, alphas_).code, kReserveNotHeld);
  EXPECT_EQ(start_reservation(both, alphas_).code, kReserveDone);
  EXPECT_EQ(monitor_reservation(both, alphas_).code, kReserveDone);
  a_.carry_out({"stranger", 0}, {ReserveOutAction::register_key, {}, ReservationKey(0xabc)});
  EXPECT_EQ(monitor_reservation(both, alphas_).code, kReserveDegraded);
  ASSERT_EQ(start_reservation(betas_b_, betas_).code, kReserveDone);
  const ReserveAnswer half = monitor_reservation(both, alphas_);
  EXPECT_EQ(half.code, kReserveFailed);
  EXPECT_THAT(half.words, HasSubstr("reserved under beta's key"));
  const StopAnswer stopped = stop_reservation(both, alphas_);
  EXPECT_EQ(stopped.answer.code, kReserveDone);
  EXPECT_FALSE(stopped.all_were_held);
}

TEST_F(TwoPools, AFenceTakesThePartnersDisksAndLeavesItsOwn) {
  ASSERT_EQ(start_reservation(alphas_a_, alphas_).code, kReserveDone);
  ASSERT_EQ(start_reservation(betas_b_, betas_).code, kReserveDone);
  EXPECT_EQ(status_of_fence(betas_b_, betas_a_, betas_).code, kReserveDone) << "on";
  EXPECT_EQ(fence_by_reservation(betas_b_, betas_a_, betas_).code, kReserveDone);
  EXPECT_EQ(status_of_fence(betas_b_, betas_a_, betas_).code, kFenceStatusOff);
  EXPECT_FALSE(a_.may_write("alpha"));
  EXPECT_TRUE(b_.may_write("beta"));
  EXPECT_EQ(start_reservation(betas_a_, betas_).code, kReserveDone) << "the takeover that follows";
}

TEST_F(TwoPools, WhoWasFencedFencesNobody) {
  ASSERT_EQ(start_reservation(alphas_a_, alphas_).code, kReserveDone);
  ASSERT_EQ(start_reservation(betas_b_, betas_).code, kReserveDone);
  ASSERT_EQ(fence_by_reservation(betas_b_, betas_a_, betas_).code, kReserveDone);
  const std::size_t before = b_.log.size();
  const ReserveAnswer refused = fence_by_reservation(alphas_a_, alphas_b_, alphas_);
  EXPECT_EQ(refused.code, kReserveFailed);
  EXPECT_THAT(refused.words, HasSubstr("this node was itself preempted, and must not preempt beta"));
  EXPECT_EQ(b_.log.size(), before);
  EXPECT_NE(status_of_fence(alphas_a_, alphas_b_, alphas_).code, kFenceStatusOff);
}

// Beta's whole fence comes between two commands of alpha's, at each place in turn.
TEST_F(TwoPools, OfTwoThatFenceEachOtherAtOnceAtMostOneIsConfirmed) {
  int both_failed = 0;
  for (std::size_t place = 0; place < 6; ++place) {
    a_ = MemoryDisk();
    b_ = MemoryDisk();
    ASSERT_EQ(start_reservation(alphas_a_, alphas_).code, kReserveDone);
    ASSERT_EQ(start_reservation(betas_b_, betas_).code, kReserveDone);
    int of_beta = kReserveFailed;
    std::size_t reads = 0;
    // Alpha looks at its own disk first and last; between these it works on beta's.
    const auto interrupt = [&] {
      if (reads++ == place) of_beta = fence_by_reservation(betas_b_, betas_a_, betas_).code;
    };
    static_cast<DiskOfNode&>(*alphas_a_[0]).before_read = interrupt;
    static_cast<DiskOfNode&>(*alphas_b_[0]).before_read = interrupt;
    const int of_alpha = fence_by_reservation(alphas_a_, alphas_b_, alphas_).code;
    static_cast<DiskOfNode&>(*alphas_a_[0]).before_read = [] {};
    static_cast<DiskOfNode&>(*alphas_b_[0]).before_read = [] {};
    EXPECT_FALSE(of_alpha == kReserveDone && of_beta == kReserveDone) << "beta's fence before alpha's look " << place;
    if (of_alpha != kReserveDone && of_beta != kReserveDone) ++both_failed;
  }
  EXPECT_LT(both_failed, 6);
}

TEST_F(TwoPools, AFenceOfADiskThatDoesNotAnswerIsNotConfirmed) {
  ASSERT_EQ(start_reservation(alphas_a_, alphas_).code, kReserveDone);
  static_cast<DiskOfNode&>(*betas_a_[0]).broken =
      DiskProblem{DiskProblem::Kind::silent, "/dev/shared: does not answer"};
  Disks none;
  EXPECT_EQ(fence_by_reservation(none, betas_a_, betas_).code, kReserveFailed);
  EXPECT_NE(status_of_fence(none, betas_a_, betas_).code, kFenceStatusOff);
  EXPECT_EQ(fence_by_reservation(none, none, betas_).code, kReserveFailed) << "no disk confirms nothing";
}

}  // namespace
}  // namespace hapair::agent
