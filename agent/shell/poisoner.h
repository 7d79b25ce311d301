// The seam between a fence by poison and the node's CCM, which gives the order (ccm/wire/poison.h).
#pragma once

#include <functional>

#include "ccm/wire/poison.h"

namespace hapair::agent {

struct PoisonNews {
  ccm::PoisonProgress progress = ccm::PoisonProgress::none;
  ccm::PoisonReason reason = ccm::PoisonReason::none;  // of `cannot`, as the partner says
  int error = 0;                                       // likewise
  bool own_ccm_lost = false;                           // nothing more will be heard of it
};

class Poisoner {
 public:
  using OnNews = std::function<void(const PoisonNews&)>;

  // Has the partner poisoned; one order at a time. `on_news` is called from the loop, never from inside this, whenever
  // it is another than before. False: this node's CCM is not there, and nothing was done.
  virtual bool poison(OnNews on_news) = 0;
  // Nothing is told any more, and an order that was not obeyed yet is withdrawn. Also where none was given.
  virtual void withdraw_poison() = 0;

 protected:
  ~Poisoner() = default;
};

}  // namespace hapair::agent
