// What a ccmd of the initramfs leaves in run_dir for the system that comes up: for the service that adopts it, and for
// the agent, which repeats to the operator what was wrong.
#pragma once

#include <sys/types.h>

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "ccm/wire/mac.h"

namespace hapair::ccm {

// run_dir/early-boot.json: written by a ccmd that --early started, read by the one that adopts it and by the agent.
struct EarlyBootNote {
  pid_t pid = 0;
  std::string version;
  std::string config;  // fingerprints of what it runs with
  std::string key;
  std::vector<std::string> problems;  // sentences
};
std::optional<EarlyBootNote> read_early_boot_note(const std::string& run_dir);
[[nodiscard]] std::expected<void, std::string> write_early_boot_note(const std::string& run_dir,
                                                                     const EarlyBootNote& note);

// Hexadecimal digits that tell nothing of what they are of, but whether it is the same.
std::string fingerprint_of_file(const std::string& file);
std::string fingerprint_of(const Key& key);

}  // namespace hapair::ccm
