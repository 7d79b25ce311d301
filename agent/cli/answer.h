// How every command answers: text or JSON on standard output, what is wrong on standard error too.
#pragma once

#include <string>

#include "agent/cli/commands.h"
#include "agent/cli/json.h"

namespace hapair::cli {

void print(const std::string& text);
void print_json(const Json& json);
// Returns the exit status of the failure.
Exit complain(const Common& common, const Failure& failure);

}  // namespace hapair::cli
