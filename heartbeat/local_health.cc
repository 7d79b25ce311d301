#include "heartbeat/local_health.h"

#include <fmt/core.h>

#include <array>
#include <type_traits>
#include <utility>

namespace hapair::heartbeat {
namespace {

constexpr Duration kStays = std::chrono::seconds(5);
constexpr Duration kSuspended = std::chrono::milliseconds(1);
constexpr Duration kWindow = std::chrono::milliseconds(500);  // a share of less says nothing

// From this much on, so many times the usual limit.
struct Degree {
  double from;
  int factor;
};
using Degrees = std::array<Degree, 2>;
constexpr Degrees kLateFloors{{{1.0, 2}, {3.0, 4}}};  // in floors
constexpr Degrees kStolenShare{{{0.2, 2}, {0.5, 4}}};
// "full", not "some": a machine on which only some wait is merely busy.
constexpr Degrees kMemoryShare{{{0.1, 2}, {0.4, 4}}};
constexpr Degrees kIoShare{{{0.5, 2}, {0.9, 4}}};
constexpr int kAfterSuspension = 4;
constexpr double kMuchWorse = 4;

int factor_of(const Degrees& degrees, double value) {
  int factor = 1;
  for (const Degree& degree : degrees) {
    if (value >= degree.from) factor = degree.factor;
  }
  return factor;
}

template <class T>
double risen(const std::optional<T>& before, const std::optional<T>& now) {
  if (!before || !now || *now < *before) return 0;
  if constexpr (std::is_same_v<T, Duration>) {
    return static_cast<double>((*now - *before).count());
  } else {
    return static_cast<double>(*now - *before);
  }
}

}  // namespace

std::string_view text_of(StrainCause cause) {
  switch (cause) {
    case StrainCause::none:
      return "none";
    case StrainCause::suspended:
      return "suspended";
    case StrainCause::late:
      return "late";
    case StrainCause::stolen:
      return "stolen";
    case StrainCause::memory:
      return "memory";
    case StrainCause::io:
      return "io";
  }
  return "unknown";
}

Strain LocalHealth::judge(const LocalSample& sample) const {
  Strain worst;
  const auto consider = [&worst](StrainCause cause, int factor, double extent, std::string fact) {
    if (factor > worst.factor || (factor == worst.factor && factor > 1 && extent > worst.extent)) {
      worst = {cause, factor, extent, std::move(fact)};
    }
  };
  const auto consider_by = [&](StrainCause cause, const Degrees& degrees, double value, std::string fact) {
    consider(cause, factor_of(degrees, value), value / degrees.front().from, std::move(fact));
  };
  const Duration suspended = sample.suspended - last_->suspended;
  if (suspended >= kSuspended) {
    consider(StrainCause::suspended, kAfterSuspension, ms_of(suspended) / ms_of(kSuspended),
             fmt::format("was suspended for {:.3f} s", ms_of(suspended) / 1000));
  }
  if (floor_.count() > 0) {
    const double floors = static_cast<double>(sample.latest.count()) / static_cast<double>(floor_.count());
    consider_by(StrainCause::late, kLateFloors, floors,
                fmt::format("looked or beat {:.1f} ms late", ms_of(sample.latest)));
  }
  const Duration passed = sample.when - last_->when;
  if (passed < kWindow) return worst;
  const double ticks = risen(last_->all_ticks, sample.all_ticks);
  const double stolen = ticks > 0 ? risen(last_->stolen_ticks, sample.stolen_ticks) / ticks : 0;
  const auto share = [&](const std::optional<Duration>& before, const std::optional<Duration>& now) {
    return risen(before, now) / static_cast<double>(passed.count());
  };
  const auto of_the_last = [&](double part) {
    return fmt::format("{:.0f} % of the last {:.1f} s", 100 * part, ms_of(passed) / 1000);
  };
  const double memory = share(last_->memory_waits, sample.memory_waits);
  const double io = share(last_->io_waits, sample.io_waits);
  consider_by(StrainCause::stolen, kStolenShare, stolen,
              "had its processors taken away by its hypervisor for " + of_the_last(stolen));
  consider_by(StrainCause::memory, kMemoryShare, memory,
              "could do nothing but wait for memory for " + of_the_last(memory));
  consider_by(StrainCause::io, kIoShare, io, "could do nothing but wait for its disks for " + of_the_last(io));
  return worst;
}

std::optional<Strain> LocalHealth::take(const LocalSample& sample) {
  if (!last_) {
    last_ = sample;
    return std::nullopt;
  }
  Strain now = judge(sample);
  if (sample.when - last_->when >= kWindow) {
    last_ = sample;
  } else {
    last_->suspended = sample.suspended;
  }
  if (now.factor == strain_.factor && (now.factor == 1 || now.extent < kMuchWorse * strain_.extent)) {
    if (now.factor > 1) shown_last_ = sample.when;
    return std::nullopt;  // of two equal ones the first stays
  }
  if (now.factor < strain_.factor && sample.when - shown_last_ < kStays) return std::nullopt;
  shown_last_ = sample.when;
  strain_ = std::move(now);
  return strain_;
}

}  // namespace hapair::heartbeat
