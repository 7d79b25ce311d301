// `hapair rails`: what this node's CCM says of each of its rails. Pure.
#pragma once

#include <string>

#include "agent/cli/json.h"
#include "agent/cli/text.h"
#include "ccm/base/time.h"
#include "ccm/wire/observation.h"

namespace hapair::cli {

std::string rails_text(const ccm::CcmSelfLayout& self, Instant now, const Style& style);
Json rails_json(const ccm::CcmSelfLayout& self, Instant now);

}  // namespace hapair::cli
