// Until when each client wants the watchdog fed, kept where a CCM that restarts finds it: else a restart would make a
// time that has passed, or is about to, forgotten. A file in run_dir that is mapped, so that the loop writes memory
// only; run_dir is of a tmpfs, and the file's blocks are there from the start.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <utility>

#include "ccm/base/fd.h"
#include "ccm/base/ids.h"
#include "ccm/watchdog/feed.h"

namespace hapair::ccm {

struct FedUntilLayout {
  std::uint64_t magic;  // kFedUntilMagic, written last
  std::array<std::uint8_t, 16> boot_id;
  std::uint64_t zero;
  std::array<FedUntilEntry, kMaxClients> entries;
  RunningWatchdog running;
};
static_assert(sizeof(FedUntilLayout) == 32 + kMaxClients * sizeof(FedUntilEntry) + sizeof(RunningWatchdog));
static_assert(offsetof(FedUntilLayout, entries) == 32);
static_assert(offsetof(FedUntilLayout, running) == 32 + kMaxClients * sizeof(FedUntilEntry));
inline constexpr std::uint64_t kFedUntilMagic = 0x3254444546504148;  // "HAPFEDT2"

class FedUntilRecord {
 public:
  // Goes on with what is in `file` where it is of this life of the kernel, whose clock the times are of; else begins
  // anew. The error is a sentence.
  static std::expected<FedUntilRecord, std::string> open(const std::string& file, const BootId& boot_id);

  [[nodiscard]] FedUntilTable table() const;
  [[nodiscard]] RunningWatchdog& running() const { return layout().running; }

 private:
  explicit FedUntilRecord(Mapping memory) : memory_(std::move(memory)) {}
  [[nodiscard]] FedUntilLayout& layout() const;

  Mapping memory_;
};

}  // namespace hapair::ccm
