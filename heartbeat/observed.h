// What the CCM wrote into its ring of observations, as the judge takes it.
#pragma once

#include "ccm/wire/observation.h"
#include "heartbeat/partner_watch.h"

namespace hapair::heartbeat {

// Bytes that are no page of any version are `unreadable`; a proof that no version defines is none.
Observation observed(const ccm::ObservationLayout& raw);

}  // namespace hapair::heartbeat
