// The contract of ccm/fabric/port_fabric.h as tests, for every implementation. A rig gives both ends; the tests poll
// both, so that one which is not polled is one whose process stands.
//
// To join: derive from PortRig and INSTANTIATE_TEST_SUITE_P(Name, PortFabricContract, ::testing::Values(&make_rig)).
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "ccm/fabric/port_fabric.h"
#include "tests/unit/ccm/fabric/exposed_memory.h"

namespace hapair::ccm {

// Where fabrics differ by nature; each one's header has the table that this follows.
struct PortTraits {
  FabricError killed = FabricError::disconnected;     // of operations on a partner that was killed
  FabricError stopped = FabricError::retry_exceeded;  // ... whose process stands; none: it is one-sided even then
  FabricError no_right = FabricError::remote_access;  // of an operation that the partner gives no right to
  bool counts_access = true;                          // the partner's end learns that there was one
  bool guards_reads = true;                           // the device looks at the right to read
};

class PortRig {
 public:
  virtual ~PortRig() = default;
  [[nodiscard]] virtual PortTraits traits() const { return {}; }
  virtual PortFabric& own() = 0;      // open
  virtual PortFabric& partner() = 0;  // open
  // What the partner's end does, it does on the partner's host.
  virtual void as_partner(const std::function<void()>& what) { what(); }
  virtual void restart_partner() = 0;  // as a kill and a new start do: nothing of the old one is left

  virtual void cut_partner() = 0;  // its link: nothing is answered any more
  virtual void cut_own() = 0;
  virtual void heal() = 0;
};

using MakePortRig = std::unique_ptr<PortRig> (*)();

class PortFabricContract : public ::testing::TestWithParam<MakePortRig> {
 protected:
  static constexpr PortId kPort{7};
  static constexpr std::size_t kBytes = std::size_t{64} * 1024;

  void SetUp() override {
    rig_ = GetParam()();
    if (!rig_) GTEST_SKIP() << "this rig needs network namespaces, which only root can make";
    memory_.assign(kBytes, std::byte{0});
  }

  static PortToken token(std::uint8_t mark);
  // The partner exposes memory_ as port kPort.
  void expose(bool reads = true, bool writes = true);
  void expect_connected();
  // One turn of each end.
  void turn(bool partner_too = true);
  // The next event of the own end, or of the partner's; nothing after ten seconds.
  std::optional<PortEvent> own_event(bool partner_turns = true);
  std::optional<PortEvent> partner_event();
  // Operations 1 to `count` complete in their order, the first as `first`, the others as `others`.
  void expect_done(std::uint64_t count, FabricError first, FabricError others, bool partner_turns = true);
  void expect_event(PortEvent::Kind kind, FabricError error, bool partner_turns = true);
  void expect_partner_event(PortEvent::Kind kind);
  // Posts writes until the queue is full; how many.
  std::uint64_t fill_queue(std::span<const std::byte> from);

  std::unique_ptr<PortRig> rig_;
  SystemClock clock_;
  ExposedMemory memory_;  // the partner's
  std::deque<PortEvent> own_events_;
  std::deque<PortEvent> partner_events_;
};

}  // namespace hapair::ccm
