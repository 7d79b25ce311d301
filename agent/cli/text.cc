#include "agent/cli/text.h"

#include <fmt/core.h>

#include <ctime>

namespace hapair::cli {

std::string toned(std::string_view text, Tone tone, const Style& style) {
  if (!style.colour) return std::string(text);
  std::string_view code;
  switch (tone) {
    case Tone::plain:
      return std::string(text);
    case Tone::good:
      code = "32";
      break;
    case Tone::wary:
      code = "33";
      break;
    case Tone::bad:
      code = "1;31";
      break;
    case Tone::dim:
      code = "2";
      break;
  }
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

std::string duration_text(std::int64_t ns) {
  constexpr std::int64_t kMs = 1'000'000;
  constexpr std::int64_t kSecond = 1000 * kMs;
  if (ns < 0) ns = 0;
  const std::int64_t s = ns / kSecond;
  if (ns < kSecond) return fmt::format("{} ms", ns / kMs);
  if (s < 60) return fmt::format("{}.{} s", s, ns / (100 * kMs) % 10);
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{} h {} min", s / 3600, s / 60 % 60);
  return fmt::format("{} d {} h", s / 86400, s / 3600 % 24);
}

std::string wall_text(std::int64_t wall_us, bool with_date) {
  const std::time_t seconds = wall_us / 1'000'000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::string time = fmt::format("{:02}:{:02}:{:02}.{:03}", utc.tm_hour, utc.tm_min, utc.tm_sec, wall_us / 1000 % 1000);
  if (!with_date) return time;
  return fmt::format("{:04}-{:02}-{:02} {}", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, time);
}

std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  constexpr std::size_t kNarrowest = 24;  // below this breaking only hurts
  const std::size_t room = width > indent ? width - indent : 0;
  if (room < kNarrowest) return std::string(text);
  std::string out;
  while (text.size() > room) {
    std::size_t cut = text.rfind(' ', room);
    if (cut == std::string_view::npos || cut == 0) cut = text.find(' ', room);
    if (cut == std::string_view::npos) break;
    out += text.substr(0, cut);
    out += '\n';
    out.append(indent, ' ');
    text.remove_prefix(cut + 1);
  }
  return out + std::string(text);
}

std::string padded(std::string_view text, std::size_t columns) {
  std::string out(text);
  if (out.size() < columns) out.append(columns - out.size(), ' ');
  return out;
}

std::string right_aligned(std::string_view text, std::size_t columns) {
  const std::size_t fill = text.size() < columns ? columns - text.size() : 0;
  return std::string(fill, ' ') + std::string(text);
}

}  // namespace hapair::cli
