// `hapair status` for people: one screen.
#pragma once

#include <string>

#include "agent/cli/text.h"
#include "proto/control.pb.h"

namespace hapair::cli {

std::string status_text(const control::v1::StatusReply& status, const Style& style);

}  // namespace hapair::cli
