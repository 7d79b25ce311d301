// In which life of its kernel, and where in that life, the partner was seen: taken only from a page that carries the
// session's MAC. What agent/core rests the permit by "rebooted" on.
#pragma once

#include "ccm/base/ids.h"
#include "ccm/base/time.h"
#include "ccm/wire/names.h"

namespace hapair::heartbeat {

struct Sighting {
  Instant when;  // of the observation
  BootId boot_id;
  ccm::BootPhase phase = ccm::BootPhase::unknown;

  // The same place in the same life; only the time is another one.
  [[nodiscard]] bool same_place(const Sighting& other) const {
    return boot_id == other.boot_id && phase == other.phase;
  }
};

}  // namespace hapair::heartbeat
