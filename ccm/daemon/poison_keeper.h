// Poison in ccmd: joins the two halves (ccm/poison) with the rails, the agent, the watchdog and sysrq. What the agent
// is to do or to know of it stands in the ring's head (PoisonSelfLayout). Real-time.
#pragma once

#include <cstdint>
#include <span>

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/config/pair_config.h"
#include "ccm/daemon/client_registry.h"
#include "ccm/daemon/rail.h"
#include "ccm/daemon/watchdog_keeper.h"
#include "ccm/poison/giver.h"
#include "ccm/poison/taker.h"
#include "ccm/watchdog/sysrq.h"
#include "ccm/wire/poison.h"

namespace hapair::ccm {

class PoisonKeeper {
 public:
  // What is referred to outlives this.
  PoisonKeeper(const PairConfig& config, const Clock& clock, Incarnation own, WatchdogKeeper& watchdog,
               const SysrqTrigger& sysrq);

  // One turn, after the rails' own and before their pages are taken. True: answer() is another one, which the partner
  // must see now.
  bool turn(Instant now, std::span<Rail> rails, const PoisonWords& agent);

  [[nodiscard]] PoisonAnswerLayout answer() const { return taker_.answer(); }
  [[nodiscard]] PoisonSelfLayout self() const;

 private:
  void take_orders(Instant now, std::span<Rail> rails);
  void carry_out(Instant now);
  void give_order(Instant now, std::span<Rail> rails);
  void tell(const PoisonAnswerLayout& before) const;

  NodeName partner_;
  Duration bound_;
  const Clock* clock_;
  WatchdogKeeper* watchdog_;
  const SysrqTrigger* sysrq_;
  PoisonTaker taker_;
  PoisonGiver giver_;
};

}  // namespace hapair::ccm
