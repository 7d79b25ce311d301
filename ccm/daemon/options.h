// ccmd's command line.
#pragma once

#include <optional>
#include <string>

#include "ccm/wire/names.h"

namespace hapair::ccm {

inline constexpr int kExitUsage = 2;
inline constexpr int kExitRunning = 3;
inline constexpr int kExitConfig = 78;  // EX_CONFIG of sysexits.h

struct Options {
  std::string config = "/etc/hapair/hapair.json";
  BootPhase phase = BootPhase::unknown;
  bool check = false;
  bool trace = false;
  bool boot_plan = false;
  bool early = false;
  bool adopt = false;
};

// The exit status where the arguments alone decide; what is to be said about them was said.
std::optional<int> parse_arguments(int argc, char** argv, Options& options);

}  // namespace hapair::ccm
