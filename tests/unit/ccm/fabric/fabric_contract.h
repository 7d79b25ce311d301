// The contract of ccm/fabric/fabric.h as tests, for every implementation. An implementation gives a rig: its own end in
// this process, the partner's end in a process that can be stopped, killed and cut off.
//
// To join: derive from FabricRig and INSTANTIATE_TEST_SUITE_P(Name, FabricContract, ::testing::Values(&make_rig)).
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <ostream>
#include <vector>

#include "ccm/fabric/fabric.h"
#include "ccm/wire/mailbox_page.h"
#include "ccm/wire/status_page.h"

namespace hapair::ccm {

// Where fabrics differ by nature; each one's header has the table that this follows.
struct FabricTraits {
  bool memory_answers_when_stopped = true;            // one-sided even while the partner's process is stopped
  bool connects_when_stopped = true;                  // and nobody has to say yes to a connection
  FabricError killed = FabricError::remote_access;    // of an operation on a partner that was killed
  FabricError no_right = FabricError::remote_access;  // of an operation that the partner gives no right to
};

inline void PrintTo(FabricError error, std::ostream* out) { *out << text_of(error); }

class FabricRig {
 public:
  virtual ~FabricRig() = default;
  [[nodiscard]] virtual FabricTraits traits() const { return {}; }
  virtual Fabric& fabric() = 0;  // open

  // The partner's end: every byte of its status page is `mark`.
  virtual void start_partner(std::byte mark) = 0;
  virtual void stop_partner() = 0;  // as SIGSTOP does: its memory stays
  virtual void continue_partner() = 0;
  virtual void kill_partner() = 0;
  // The partner's mailbox as it sees it itself.
  virtual std::array<std::byte, kPageBytes> partner_mailbox() = 0;

  virtual void cut_partner() = 0;  // its link: nothing is answered any more
  virtual void cut_own() = 0;
  virtual void heal() = 0;
};

using MakeRig = std::unique_ptr<FabricRig> (*)();

class FabricContract : public ::testing::TestWithParam<MakeRig> {
 protected:
  void SetUp() override {
    rig_ = GetParam()();
    if (!rig_) GTEST_SKIP() << "this rig needs network namespaces, which only root can make";
  }

  // Polls until there is an event; nothing after ten seconds.
  std::optional<FabricEvent> next_event();
  void expect_no_event();
  FabricError connect();  // none: connected
  FabricError connect_after_heal();
  FabricError read(std::span<std::byte> into);
  FabricError write(std::size_t offset, std::span<const std::byte> from);
  void expect_connected();

  std::unique_ptr<FabricRig> rig_;
  SystemClock clock_;
  std::uint64_t next_id_ = 1;
  std::deque<FabricEvent> polled_;
};

}  // namespace hapair::ccm
