#include "agent/shell/local_state.h"

#include <time.h>

#include <array>
#include <charconv>
#include <chrono>

#include "ccm/base/fd.h"

namespace hapair::agent {
namespace {

constexpr std::size_t kMostBytes = 65'536;

std::optional<std::uint64_t> number_in(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

std::optional<Duration> pressure(const char* file) {
  const auto text = read_file(file, kMostBytes);
  return text ? parse_full_pressure(*text) : std::nullopt;
}

Duration time_by(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

// Read between two looks at the other clock that are close together: being interrupted is no suspension.
Duration time_suspended() {
  constexpr Duration kClose = std::chrono::microseconds(100);
  constexpr int kTries = 20;
  Duration suspended{};
  for (int i = 0; i < kTries; ++i) {
    const Duration before = time_by(CLOCK_MONOTONIC);
    const Duration with = time_by(CLOCK_BOOTTIME);
    const Duration after = time_by(CLOCK_MONOTONIC);
    suspended = with - after;
    if (after - before <= kClose) break;
  }
  return suspended;
}

}  // namespace

std::optional<Duration> parse_full_pressure(std::string_view text) {
  constexpr std::string_view kLine = "full ";
  constexpr std::string_view kTotal = " total=";
  const std::size_t line = text.starts_with(kLine) ? 0 : text.find("\nfull ");
  if (line == std::string_view::npos) return std::nullopt;
  text.remove_prefix(line);
  const std::size_t total = text.find(kTotal);
  if (total == std::string_view::npos || total > text.find('\n', 1)) return std::nullopt;
  text.remove_prefix(total + kTotal.size());
  const auto us = number_in(text);
  if (!us) return std::nullopt;
  return std::chrono::microseconds(*us);
}

std::optional<ProcessorTicks> parse_processor_ticks(std::string_view text) {
  constexpr std::string_view kLine = "cpu ";
  constexpr std::size_t kSteal = 7;  // after user, nice, system, idle, iowait, irq, softirq
  if (!text.starts_with(kLine)) return std::nullopt;
  text.remove_prefix(kLine.size());
  ProcessorTicks ticks;
  for (std::size_t i = 0; i <= kSteal; ++i) {
    while (text.starts_with(' ')) text.remove_prefix(1);
    const auto value = number_in(text);
    if (!value) return std::nullopt;
    ticks.all += *value;
    if (i == kSteal) ticks.stolen = *value;
  }
  return ticks;
}

heartbeat::LocalSample sample_local_state(Instant now) {
  heartbeat::LocalSample sample;
  sample.when = now;
  sample.suspended = time_suspended();
  sample.memory_waits = pressure("/proc/pressure/memory");
  sample.io_waits = pressure("/proc/pressure/io");
  if (const auto text = read_file("/proc/stat", 1 << 20)) {
    if (const auto ticks = parse_processor_ticks(*text)) {
      sample.stolen_ticks = ticks->stolen;
      sample.all_ticks = ticks->all;
    }
  }
  return sample;
}

}  // namespace hapair::agent
