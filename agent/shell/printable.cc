#include "agent/shell/printable.h"

#include <cstring>

#include <algorithm>

namespace hapair::agent {
namespace {

constexpr std::string_view kBlank = " \t\r\n\v\f";

// How many bytes the character at `at` has; 0 where there is no valid one (RFC 3629).
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  }
  if (length == 0 || at + length > text.size()) return 0;
  if (byte(at + 1) < low || byte(at + 1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

}  // namespace

std::string printable_line(std::string_view text, std::size_t max_bytes) {
  text = trimmed(text);
  std::string out;
  out.reserve(std::min(text.size(), max_bytes));
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at);
    const auto first = static_cast<unsigned char>(text[at]);
    std::string_view piece = text.substr(at, std::max<std::size_t>(length, 1));
    if (length == 0) piece = "?";
    if (first < 0x20 || first == 0x7f) piece = " ";
    if (out.size() + piece.size() > max_bytes) return out + "...";
    out += piece;
    at += std::max<std::size_t>(length, 1);
  }
  return out;
}

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name == nullptr ? "signal " + std::to_string(signal) : std::string("SIG") + name;
}

std::string_view last_line(std::string_view text) {
  text = trimmed(text);
  const std::size_t line_end = text.rfind('\n');
  return trimmed(line_end == std::string_view::npos ? text : text.substr(line_end + 1));
}

}  // namespace hapair::agent
