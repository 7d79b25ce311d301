// The change from the initramfs to the real root: the service's start finds a ccmd that --early started, and makes it
// the service's process as it is, with its incarnation and its connections; or ends it, where it is not the one that
// the service would start.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "ccm/config/early_boot_note.h"
#include "ccm/config/pair_config.h"
#include "ccm/wire/names.h"

namespace hapair::ccm {

// What the adopter leaves in run_dir/adoption.json for the adopted, which removes it when it has done its part.
struct Adoption {
  std::string notify_socket;
  std::int64_t watchdog_us = 0;
  BootPhase phase = BootPhase::unknown;
  pid_t adopter = 0;  // who waits; its standard error is the service's journal
};
std::optional<Adoption> read_adoption(const std::string& run_dir);
void remove_adoption(const std::string& run_dir);
// From now on this process's words go where the adopter's go.
void take_standard_error(pid_t adopter);

enum class Adopted : std::uint8_t {
  yes,       // it is the service's process now
  nobody,    // no early ccmd runs: the service starts its own
  replaced,  // one ran that could not be adopted, and was ended
};

// `own`: what the service itself would run with. Blocks at most some seconds; every outcome was told on standard error.
Adopted adopt(const PairConfig& config, const EarlyBootNote& own, BootPhase phase);

}  // namespace hapair::ccm
