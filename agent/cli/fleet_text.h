// `hapair fleet` for people: a row for each node, grouped by pair, then what to look at.
#pragma once

#include <string>

#include "agent/cli/text.h"
#include "proto/control.pb.h"

namespace hapair::cli {

std::string fleet_text(const control::v1::FleetReply& fleet, const Style& style);

}  // namespace hapair::cli
