// Small words that the command's texts share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hapair::cli {

// How texts are to look. Pure: whoever prints asks the terminal.
struct Style {
  bool colour = false;
  std::size_t width = 0;  // of a line, in columns; 0: lines are not broken
};

enum class Tone : std::uint8_t { plain, good, wary, bad, dim };
std::string toned(std::string_view text, Tone tone, const Style& style);

// "850 ms", "12.3 s", "3 min 12 s", "4 h 5 min", "12 d 3 h".
std::string duration_text(std::int64_t ns);
// "2026-11-22 22:50:01.123" in UTC; `with_date` false: the time alone.
std::string wall_text(std::int64_t wall_us, bool with_date);

// `text` after `indent` columns, broken at spaces to `width`; further lines begin at the same column.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t width);
// Filled up with spaces; never cut.
std::string padded(std::string_view text, std::size_t columns);
std::string right_aligned(std::string_view text, std::size_t columns);

}  // namespace hapair::cli
