// Reads a JSON configuration so that every mistake is named at once: file, key, what was found, what is allowed.
// Comments (// and /* */) are allowed. A key that nobody asked for is a mistake too: a misspelt limit is no limit.
#pragma once

#include <cstdint>
#include <expected>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ccm/base/time.h"

namespace hapair::ccm {

// The known word that `word` was most likely meant to be; empty where none is near.
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

// Everything that is wrong with one file, in the order in which it was found.
class ConfigProblems {
 public:
  explicit ConfigProblems(std::string file) : file_(std::move(file)) {}
  void add(const std::string& key, const std::string& found, const std::string& allowed);
  // For what concerns several keys at once: the whole sentence.
  void add_sentence(const std::string& key, const std::string& sentence);
  [[nodiscard]] bool empty() const { return lines_.empty(); }
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }
  [[nodiscard]] const std::string& file() const { return file_; }

 private:
  std::string file_;
  std::vector<std::string> lines_;
};

struct MillisecondsRange {
  std::int64_t min = 0;
  std::int64_t max = 0;
};

// One object of the document and its place in it. Every getter notes the key as known; `finish()` reports the others.
class ConfigObject {
 public:
  ConfigObject(const nlohmann::json* object, std::string path, ConfigProblems& problems);

  [[nodiscard]] bool has(std::string_view key) const;
  // The path of a key for a message: "pools[0].resources[1].type".
  [[nodiscard]] std::string path(std::string_view key) const;

  std::string text(std::string_view key, std::optional<std::string> fallback);  // no fallback: the key is required
  bool boolean(std::string_view key, bool fallback);
  std::int64_t integer(std::string_view key, std::optional<std::int64_t> fallback, std::int64_t min, std::int64_t max);
  // A count of milliseconds, fractions allowed; the key ends in "_ms".
  Duration milliseconds(std::string_view key, std::optional<double> fallback_ms, double min_ms, double max_ms);
  // One of the words; an index into them. Falls back to the first problem-free answer: 0.
  std::size_t choice(std::string_view key, std::optional<std::size_t> fallback,
                     std::span<const std::string_view> words);
  // A member object; where it is missing an empty one, so that the getters below it give their fallbacks.
  ConfigObject object(std::string_view key, bool required);
  // The objects of an array; anything else in it is a problem.
  std::vector<ConfigObject> objects(std::string_view key, bool required);
  std::vector<std::string> texts(std::string_view key);
  // A member object whose values are all strings, numbers or booleans, as text (parameters of an agent).
  std::vector<std::pair<std::string, std::string>> text_map(std::string_view key);
  // Skips a key that another reader of the same file understands.
  void leave(std::string_view key);

  // Reports the keys that nobody asked for, each with the nearest known one.
  void finish();
  ConfigProblems& problems() { return *problems_; }

 private:
  const nlohmann::json* find(std::string_view key);
  void required_missing(std::string_view key, const std::string& allowed);

  const nlohmann::json* object_;
  std::string path_;
  ConfigProblems* problems_;
  std::set<std::string, std::less<>> known_;
};

// The whole file as an object; syntax errors come with line and column. The document must outlive its objects.
std::expected<nlohmann::json, ConfigProblems> load_document(const std::string& file);

}  // namespace hapair::ccm
