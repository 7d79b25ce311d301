#include "tests/sim/shrink.h"

#include <cstddef>

#include "tests/sim/crew.h"

namespace hapair::sim {

using world::Plan;

Plan shrink(const Plan& plan) {
  Plan best = plan;
  for (std::size_t length = 0; length < plan.acts.size(); ++length) {
    Plan shorter = plan;
    shorter.acts.resize(length);
    if (!fails(shorter)) continue;
    best = std::move(shorter);
    break;
  }
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (std::size_t i = best.acts.size(); i-- > 0;) {
      Plan without = best;
      without.acts.erase(without.acts.begin() + static_cast<std::ptrdiff_t>(i));
      bool shows = fails(without);
      if (!shows && i > 0) {  // the time that passed after it may be all that it was for
        without.acts[i - 1].wait += best.acts[i].wait;
        shows = fails(without);
      }
      if (!shows) continue;
      best = std::move(without);
      smaller = true;
    }
  }
  return best;
}

}  // namespace hapair::sim
