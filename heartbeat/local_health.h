// Whether this node is in a state in which what it misses of its partner may be its own doing: suspended, run late,
// robbed of processor time by its hypervisor, short of memory, waiting for its disks. A node first suspects itself
// (DESIGN.md, section 4), as members of Lifeguard do (Dadgar, Phillips, Currey: Lifeguard: Local Health Awareness for
// More Accurate Failure Detection, DSN-W 2018): while it is strained, silence must last a multiple of the usual limit,
// up to the configured ceiling.
//
// Damping: a strain stays in force for five seconds after the last sample that showed it; one that is no stronger is
// told only where it is four times as bad.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "ccm/base/time.h"

namespace hapair::heartbeat {

// What the kernel and this node's own loops say. All but `when` and `latest` are totals that only rise; what the kernel
// does not tell is missing.
struct LocalSample {
  Instant when;
  Duration suspended{};  // CLOCK_BOOTTIME less CLOCK_MONOTONIC
  Duration latest{};     // the most that one of this node's looks or beats came late since the last sample
  std::optional<Duration> memory_waits;  // every task that could have run waited for memory: "full" of the kernel's PSI
  std::optional<Duration> io_waits;      // likewise for I/O
  std::optional<std::uint64_t> stolen_ticks;  // of all processors together; likewise below
  std::optional<std::uint64_t> all_ticks;
};

enum class StrainCause : std::uint8_t { none, suspended, late, stolen, memory, io };
std::string_view text_of(StrainCause cause);

struct Strain {
  StrainCause cause = StrainCause::none;
  int factor = 1;     // of the usual limits
  double extent = 0;  // of the least that strains
  std::string fact;   // "waited 43 % of the last 1.0 s for memory"
};

class LocalHealth {
 public:
  // `floor`: of the limits that the strain widens. A beat that comes later than that is no longer forgiven by waiting.
  explicit LocalHealth(Duration floor) : floor_(floor) {}

  // The strain where it is stronger, weaker or much worse than before. The first sample only begins the watch.
  std::optional<Strain> take(const LocalSample& sample);
  [[nodiscard]] const Strain& strain() const { return strain_; }

 private:
  [[nodiscard]] Strain judge(const LocalSample& sample) const;

  Duration floor_;
  std::optional<LocalSample> last_;
  Strain strain_;
  Instant shown_last_;
};

}  // namespace hapair::heartbeat
